//! A network, as it was made. Nothing of it changes until it is removed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{InterfaceName, NetworkId, NetworkName};

/// What a network is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Its id.
    pub id: NetworkId,
    /// Its name, which no other network has.
    pub name: NetworkName,
    /// When it was made: RFC 3339, UTC.
    pub created: String,
    /// What connects its containers.
    pub driver: Driver,
    /// The bridge on the host, or the parent interface of macvlan; of a bridge always the same one for the network's whole life.
    pub interface: InterfaceName,
    /// Its ranges of addresses: at most one of each family.
    pub subnets: Vec<Subnet>,
    /// Whether nothing outside of it is reached from it or reaches it.
    pub internal: bool,
    /// Whether it has IPv6; otherwise its containers have none on their interfaces, link-local addresses neither.
    pub ipv6: bool,
    /// The interfaces' MTU; otherwise the kernel's usual one.
    pub mtu: Option<u32>,
    /// For people.
    pub labels: BTreeMap<String, String>,
    /// The options as they were given.
    pub options: BTreeMap<String, String>,
}

/// What connects the containers of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Driver {
    /// A bridge of the host, with a pair of virtual interfaces for each container.
    Bridge(BridgeOptions),
    /// Interfaces with addresses of their own on one of the host's.
    Macvlan {
        /// How they see each other.
        mode: MacvlanMode,
    },
}

impl Driver {
    /// Docker's word.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Bridge(_) => "bridge",
            Self::Macvlan { .. } => "macvlan",
        }
    }
}

/// How interfaces of one parent see each other (`ip-link(8)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    /// Directly.
    #[default]
    Bridge,
    /// Not at all.
    Private,
    /// By a switch outside only.
    Vepa,
    /// There is one only, which has the parent's address.
    Passthru,
}

/// Whether containers of one bridge reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// They do (`com.docker.network.bridge.enable_icc=true`).
    #[default]
    Open,
    /// They do not, but by ports that are published.
    Isolated,
}

/// What a bridge does besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BridgeOptions {
    /// Whether its containers reach each other.
    pub isolation: Isolation,
    /// Whether what leaves the host has the host's address (`enable_ip_masquerade`).
    pub masquerade: bool,
    /// The host's address that ports are published on if none is given (`host_binding_ipv4`).
    pub host_binding: Option<IpAddr>,
    /// Whether services of the host are reached from it at the bridge's address (`host-access`).
    pub host_access: bool,
}

impl Default for BridgeOptions {
    fn default() -> Self {
        Self { isolation: Isolation::Open, masquerade: true, host_binding: None, host_access: false }
    }
}

/// A range of addresses of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subnet {
    /// The range; no bit of the host's part is set.
    pub subnet: IpNet,
    /// The address of the way out, which is the bridge's own; none for macvlan without one.
    pub gateway: Option<IpAddr>,
    /// Where addresses are given from that nobody asked for; otherwise the whole range.
    pub ip_range: Option<IpNet>,
    /// Addresses of others, which no container gets.
    pub auxiliary: BTreeMap<String, IpAddr>,
}

impl Network {
    /// The range of IPv4, or of IPv6.
    #[must_use]
    pub fn subnet(&self, family: Family) -> Option<&Subnet> {
        self.subnets.iter().find(|subnet| Family::of(subnet.subnet.addr()) == family)
    }
}

/// Of which version an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// That of `address`.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}
