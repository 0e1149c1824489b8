//! What a container has of networks, whether it runs or not: `networks.json` in its folder, which `network connect` and `disconnect` change.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use stockade_network::model::{Mac, NetworkId, NetworkName, PublishedPort};

use super::ask::{NameServers, PortRequest};
use crate::container::{ContainerError, Folder};

/// The file.
pub(crate) const FILE: &str = "networks.json";
/// Its version.
pub(crate) const VERSION: u32 = 1;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) version: u32,
    /// In the order of its interfaces.
    pub(crate) networks: Vec<Place>,
    pub(crate) ports: Vec<PortRequest>,
    pub(crate) names: NameServers,
    pub(crate) hosts: Vec<(String, Option<IpAddr>)>,
    /// The host name, which `/etc/hosts` has with its addresses.
    pub(crate) hostname: String,
    /// The ports that the image and `--expose` name, which are shown without a port of the host.
    pub(crate) exposed: Vec<String>,
    /// Whether its network is a user's own ([`super::pasta`]).
    #[serde(default)]
    pub(crate) pasta: bool,
    /// The ports of the host that lead to it by that network while it runs.
    #[serde(default)]
    pub(crate) published: Vec<PublishedPort>,
}

/// Its place in one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    pub(crate) network: NetworkId,
    /// The network's name when the container was put there, which messages have.
    pub(crate) name: NetworkName,
    pub(crate) ipv4: Option<Ipv4Addr>,
    pub(crate) ipv6: Option<Ipv6Addr>,
    pub(crate) mac: Option<Mac>,
    pub(crate) aliases: Vec<String>,
    pub(crate) gateway_priority: i64,
    /// The number of its interface in the container, `eth0` and on.
    pub(crate) number: u32,
}

impl Wanted {
    /// What the container is to have, if it is to have any network that is made for it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn of(folder: &Folder) -> Result<Option<Self>, ContainerError> {
        let wanted = folder.read::<Self>(FILE)?;
        Ok(wanted.filter(|wanted| wanted.pasta || !wanted.networks.is_empty()))
    }

    /// The network that the ways out go by: that with the highest priority, of those the first in the order of names, as in Docker;
    /// one that reaches nothing outside only where there is no other. `internal` says of each network whether it is such a one.
    pub(crate) fn gateway(&self, internal: &BTreeMap<NetworkId, bool>) -> Option<&Place> {
        self.networks.iter().min_by_key(|place| {
            let closed = internal.get(&place.network).copied().unwrap_or_default();
            (closed, std::cmp::Reverse(place.gateway_priority), place.name.clone())
        })
    }

    /// A number that no interface has.
    pub(crate) fn free_number(&self) -> u32 {
        (0..).find(|number| !self.networks.iter().any(|place| place.number == *number)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, number: u32, gateway_priority: i64) -> Place {
        Place {
            network: NetworkId::random().unwrap(),
            name: name.parse().unwrap(),
            ipv4: None,
            ipv6: None,
            mac: None,
            aliases: Vec::new(),
            gateway_priority,
            number,
        }
    }

    #[test]
    fn the_way_out_is_dockers_choice() {
        let mut wanted = Wanted { networks: vec![place("b", 0, 0), place("a", 2, 0)], ..Wanted::default() };
        let name = |wanted: &Wanted, closed: &[&Place]| {
            let internal = closed.iter().map(|place| (place.network.clone(), true)).collect();
            wanted.gateway(&internal).map(|place| place.name.to_string())
        };
        assert_eq!(name(&wanted, &[]).as_deref(), Some("a"));
        assert_eq!(name(&wanted, &[&wanted.networks[1]]).as_deref(), Some("b"));
        assert_eq!(wanted.free_number(), 1);
        wanted.networks[0].gateway_priority = 1;
        assert_eq!(name(&wanted, &[]).as_deref(), Some("b"));
        assert_eq!(name(&Wanted::default(), &[]), None);
    }
}
