//! `network create`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use stockade_monitor::events::NetworkAction;
use stockade_network::addresses;
use stockade_network::model::{
    BridgeOptions, Driver, Family, InterfaceName, Isolation, MacvlanMode, Network, NetworkId, NetworkName, Subnet,
};

use super::{BRIDGE, HOST, NONE, NetworksError, taken};
use crate::Engine;
use crate::record::now;

/// A range of addresses as a flag gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range(pub IpNet);

/// A text that is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid range of addresses {0:?}: it has the form ADDRESS/BITS, as in 10.1.0.0/16")]
pub struct InvalidRange(pub String);

/// Reads `--subnet` and `--ip-range`.
///
/// # Errors
/// [`InvalidRange`].
pub fn parse_range(text: &str) -> Result<Range, InvalidRange> {
    text.parse().map(Range).map_err(|_other| InvalidRange(text.to_owned()))
}

/// A network to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNetwork {
    /// Its name.
    pub name: NetworkName,
    /// `--driver`: `bridge` or `macvlan`.
    pub driver: String,
    /// `--subnet`.
    pub subnets: Vec<IpNet>,
    /// `--gateway`.
    pub gateways: Vec<IpAddr>,
    /// `--ip-range`.
    pub ranges: Vec<IpNet>,
    /// `--aux-address`.
    pub auxiliary: BTreeMap<String, IpAddr>,
    /// `--internal`.
    pub internal: bool,
    /// `--ipv6`.
    pub ipv6: bool,
    /// `--ipv4`; off with `--ipv4=false`.
    pub ipv4: bool,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--opt`.
    pub options: BTreeMap<String, String>,
}

/// Makes the network; its id. Nothing of the machine is changed before a container is on it.
///
/// # Errors
/// See [`NetworksError`]; then there is no network.
pub fn create(engine: &Engine, new: &NewNetwork) -> Result<NetworkId, NetworksError> {
    if [BRIDGE, HOST, NONE, "default"].contains(&new.name.as_str()) {
        return Err(NetworksError::PredefinedName(new.name.clone()));
    }
    super::pasta::refuse_others(new.name.as_str())?;
    let options = Options::read(&new.driver, &new.options)?;
    let mut subnets = subnets(new)?;
    let id = NetworkId::random().map_err(NetworksError::Random)?;
    let networks = engine.networks()?;
    let alone = networks.alone()?;
    let others = networks.list()?;
    if others.iter().any(|network| network.name == new.name) {
        return Err(NetworksError::Exists(new.name.clone()));
    }
    for subnet in &subnets {
        for other in &others {
            if other.subnets.iter().any(|range| addresses::overlap(&range.subnet, &subnet.subnet)) {
                let text = format!("the subnet {} overlaps with that of network {}", subnet.subnet, other.name);
                return Err(NetworksError::Subnet(text));
            }
        }
    }
    fill(new, &mut subnets, &taken(&networks)?)?;
    let interface = options.interface(&id)?;
    if let Some(other) =
        others.iter().find(|other| interface == other.interface && matches!(options.driver, Driver::Bridge(_)))
    {
        let reason = format!("the interface is that of network {}", other.name);
        return Err(NetworksError::Option { name: NAME.into(), reason });
    }
    let network = Network {
        name: new.name.clone(),
        created: now(),
        driver: options.driver,
        interface,
        ipv6: subnets.iter().any(|subnet| Family::of(subnet.subnet.addr()) == Family::V6),
        subnets,
        internal: new.internal || options.internal,
        mtu: options.mtu,
        labels: new.labels.clone(),
        options: new.options.clone(),
        id,
    };
    alone.create(&network)?;
    engine.happened_to_network(NetworkAction::Create, &network, None);
    Ok(network.id)
}

/// The ranges that were asked for, each with what belongs to it.
fn subnets(new: &NewNetwork) -> Result<Vec<Subnet>, NetworksError> {
    let wrong = |text: String| NetworksError::Subnet(text);
    let mut all: Vec<Subnet> = Vec::new();
    for subnet in &new.subnets {
        let subnet = subnet.trunc();
        let family = Family::of(subnet.addr());
        if all.iter().any(|other| Family::of(other.subnet.addr()) == family) {
            return Err(wrong("a network has one subnet of IPv4 and one of IPv6 at most".to_owned()));
        }
        match family {
            Family::V4 if !new.ipv4 => return Err(wrong(format!("IPv4 is disabled, but --subnet {subnet} is IPv4"))),
            Family::V6 if !new.ipv6 => {
                return Err(wrong(format!("--subnet {subnet} is IPv6: enable it by --ipv6")));
            }
            Family::V4 | Family::V6 => {}
        }
        if subnet.prefix_len() + 1 >= subnet.max_prefix_len() && new.driver == "bridge" {
            return Err(wrong(format!("--subnet {subnet} has no address for a container")));
        }
        all.push(Subnet { subnet, gateway: None, ip_range: None, auxiliary: BTreeMap::new() });
    }
    let none = all.is_empty();
    if none && !(new.gateways.is_empty() && new.ranges.is_empty() && new.auxiliary.is_empty()) {
        return Err(wrong("every ip-range or gateway must have a corresponding subnet".to_owned()));
    }
    let within = |all: &mut Vec<Subnet>, what: &str, address: IpAddr| {
        let at = all.iter().position(|subnet| subnet.subnet.contains(&address));
        at.ok_or_else(|| wrong(format!("no matching subnet for {what} {address}")))
    };
    for range in &new.ranges {
        let at = within(&mut all, "range", range.addr())?;
        if !all[at].subnet.contains(range) || all[at].ip_range.is_some() {
            return Err(wrong(format!("no matching subnet for range {range}, or more than one range in it")));
        }
        all[at].ip_range = Some(range.trunc());
    }
    for gateway in &new.gateways {
        let at = within(&mut all, "gateway", *gateway)?;
        if all[at].gateway.is_some() || !addresses::is_host(&all[at].subnet, *gateway) {
            let text =
                format!("{gateway} is no gateway of {}: it has one, or that is no host's address", all[at].subnet);
            return Err(wrong(text));
        }
        all[at].gateway = Some(*gateway);
    }
    for (name, address) in &new.auxiliary {
        let at = within(&mut all, "aux-address", *address)?;
        all[at].auxiliary.insert(name.clone(), *address);
    }
    Ok(all)
}

/// Ranges that were not asked for, and gateways.
fn fill(new: &NewNetwork, subnets: &mut Vec<Subnet>, taken: &[IpNet]) -> Result<(), NetworksError> {
    let has = |subnets: &[Subnet], family| subnets.iter().any(|subnet| Family::of(subnet.subnet.addr()) == family);
    let plain = |subnet| Subnet { subnet, gateway: None, ip_range: None, auxiliary: BTreeMap::new() };
    if !new.ipv4 && !new.ipv6 {
        return Err(NetworksError::Subnet("IPv4 or IPv6 must be enabled".to_owned()));
    }
    if new.ipv4 && !has(subnets, Family::V4) {
        subnets.push(plain(addresses::free_subnet(taken).ok_or(NetworksError::NoPool)?));
    }
    if new.ipv6 && !has(subnets, Family::V6) {
        subnets.push(plain(unique_local(taken)?));
    }
    subnets.sort_by_key(|subnet| Family::of(subnet.subnet.addr()));
    for subnet in subnets {
        let taken = |address: &IpAddr| subnet.auxiliary.values().any(|other| other == address);
        let first = addresses::first(subnet.ip_range.as_ref().unwrap_or(&subnet.subnet));
        subnet.gateway = subnet.gateway.or(first.filter(|first| !taken(first)));
        if subnet.gateway.is_none() {
            let text = format!("no address of {} is left for the gateway; give one by --gateway", subnet.subnet);
            return Err(NetworksError::Subnet(text));
        }
    }
    Ok(())
}

/// A unique local range that nothing else has.
fn unique_local(taken: &[IpNet]) -> Result<IpNet, NetworksError> {
    for _ in 0..16 {
        let id = NetworkId::random().map_err(NetworksError::Random)?;
        let bits = u64::from_str_radix(&id.as_str()[..10], 16).unwrap_or_default().to_be_bytes();
        let [_, _, _, random @ ..] = bits;
        if let Some(range) = addresses::unique_local(random, taken) {
            return Ok(range);
        }
    }
    Err(NetworksError::NoPool)
}

/// The option that names the bridge.
const NAME: &str = "com.docker.network.bridge.name";

/// What `--opt` says.
#[derive(Debug)]
struct Options {
    driver: Driver,
    name: Option<InterfaceName>,
    mtu: Option<u32>,
    internal: bool,
}

impl Options {
    fn read(driver: &str, options: &BTreeMap<String, String>) -> Result<Self, NetworksError> {
        let mut read = match driver {
            "bridge" => {
                Self { driver: Driver::Bridge(BridgeOptions::default()), name: None, mtu: None, internal: false }
            }
            "macvlan" => {
                let driver = Driver::Macvlan { mode: MacvlanMode::default() };
                Self { driver, name: None, mtu: None, internal: false }
            }
            "ipvlan" => {
                let reason = "there is no such driver here: macvlan puts containers on the network of an interface of the host, \
                              and a bridge with -o com.docker.network.bridge.enable_ip_masquerade=false routes to them"
                    .to_owned();
                return Err(NetworksError::Option { name: "--driver ipvlan".to_owned(), reason });
            }
            _ => {
                let reason = "bridge and macvlan are the drivers; host and none are networks that are there".to_owned();
                return Err(NetworksError::Option { name: format!("--driver {driver}"), reason });
            }
        };
        for (name, value) in options {
            let wrong = |reason: String| NetworksError::Option { name: name.clone(), reason };
            read.take(name, value).map_err(wrong)?;
        }
        Ok(read)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        let truth = || match value {
            "" | "1" | "true" | "True" | "TRUE" | "t" | "T" => Ok(true),
            "0" | "false" | "False" | "FALSE" | "f" | "F" => Ok(false),
            _ => Err(format!("{value:?} is neither true nor false")),
        };
        match (name, &mut self.driver) {
            ("com.docker.network.driver.mtu" | "mtu", _) => {
                let mtu = value.parse().ok().filter(|mtu| (68..=65535).contains(mtu));
                self.mtu = Some(mtu.ok_or_else(|| format!("{value:?} is no MTU from 68 to 65535"))?);
            }
            (NAME, Driver::Bridge(_)) => {
                self.name =
                    Some(value.parse().map_err(|error: stockade_network::model::InvalidInterface| error.to_string())?)
            }
            ("com.docker.network.bridge.enable_icc" | "enable_icc", Driver::Bridge(bridge)) => {
                bridge.isolation = if truth()? { Isolation::Open } else { Isolation::Isolated };
            }
            ("com.docker.network.bridge.enable_ip_masquerade", Driver::Bridge(bridge)) => bridge.masquerade = truth()?,
            ("com.docker.network.bridge.host_binding_ipv4", Driver::Bridge(bridge)) => {
                let address: std::net::Ipv4Addr =
                    value.parse().map_err(|_other| format!("{value:?} is no IPv4 address"))?;
                bridge.host_binding = Some(address.into());
            }
            ("host-access", Driver::Bridge(bridge)) => bridge.host_access = truth()?,
            ("parent", Driver::Macvlan { .. }) => {
                self.name =
                    Some(value.parse().map_err(|error: stockade_network::model::InvalidInterface| error.to_string())?)
            }
            ("macvlan_mode", Driver::Macvlan { mode }) => {
                *mode = match value {
                    "" | "bridge" => MacvlanMode::Bridge,
                    "private" => MacvlanMode::Private,
                    "vepa" => MacvlanMode::Vepa,
                    "passthru" => MacvlanMode::Passthru,
                    _ => return Err(format!("{value:?} is no mode: bridge, private, vepa or passthru")),
                };
            }
            ("internal", Driver::Macvlan { .. }) => self.internal = truth()?,
            (_, Driver::Bridge(_)) => {
                return Err(
                    "the driver bridge has the options com.docker.network.bridge.name, com.docker.network.driver.mtu, \
                            com.docker.network.bridge.enable_icc, com.docker.network.bridge.enable_ip_masquerade, \
                            com.docker.network.bridge.host_binding_ipv4 and host-access"
                        .to_owned(),
                );
            }
            (_, Driver::Macvlan { .. }) => {
                return Err(
                    "the driver macvlan has the options parent, macvlan_mode and com.docker.network.driver.mtu"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }

    /// The bridge, or the parent.
    fn interface(&self, id: &NetworkId) -> Result<InterfaceName, NetworksError> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        match self.driver {
            Driver::Bridge(_) => {
                let name = format!("br-{}", id.short());
                name.parse().map_err(|error: stockade_network::model::InvalidInterface| {
                    NetworksError::Subnet(error.to_string())
                })
            }
            Driver::Macvlan { .. } => Err(NetworksError::Option {
                name: "parent".into(),
                reason: "macvlan needs an interface of the host: --opt parent=INTERFACE".into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(subnets: &[&str], gateways: &[&str]) -> NewNetwork {
        NewNetwork {
            name: "net".parse().unwrap(),
            driver: "bridge".into(),
            subnets: subnets.iter().map(|text| text.parse().unwrap()).collect(),
            gateways: gateways.iter().map(|text| text.parse().unwrap()).collect(),
            ranges: Vec::new(),
            auxiliary: BTreeMap::new(),
            internal: false,
            ipv6: subnets.iter().any(|text| text.contains(':')),
            ipv4: true,
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
        }
    }

    fn planned(new: &NewNetwork) -> Result<Vec<String>, NetworksError> {
        let mut all = subnets(new)?;
        fill(new, &mut all, &[])?;
        let text = |subnet: &Subnet| format!("{} {}", subnet.subnet, subnet.gateway.unwrap());
        Ok(all.iter().map(text).collect())
    }

    #[test]
    fn ranges_and_gateways() {
        assert_eq!(planned(&new(&[], &[])).unwrap(), ["172.17.0.0/16 172.17.0.1"]);
        assert_eq!(planned(&new(&["10.1.2.3/24"], &["10.1.2.254"])).unwrap(), ["10.1.2.0/24 10.1.2.254"]);
        let both = planned(&new(&["fd00:1::/64", "10.0.0.0/24"], &[])).unwrap();
        assert_eq!(both, ["10.0.0.0/24 10.0.0.1", "fd00:1::/64 fd00:1::1"]);
        let six = NewNetwork { ipv6: true, ipv4: false, ..new(&[], &[]) };
        assert!(planned(&six).unwrap()[0].starts_with("fd"));
        for (wrong, says) in [
            (new(&["10.0.0.0/24", "10.1.0.0/24"], &[]), "one subnet of IPv4"),
            (new(&["10.0.0.0/24"], &["10.1.0.1"]), "no matching subnet for gateway 10.1.0.1"),
            (new(&["10.0.0.0/24"], &["10.0.0.255"]), "is no gateway"),
            (new(&[], &["10.1.0.1"]), "must have a corresponding subnet"),
            (new(&["10.0.0.0/31"], &[]), "no address for a container"),
            (NewNetwork { ipv6: false, ..new(&["fd00::/64"], &[]) }, "--ipv6"),
            (NewNetwork { ranges: vec!["10.2.0.0/24".parse().unwrap()], ..new(&["10.0.0.0/24"], &[]) }, "for range"),
        ] {
            let said = planned(&wrong).unwrap_err().to_string();
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn options_are_known_or_refused() {
        let read = |driver: &str, options: &[(&str, &str)]| {
            let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            Options::read(driver, &options)
        };
        let all = [
            (NAME, "br0"),
            ("com.docker.network.driver.mtu", "1400"),
            ("com.docker.network.bridge.enable_icc", "false"),
            ("com.docker.network.bridge.enable_ip_masquerade", "false"),
            ("com.docker.network.bridge.host_binding_ipv4", "127.0.0.1"),
            ("host-access", "true"),
        ];
        let options = read("bridge", &all).unwrap();
        let expected = BridgeOptions {
            isolation: Isolation::Isolated,
            masquerade: false,
            host_binding: Some("127.0.0.1".parse().unwrap()),
            host_access: true,
        };
        assert_eq!((options.driver, options.mtu), (Driver::Bridge(expected), Some(1400)));
        assert!(read("macvlan", &[("parent", "eth0"), ("macvlan_mode", "vepa")]).is_ok());
        for (driver, name, value) in [
            ("bridge", "com.docker.network.bridge.inhibit_ipv4", "true"),
            ("bridge", "parent", "eth0"),
            ("bridge", NAME, "a/b"),
            ("bridge", "com.docker.network.driver.mtu", "1"),
            ("bridge", "host-access", "perhaps"),
            ("macvlan", "host-access", "true"),
            ("overlay", "mtu", "1400"),
        ] {
            assert!(read(driver, &[(name, value)]).is_err(), "{driver} {name}={value}");
        }
        let id = NetworkId::random().unwrap();
        assert!(read("macvlan", &[]).unwrap().interface(&id).is_err());
        assert_eq!(read("bridge", &[]).unwrap().interface(&id).unwrap().as_str().len(), 15);
    }
}
