//! What `inspect` tells of a container's networks, in Docker's shape.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stockade_network::model::{Family, Network, PublishedPort};
use stockade_network::store::{Lease, Networks};

use super::wanted::{FILE, Place, Wanted};
use super::{NetworksError, is_default, prefix_length};
use crate::Engine;
use crate::container::Folder;

/// `NetworkSettings`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkSettings {
    /// Which network namespace it has: the container's id; empty unless it runs.
    #[serde(rename = "SandboxID")]
    pub sandbox_id: String,
    /// Where the network namespace is; empty unless it runs.
    pub sandbox_key: String,
    /// The ports of the container, such as `80/tcp`, and the host's that lead to each; null where none does.
    pub ports: BTreeMap<String, Option<Vec<PortBinding>>>,
    /// Of the default network, as older clients read it.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// The same.
    pub gateway: String,
    /// The same.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// The same.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    /// The same.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// The same.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// The same.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: u8,
    /// The same.
    pub mac_address: String,
    /// By name.
    pub networks: BTreeMap<String, EndpointSettings>,
}

/// One port of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PortBinding {
    /// The address.
    pub host_ip: String,
    /// The port.
    pub host_port: String,
}

/// One of `Networks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EndpointSettings {
    /// Addresses that were asked for.
    #[serde(rename = "IPAMConfig")]
    pub ipam_config: Option<BTreeMap<String, String>>,
    /// Never any.
    pub links: Option<Vec<String>>,
    /// Names that were asked for.
    pub aliases: Option<Vec<String>>,
    /// The hardware address.
    pub mac_address: String,
    /// Never any.
    pub driver_opts: Option<BTreeMap<String, String>>,
    /// Its rank among those whose gateway could be the way out.
    pub gw_priority: i64,
    /// The network's id.
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    /// The endpoint's id; empty unless it runs.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// The way out.
    pub gateway: String,
    /// The address.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// How long the range's prefix is.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    /// The way out of IPv6.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// The address of IPv6.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// How long its range's prefix is.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: u8,
    /// The names that it has there.
    #[serde(rename = "DNSNames")]
    pub dns_names: Option<Vec<String>>,
}

/// A port of the host that leads to one of a container, in Docker's words.
pub(crate) fn bindings(port: &PublishedPort, six: bool) -> Vec<PortBinding> {
    let one = |host: String| PortBinding { host_ip: host, host_port: port.host_port.to_string() };
    match port.host {
        Some(host) => vec![one(host.to_string())],
        None if six => vec![one("0.0.0.0".to_owned()), one("::".to_owned())],
        None => vec![one("0.0.0.0".to_owned())],
    }
}

impl Engine {
    /// What a container has of networks; `running` says with which process.
    pub(crate) fn network_settings(
        &self,
        folder: &Folder,
        running: Option<i32>,
    ) -> Result<NetworkSettings, NetworksError> {
        let Some(wanted) = folder.read::<Wanted>(FILE)? else { return Ok(NetworkSettings::default()) };
        let store = self.networks()?;
        let mut settings = NetworkSettings {
            sandbox_id: running.map(|_| folder.id.to_string()).unwrap_or_default(),
            sandbox_key: running.map(|pid| format!("/proc/{pid}/ns/net")).unwrap_or_default(),
            ..NetworkSettings::default()
        };
        if running.is_some() {
            settings.ports = wanted.exposed.iter().map(|port| (port.clone(), None)).collect();
        }
        if running.is_some() {
            add_published(&mut settings.ports, &wanted.published, Family::V4);
        }
        for place in &wanted.networks {
            let network = store.find(&place.network)?;
            let lease = if running.is_some() { lease(&store, folder, place)? } else { None };
            let one = endpoint(place, network.as_ref(), lease.as_ref());
            if let Some(lease) = &lease {
                add_ports(&mut settings.ports, lease);
            }
            if network.as_ref().is_some_and(is_default) {
                settings.endpoint_id.clone_from(&one.endpoint_id);
                settings.gateway.clone_from(&one.gateway);
                settings.ip_address.clone_from(&one.ip_address);
                settings.ip_prefix_len = one.ip_prefix_len;
                settings.ipv6_gateway.clone_from(&one.ipv6_gateway);
                settings.global_ipv6_address.clone_from(&one.global_ipv6_address);
                settings.global_ipv6_prefix_len = one.global_ipv6_prefix_len;
                settings.mac_address.clone_from(&one.mac_address);
            }
            settings.networks.insert(place.name.to_string(), one);
        }
        Ok(settings)
    }
}

impl NetworkSettings {
    /// Adds the network that is not written down with the container, because there is nothing to have of it.
    pub(crate) fn add_fixed(&mut self, mode: &str) {
        if self.networks.is_empty() {
            let one = |id| EndpointSettings { network_id: id, ..EndpointSettings::default() };
            self.networks.extend(super::connections::fixed(mode).into_iter().map(|found| (found.name, one(found.id))));
        }
    }
}

fn lease(store: &Networks, folder: &Folder, place: &Place) -> Result<Option<Lease>, NetworksError> {
    Ok(store.endpoint(&place.network, folder.id.as_str())?)
}

/// Adds the ports of the host that lead to a container.
pub(super) fn add_ports(ports: &mut BTreeMap<String, Option<Vec<PortBinding>>>, lease: &Lease) {
    let six = lease.endpoint.ipv6.is_some();
    add_published(ports, &lease.endpoint.ports, if six { Family::V6 } else { Family::V4 });
}

/// The same for these; the last family that the container has.
pub(super) fn add_published(
    ports: &mut BTreeMap<String, Option<Vec<PortBinding>>>,
    published: &[PublishedPort],
    family: Family,
) {
    for port in published {
        let key = format!("{}/{}", port.container_port, port.protocol);
        let all = ports.entry(key).or_default().get_or_insert_default();
        all.extend(bindings(port, family == Family::V6));
    }
}

fn endpoint(place: &Place, network: Option<&Network>, lease: Option<&Lease>) -> EndpointSettings {
    let asked = [
        ("IPv4Address", place.ipv4.map(|one| one.to_string())),
        ("IPv6Address", place.ipv6.map(|one| one.to_string())),
    ];
    let asked: BTreeMap<String, String> =
        asked.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    let mut settings = EndpointSettings {
        ipam_config: Some(asked).filter(|asked| !asked.is_empty()),
        aliases: Some(place.aliases.clone()).filter(|aliases| !aliases.is_empty()),
        mac_address: place.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        gw_priority: place.gateway_priority,
        network_id: place.network.to_string(),
        ..EndpointSettings::default()
    };
    let (Some(network), Some(lease)) = (network, lease) else { return settings };
    let gateway = |family| {
        let gateway = network.subnet(family).and_then(|subnet| subnet.gateway).filter(|_| !network.internal);
        gateway.map(|gateway| gateway.to_string()).unwrap_or_default()
    };
    settings.endpoint_id = lease.endpoint.id.to_string();
    settings.mac_address = lease.endpoint.mac.to_string();
    settings.dns_names = Some(lease.dns_names.clone()).filter(|names| !names.is_empty());
    if let Some(address) = lease.endpoint.ipv4 {
        settings.ip_address = address.to_string();
        settings.ip_prefix_len = prefix_length(network, Family::V4);
        settings.gateway = gateway(Family::V4);
    }
    if let Some(address) = lease.endpoint.ipv6 {
        settings.global_ipv6_address = address.to_string();
        settings.global_ipv6_prefix_len = prefix_length(network, Family::V6);
        settings.ipv6_gateway = gateway(Family::V6);
    }
    settings
}

/// Ports as `ps` shows them: ranges of one kind joined, each host address for itself.
#[must_use]
pub fn shown_ports(ports: &BTreeMap<String, Option<Vec<PortBinding>>>) -> String {
    let mut rows: Vec<(String, Option<u16>, u16, String)> = Vec::new();
    for (key, bindings) in ports {
        let Some((port, protocol)) = key.split_once('/') else { continue };
        let Ok(port) = port.parse::<u16>() else { continue };
        match bindings {
            None => rows.push((String::new(), None, port, protocol.to_owned())),
            Some(all) => {
                for one in all {
                    rows.push((one.host_ip.clone(), one.host_port.parse().ok(), port, protocol.to_owned()));
                }
            }
        }
    }
    rows.sort_by(|one, other| (&one.0, &one.3, one.2, one.1).cmp(&(&other.0, &other.3, other.2, other.1)));
    let mut shown: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some((host, from, port, protocol)) = rows.get(at) {
        let follows = |next: usize| {
            rows.get(at + next).is_some_and(|row| {
                let step = u16::try_from(next).unwrap_or(u16::MAX);
                let same = row.0 == *host && row.3 == *protocol && Some(row.2) == port.checked_add(step);
                same && row.1 == from.and_then(|from| from.checked_add(step))
            })
        };
        let count = (1..).take_while(|next| follows(*next)).count();
        let range = |first: u16| match count {
            0 => first.to_string(),
            _ => format!("{first}-{}", usize::from(first) + count),
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        shown.push(match from {
            Some(from) => format!("{host}:{}->{}/{protocol}", range(*from), range(*port)),
            None => format!("{}/{protocol}", range(*port)),
        });
        at += count + 1;
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_as_docker_shows_them() {
        let binding = |host: &str, port: u16| PortBinding { host_ip: host.into(), host_port: port.to_string() };
        let mut ports = BTreeMap::new();
        for (key, bindings) in [
            ("80/tcp", Some(vec![binding("0.0.0.0", 8080), binding("::", 8080)])),
            ("81/tcp", Some(vec![binding("0.0.0.0", 8081)])),
            ("53/udp", Some(vec![binding("127.0.0.1", 5300)])),
            ("443/tcp", None),
        ] {
            ports.insert(key.to_owned(), bindings);
        }
        let expected = "443/tcp, 0.0.0.0:8080-8081->80-81/tcp, 127.0.0.1:5300->53/udp, [::]:8080->80/tcp";
        assert_eq!(shown_ports(&ports), expected);
        assert_eq!(shown_ports(&BTreeMap::new()), "");
    }
}
