//! What a container has of a network while it runs.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{InterfaceName, Mac, NetworkId, PublishedPort};

/// A container's place in a network: it is there from before its interface is made until after that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// 64 hexadecimal digits, drawn anew for each.
    pub id: NetworkId,
    /// The network.
    pub network: NetworkId,
    /// The container's id, all 64 digits.
    pub container: String,
    /// The host's end of the pair, which is the bridge's port; with macvlan the name under which the interface is made before it moves.
    pub host_interface: InterfaceName,
    /// The container's end.
    pub container_interface: InterfaceName,
    /// The hardware address of the container's end.
    pub mac: Mac,
    /// Its address, within the network's range.
    pub ipv4: Option<Ipv4Addr>,
    /// The same.
    pub ipv6: Option<Ipv6Addr>,
    /// Whether the container's ways out go by this network.
    pub gateway: bool,
    /// The host's ports that lead here.
    pub ports: Vec<PublishedPort>,
}
