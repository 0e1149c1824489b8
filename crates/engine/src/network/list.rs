//! `network ls` and `network inspect`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stockade_network::model::{Driver, Family, Network};
use stockade_network::store::{Lease, Networks};

use super::{Found, HOST, HOST_ID, NONE, NONE_ID, NetworksError, all, prefix_length};
use crate::container::ContainerError;
use crate::inspect::Nothing;
use crate::{ContainerId, Engine};

/// A network in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSummary {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `bridge`, `macvlan`, `host` or `null`.
    pub driver: String,
    /// Whether it has IPv4, and IPv6.
    pub ipv4: bool,
    /// The same.
    pub ipv6: bool,
    /// Whether nothing outside is reached.
    pub internal: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made: RFC 3339, UTC; empty for one that was never needed.
    pub created: String,
    /// Whether it is always there.
    pub predefined: bool,
    /// Whether a container, running or not, is on it.
    pub used: bool,
}

/// A network in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkInspection {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// When it was made.
    pub created: String,
    /// `local`.
    pub scope: String,
    /// What connects its containers.
    pub driver: String,
    /// Whether it has IPv4.
    #[serde(rename = "EnableIPv4")]
    pub enable_ipv4: bool,
    /// Whether it has IPv6.
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: bool,
    /// Its addresses.
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    /// Whether nothing outside is reached.
    pub internal: bool,
    /// Whether other machines' engines use it.
    pub attachable: bool,
    /// Whether it is a swarm's way in.
    pub ingress: bool,
    /// Where its configuration is from.
    pub config_from: ConfigFrom,
    /// Whether it is a configuration only.
    pub config_only: bool,
    /// The containers that run on it, by id.
    pub containers: BTreeMap<String, InspectedEndpoint>,
    /// Its options.
    pub options: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// `IPAM`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Ipam {
    /// Who gives addresses.
    pub driver: String,
    /// Its options: none.
    pub options: Option<Nothing>,
    /// The ranges.
    pub config: Vec<IpamConfig>,
}

/// One range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IpamConfig {
    /// The range.
    pub subnet: String,
    /// Where addresses are given from.
    #[serde(rename = "IPRange", default, skip_serializing_if = "String::is_empty")]
    pub ip_range: String,
    /// The way out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// Addresses of others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary_addresses: BTreeMap<String, String>,
}

/// `ConfigFrom`: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ConfigFrom {
    /// Always empty.
    pub network: String,
}

/// A container on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedEndpoint {
    /// The container's name.
    pub name: String,
    /// The endpoint's id.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// Its hardware address.
    pub mac_address: String,
    /// Its address and the length of the range's prefix; empty without one.
    #[serde(rename = "IPv4Address")]
    pub ipv4_address: String,
    /// The same.
    #[serde(rename = "IPv6Address")]
    pub ipv6_address: String,
}

/// All networks, by name.
///
/// # Errors
/// If a network or container cannot be read.
pub fn list(engine: &Engine) -> Result<Vec<NetworkSummary>, NetworksError> {
    let networks = engine.networks()?;
    let users = engine.network_users()?;
    let mut found = Vec::new();
    for network in all(&networks)? {
        let lives = !networks.containers(&network.id)?.is_empty();
        found.push(NetworkSummary {
            used: lives || users.contains_key(network.id.as_str()),
            predefined: super::is_default(&network),
            id: network.id.to_string(),
            name: network.name.to_string(),
            driver: network.driver.as_str().to_owned(),
            ipv4: has(&network, Family::V4),
            ipv6: network.ipv6,
            internal: network.internal,
            labels: network.labels,
            created: network.created,
        });
    }
    found.extend([(HOST, HOST_ID, "host"), (NONE, NONE_ID, "null")].map(|(name, id, driver)| NetworkSummary {
        id: id.to_owned(),
        name: name.to_owned(),
        driver: driver.to_owned(),
        ipv4: true,
        ipv6: false,
        internal: false,
        labels: BTreeMap::new(),
        created: String::new(),
        predefined: true,
        used: false,
    }));
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// The default network has IPv4 even before it has a range.
fn has(network: &Network, family: Family) -> bool {
    network.subnet(family).is_some() || (family == Family::V4 && super::is_default(network))
}

/// All that is known of a network.
///
/// # Errors
/// [`NetworksError::Missing`], [`NetworksError::Ambiguous`], or if it or a container on it cannot be read.
pub fn inspect(engine: &Engine, text: &str) -> Result<NetworkInspection, NetworksError> {
    let networks = engine.networks()?;
    match engine.find_network(&networks, text)? {
        Found::Network(network) => inspected(engine, &networks, &network),
        Found::Host => Ok(fixed(HOST, HOST_ID, "host")),
        Found::None => Ok(fixed(NONE, NONE_ID, "null")),
    }
}

/// What Docker calls no time.
const NEVER: &str = "0001-01-01T00:00:00Z";

fn fixed(name: &str, id: &str, driver: &str) -> NetworkInspection {
    NetworkInspection {
        name: name.to_owned(),
        id: id.to_owned(),
        created: NEVER.to_owned(),
        scope: "local".to_owned(),
        driver: driver.to_owned(),
        enable_ipv4: true,
        enable_ipv6: false,
        ipam: Ipam { driver: "default".to_owned(), options: None, config: Vec::new() },
        internal: false,
        attachable: false,
        ingress: false,
        config_from: ConfigFrom::default(),
        config_only: false,
        containers: BTreeMap::new(),
        options: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

fn inspected(engine: &Engine, networks: &Networks, network: &Network) -> Result<NetworkInspection, NetworksError> {
    let mut containers = BTreeMap::new();
    for lease in networks.endpoints(&network.id)? {
        let name = engine.name_of(&lease.endpoint.container)?;
        containers.insert(lease.endpoint.container.clone(), endpoint(network, &lease, name));
    }
    let config = network.subnets.iter().map(|subnet| IpamConfig {
        subnet: subnet.subnet.to_string(),
        ip_range: subnet.ip_range.map(|range| range.to_string()).unwrap_or_default(),
        gateway: subnet.gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
        auxiliary_addresses: subnet.auxiliary.iter().map(|(name, one)| (name.clone(), one.to_string())).collect(),
    });
    let fixed = fixed(network.name.as_str(), network.id.as_str(), network.driver.as_str());
    let created = if network.created.is_empty() { NEVER.to_owned() } else { network.created.clone() };
    Ok(NetworkInspection {
        created,
        enable_ipv4: has(network, Family::V4),
        enable_ipv6: network.ipv6,
        ipam: Ipam { config: config.collect(), ..fixed.ipam },
        internal: network.internal,
        containers,
        options: shown_options(network),
        labels: network.labels.clone(),
        ..fixed
    })
}

/// The options as they were given, and of the default network Docker's name for its bridge.
fn shown_options(network: &Network) -> BTreeMap<String, String> {
    let mut options = network.options.clone();
    if super::is_default(network) && matches!(network.driver, Driver::Bridge(_)) {
        options.insert("com.docker.network.bridge.default_bridge".into(), "true".into());
        options.insert("com.docker.network.bridge.name".into(), network.interface.to_string());
    }
    options
}

fn endpoint(network: &Network, lease: &Lease, name: String) -> InspectedEndpoint {
    let with = |address: Option<String>, family| {
        address.map(|address| format!("{address}/{}", prefix_length(network, family))).unwrap_or_default()
    };
    InspectedEndpoint {
        name,
        endpoint_id: lease.endpoint.id.to_string(),
        mac_address: lease.endpoint.mac.to_string(),
        ipv4_address: with(lease.endpoint.ipv4.map(|address| address.to_string()), Family::V4),
        ipv6_address: with(lease.endpoint.ipv6.map(|address| address.to_string()), Family::V6),
    }
}

impl Engine {
    /// The name of a container; its short id where it is gone or damaged.
    pub(crate) fn name_of(&self, container: &str) -> Result<String, NetworksError> {
        let short = container.get(..12).unwrap_or(container).to_owned();
        let Ok(id) = ContainerId::try_from(container.to_owned()) else { return Ok(short) };
        /// The part of a record that is of interest.
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        match self.folder(&id) {
            Ok(folder) => Ok(folder.read::<Named>(crate::container::RECORD)?.map_or(short, |record| record.name)),
            Err(ContainerError::Missing(_)) => Ok(short),
            Err(error) => Err(error.into()),
        }
    }

    /// Which containers are to be on which network, whatever they do, by the networks' ids.
    pub(crate) fn network_users(&self) -> Result<BTreeMap<String, Vec<ContainerId>>, NetworksError> {
        let mut users = BTreeMap::<String, Vec<ContainerId>>::new();
        for id in self.ids().map_err(ContainerError::from)? {
            let wanted = match self.folder(&id) {
                Ok(folder) => folder.read::<super::wanted::Wanted>(super::wanted::FILE)?,
                Err(ContainerError::Missing(_)) => None,
                Err(error) => return Err(error.into()),
            };
            for place in wanted.into_iter().flat_map(|wanted| wanted.networks) {
                users.entry(place.network.to_string()).or_default().push(id.clone());
            }
        }
        Ok(users)
    }
}
