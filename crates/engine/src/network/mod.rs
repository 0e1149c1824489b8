//! Networks: the verbs about them, what a container has of them, and what is done when it starts and ends.
//!
//! [`ask`] is what is asked for; a container's part of it is `networks.json` in its folder ([`wanted`]). `bridge`, `host` and `none`
//! are always there; the first becomes a network of the store when it is needed first.

pub mod ask;
pub(crate) mod attach;
pub mod connect;
pub mod connections;
pub mod create;
pub mod list;
pub(crate) mod names;
pub mod pasta;
pub mod ports;
pub(crate) mod prepare;
pub mod remove;
pub mod resolver;
pub mod settings;
pub(crate) mod wanted;

use std::io;

use stockade_monitor::events::{Event, NetworkAction};
use stockade_network::model::{BridgeOptions, Driver, Family, Network, NetworkName, Subnet};
use stockade_network::store::{Networks, StoreError};
use stockade_network::{addresses, routes};

use crate::Engine;
use crate::container::ContainerError;
use crate::record::now;

pub use connect::{connect, disconnect, reattach, reload, renamed};
pub use create::create;
pub use list::{inspect, list};
pub use remove::{prune, remove};
pub use stockade_network::model;

/// The default network.
pub const BRIDGE: &str = "bridge";
/// The network of containers of users other than root: [`pasta`].
pub const PASTA: &str = pasta::NAME;
/// The host's network.
pub const HOST: &str = "host";
/// No network.
pub const NONE: &str = "none";

/// The ids of the three that are always there, in which nothing is random.
const BRIDGE_ID: &str = "62726964676500000000000000000000000000000000000000000000000000b0";
pub(crate) const HOST_ID: &str = "686f737400000000000000000000000000000000000000000000000000000050";
pub(crate) const NONE_ID: &str = "6e6f6e650000000000000000000000000000000000000000000000000000000e";
/// The default network's bridge.
const BRIDGE_INTERFACE: &str = "stockade0";

/// Why networks cannot be made, listed, removed or given to containers.
#[derive(Debug, thiserror::Error)]
pub enum NetworksError {
    /// What is remembered of them.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The machine's interfaces, addresses and rules.
    #[error(transparent)]
    Kernel(#[from] stockade_network::KernelError),
    /// There is none of that name.
    #[error("network {0} not found")]
    Missing(String),
    /// The beginning of more than one id.
    #[error("network {0} is ambiguous: more than one id begins so")]
    Ambiguous(String),
    /// The name is taken.
    #[error("network with name {0} already exists")]
    Exists(NetworkName),
    /// `bridge`, `host` and `none` stay.
    #[error("{0} is a pre-defined network and cannot be removed")]
    Predefined(String),
    /// Their names are theirs.
    #[error("operation is not permitted on predefined {0} network")]
    PredefinedName(NetworkName),
    /// Containers that run are on it.
    #[error(
        "error while removing network: network {name} has active endpoints ({})",
        users.iter().map(|(name, id)| format!("name:{name:?} id:{:?}", id.get(..12).unwrap_or(id))).collect::<Vec<_>>().join(", ")
    )]
    InUse {
        /// The network.
        name: NetworkName,
        /// Their names and ids.
        users: Vec<(String, String)>,
    },
    /// Ranges of addresses.
    #[error("invalid network config: {0}")]
    Subnet(String),
    /// No range is free.
    #[error("all predefined address pools are taken by networks and by the host's routes; give a range by --subnet")]
    NoPool,
    /// No random number.
    #[error("cannot draw a random number")]
    Random(#[source] io::Error),
    /// What a container cannot have, in Docker's words.
    #[error("{0}")]
    Refused(String),
    /// The network of an ordinary user's container.
    #[error(transparent)]
    Pasta(#[from] pasta::PastaError),
    /// The machine.
    #[error(transparent)]
    Machine(#[from] crate::machine::MachineError),
    /// A port of the host.
    #[error(transparent)]
    Port(#[from] ports::PortError),
    /// The name server.
    #[error(transparent)]
    Resolver(#[from] resolver::ResolverError),
    /// An option of a driver.
    #[error("invalid network option {name:?}: {reason}")]
    Option {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

impl NetworksError {
    /// Whether it says that there is no such network.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Store(StoreError::Missing(_)))
    }
}

/// A network that a name can mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// One with endpoints.
    Network(Box<Network>),
    /// The host's.
    Host,
    /// None.
    None,
}

impl Engine {
    /// What is remembered of networks.
    pub(crate) fn networks(&self) -> Result<Networks, StoreError> {
        Networks::open(&self.places().data, &self.places().exec)
    }

    /// The network that `text` means: a name, a whole id, or the beginning of one id only, in that order as Docker has it.
    ///
    /// # Errors
    /// [`NetworksError::Missing`], [`NetworksError::Ambiguous`].
    pub(crate) fn find_network(&self, networks: &Networks, text: &str) -> Result<Found, NetworksError> {
        match text {
            HOST => return Ok(Found::Host),
            NONE | "null" => return Ok(Found::None),
            _ => {}
        }
        let all = all(networks)?;
        if let Some(network) = all.iter().find(|network| network.name.as_str() == text || network.id.as_str() == text) {
            return Ok(Found::Network(Box::new(network.clone())));
        }
        let missing = || NetworksError::Missing(text.to_owned());
        if text.is_empty() {
            return Err(missing());
        }
        let fixed = [(HOST_ID, Found::Host), (NONE_ID, Found::None)];
        let fixed = fixed.into_iter().filter(|(id, _)| id.starts_with(text)).map(|(_, found)| found);
        let others = all.into_iter().filter(|network| network.id.as_str().starts_with(text));
        let mut found = others.map(|network| Found::Network(Box::new(network))).chain(fixed);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (Some(_), Some(_)) => Err(NetworksError::Ambiguous(text.to_owned())),
            (None, _) => Err(missing()),
        }
    }

    /// Tells that `action` happened to a network, or between it and a container.
    pub(crate) fn happened_to_network(&self, action: NetworkAction, network: &Network, container: Option<&str>) {
        let attributes = [("name", network.name.as_str()), ("type", network.driver.as_str())]
            .into_iter()
            .chain(container.map(|container| ("container", container)));
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        self.happened(Event::network(action, network.id.as_str(), attributes));
    }

    /// The default network, which is given its range of addresses when it is needed first.
    pub(crate) fn default_network(&self, networks: &Networks) -> Result<Network, NetworksError> {
        let unmade = unmade_bridge()?;
        if let Some(network) = networks.find(&unmade.id)? {
            return Ok(network);
        }
        let alone = networks.alone()?;
        if let Some(network) = networks.find(&unmade.id)? {
            return Ok(network);
        }
        let subnet = addresses::free_subnet(&taken(networks)?).ok_or(NetworksError::NoPool)?;
        let subnet =
            Subnet { subnet, gateway: addresses::first(&subnet), ip_range: None, auxiliary: Default::default() };
        let network = Network { created: now(), subnets: vec![subnet], ..unmade };
        alone.create(&network)?;
        Ok(network)
    }
}

/// Whether it is the default network, which has no names.
pub(crate) fn is_default(network: &Network) -> bool {
    network.id.as_str() == BRIDGE_ID
}

/// The default network before it has addresses.
fn unmade_bridge() -> Result<Network, NetworksError> {
    let fixed = |error: &dyn std::error::Error| NetworksError::Subnet(error.to_string());
    Ok(Network {
        id: BRIDGE_ID.parse().map_err(|error: model::InvalidNetworkName| fixed(&error))?,
        name: BRIDGE.parse().map_err(|error: model::InvalidNetworkName| fixed(&error))?,
        created: String::new(),
        driver: Driver::Bridge(BridgeOptions::default()),
        interface: BRIDGE_INTERFACE.parse().map_err(|error: model::InvalidInterface| fixed(&error))?,
        subnets: Vec::new(),
        internal: false,
        ipv6: false,
        mtu: None,
        labels: Default::default(),
        options: Default::default(),
    })
}

/// All networks with endpoints, the default one even before it has addresses.
fn all(networks: &Networks) -> Result<Vec<Network>, NetworksError> {
    let mut all = networks.list()?;
    if !all.iter().any(is_default) {
        all.push(unmade_bridge()?);
        all.sort_by(|one, other| one.name.cmp(&other.name));
    }
    Ok(all)
}

/// The ranges of addresses that a new network must not have: those of networks and of the host's routes.
fn taken(networks: &Networks) -> Result<Vec<ipnet::IpNet>, NetworksError> {
    let mut taken = routes::used_subnets()?;
    for network in networks.list()? {
        taken.extend(network.subnets.iter().map(|subnet| subnet.subnet));
    }
    Ok(taken)
}

/// What `--add-host` says, with the address `host` for the host's.
pub(crate) fn added(
    hosts: &[(String, Option<std::net::IpAddr>)],
    host: Option<std::net::IpAddr>,
) -> Result<Vec<(String, std::net::IpAddr)>, NetworksError> {
    let address = |(name, address): &(String, Option<std::net::IpAddr>)| match address.or(host) {
        Some(address) => Ok((name.clone(), address)),
        None => {
            let text = format!("--add-host {name}:host-gateway needs a network that has a gateway");
            Err(NetworksError::Refused(text))
        }
    };
    hosts.iter().map(address).collect()
}

/// The range of the family, if there is one, as Docker writes it.
pub(crate) fn prefix_length(network: &Network, family: Family) -> u8 {
    network.subnet(family).map_or(0, |subnet| subnet.subnet.prefix_len())
}
