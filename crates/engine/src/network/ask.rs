//! What a container is to have of networks, as it is asked for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use stockade_network::model::{Mac, Protocol};

/// All flags about networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkRequest {
    /// `--network NAME`, in their order; without any, and with a network namespace that is neither the host's nor another
    /// container's, the container has none.
    pub attachments: Vec<Attach>,
    /// `--publish`, in their order.
    pub ports: Vec<PortRequest>,
    /// `--publish-all`.
    pub publish_all: bool,
    /// `--dns`, `--dns-search`, `--dns-option`.
    pub names: NameServers,
    /// `--add-host`: names and addresses; `None` is the host's own (`host-gateway`).
    pub hosts: Vec<(String, Option<IpAddr>)>,
}

/// One network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attach {
    /// Its name or id, or the beginning of an id.
    pub network: String,
    /// `ip=`, `--ip`.
    pub ipv4: Option<Ipv4Addr>,
    /// `ip6=`, `--ip6`.
    pub ipv6: Option<Ipv6Addr>,
    /// `mac-address=`, `--mac-address`.
    pub mac: Option<Mac>,
    /// `alias=`, `--network-alias`.
    pub aliases: Vec<String>,
    /// `gw-priority=`: the highest one's gateway is the way out.
    pub gateway_priority: i64,
}

/// One `--publish`, of one port of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortRequest {
    /// The host's address; all without one.
    pub host: Option<IpAddr>,
    /// The first and last of the host's ports of which one is taken; without any, one is drawn.
    pub host_ports: Option<(u16, u16)>,
    /// The container's.
    pub container_port: u16,
    /// The protocol of both.
    pub protocol: Protocol,
}

/// Whom a container asks for names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameServers {
    /// `--dns`; otherwise the host's.
    pub servers: Vec<IpAddr>,
    /// `--dns-search`; otherwise the host's, and none for `.` alone.
    pub search: Vec<String>,
    /// `--dns-option`; otherwise the host's.
    pub options: Vec<String>,
}
