//! Which address a container gets, and which range a network. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::model::{Family, Subnet};

/// The ranges that Docker takes networks from, in its order.
fn pools() -> impl Iterator<Item = Ipv4Net> {
    let large = (17..32).map(|second| (Ipv4Addr::new(172, second, 0, 0), 16));
    let small = (0..=255).step_by(16).map(|third| (Ipv4Addr::new(192, 168, third, 0), 20));
    large.chain(small).filter_map(|(address, length)| Ipv4Net::new(address, length).ok())
}

/// Whether two ranges have an address in common.
#[must_use]
pub fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// The first of Docker's ranges that has nothing in common with those that are `taken`, by other networks and by the host's routes.
#[must_use]
pub fn free_subnet(taken: &[IpNet]) -> Option<IpNet> {
    pools().map(IpNet::V4).find(|pool| !taken.iter().any(|other| overlap(pool, other)))
}

/// A unique local range (RFC 4193) with these random bits as its global id; `None` if it is taken.
#[must_use]
pub fn unique_local(random: [u8; 5], taken: &[IpNet]) -> Option<IpNet> {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&random);
    let range = IpNet::V6(Ipv6Net::new(Ipv6Addr::from(octets), 64).ok()?);
    (!taken.iter().any(|other| overlap(&range, other))).then_some(range)
}

/// The first address of a range that a gateway can have.
#[must_use]
pub fn first(range: &IpNet) -> Option<IpAddr> {
    let first = at(number(range.network()).checked_add(1)?, range)?;
    is_host(range, first).then_some(first)
}

/// Whether an interface can have the address in that range: it is in it, and neither its name nor, of IPv4, its broadcast address.
#[must_use]
pub fn is_host(range: &IpNet, address: IpAddr) -> bool {
    let single = range.prefix_len() + 1 >= range.max_prefix_len();
    let reserved = address == range.network() || (address.is_ipv4() && address == range.broadcast());
    range.contains(&address) && (single || !reserved)
}

/// Why an address cannot be given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is outside.
    #[error("no configured subnet contains {address}: the network has {subnet}")]
    Outside {
        /// The address.
        address: IpAddr,
        /// The range.
        subnet: IpNet,
    },
    /// It is the range's own, or the gateway's, or somebody else's.
    #[error("the address {0} is not for containers: it is the network's, the gateway's or an auxiliary one")]
    Reserved(IpAddr),
    /// Another container has it.
    #[error("the address {0} is already in use")]
    InUse(IpAddr),
    /// There is none left.
    #[error("no address is left in {0}; remove containers, or make a network with a larger subnet")]
    Exhausted(IpNet),
}

/// Whether the address that was asked for can be given.
///
/// # Errors
/// See [`AddressError`].
pub fn claim(subnet: &Subnet, address: IpAddr, used: &BTreeSet<IpAddr>) -> Result<IpAddr, AddressError> {
    if !subnet.subnet.contains(&address) {
        return Err(AddressError::Outside { address, subnet: subnet.subnet });
    }
    if !is_host(&subnet.subnet, address) || is_reserved(subnet, address) {
        return Err(AddressError::Reserved(address));
    }
    if used.contains(&address) {
        return Err(AddressError::InUse(address));
    }
    Ok(address)
}

/// The next address that is free behind `last`, which was given before: one that was given back is used again as late as can be.
///
/// # Errors
/// [`AddressError::Exhausted`].
pub fn choose(subnet: &Subnet, used: &BTreeSet<IpAddr>, last: Option<IpAddr>) -> Result<IpAddr, AddressError> {
    let range = subnet.ip_range.as_ref().unwrap_or(&subnet.subnet);
    let (low, high) = (number(range.network()), number(range.broadcast()));
    let start = last.filter(|last| range.contains(last)).map_or(low, number);
    let next = |now: u128| if now >= high { low } else { now + 1 };
    let mut now = start;
    // Each step but the last finds an address that somebody has or nobody can have, of which there are so many.
    let most = used.len() + subnet.auxiliary.len() + 4;
    for _ in 0..most {
        now = next(now);
        let Some(address) = at(now, range) else { break };
        if is_host(&subnet.subnet, address) && !is_reserved(subnet, address) && !used.contains(&address) {
            return Ok(address);
        }
    }
    Err(AddressError::Exhausted(*range))
}

fn is_reserved(subnet: &Subnet, address: IpAddr) -> bool {
    subnet.gateway == Some(address) || subnet.auxiliary.values().any(|other| *other == address)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The address with that number, of the family of `range`.
fn at(number: u128, range: &IpNet) -> Option<IpAddr> {
    match Family::of(range.addr()) {
        Family::V4 => u32::try_from(number).ok().map(|number| Ipv4Addr::from(number).into()),
        Family::V6 => Some(Ipv6Addr::from(number).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn subnet(range: &str, gateway: Option<&str>, ip_range: Option<&str>) -> Subnet {
        let gateway = gateway.map(|gateway| gateway.parse().unwrap());
        let ip_range = ip_range.map(|range| range.parse().unwrap());
        Subnet { subnet: range.parse().unwrap(), gateway, ip_range, auxiliary: BTreeMap::new() }
    }

    #[test]
    fn networks_avoid_what_is_taken() {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        let free = |texts: &[&str]| free_subnet(&nets(texts)).map(|net| net.to_string());
        assert_eq!(free(&[]).as_deref(), Some("172.17.0.0/16"));
        assert_eq!(free(&["172.17.3.0/24", "172.18.0.0/15"]).as_deref(), Some("172.20.0.0/16"));
        assert_eq!(free(&["172.16.0.0/12"]).as_deref(), Some("192.168.0.0/20"));
        assert_eq!(free(&["172.16.0.0/12", "192.168.1.1/32"]).as_deref(), Some("192.168.16.0/20"));
        assert_eq!(free(&["0.0.0.0/0"]), None);
        assert_eq!(free(&["172.16.0.0/12", "192.168.0.0/16"]), None);
        assert_eq!(unique_local([1, 2, 3, 4, 5], &[]).unwrap().to_string(), "fd01:203:405::/64");
        assert_eq!(unique_local([1, 2, 3, 4, 5], &nets(&["fd00::/8"])), None);
    }

    #[test]
    fn addresses_go_round() {
        let net = subnet("10.0.0.0/29", Some("10.0.0.1"), None);
        let mut used = BTreeSet::new();
        let mut last = None;
        for expected in ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"] {
            let got = choose(&net, &used, last).unwrap();
            assert_eq!(got.to_string(), expected);
            used.insert(got);
            last = Some(got);
        }
        assert_eq!(choose(&net, &used, last), Err(AddressError::Exhausted(net.subnet)));
        for back in ["10.0.0.6", "10.0.0.3"] {
            used.remove(&back.parse().unwrap());
        }
        assert_eq!(choose(&net, &used, last).unwrap().to_string(), "10.0.0.3", "the one given back first comes last");
    }

    #[test]
    fn ranges_gateways_and_others() {
        let mut net = subnet("10.0.0.0/24", Some("10.0.0.9"), Some("10.0.0.8/30"));
        net.auxiliary.insert("printer".into(), "10.0.0.10".parse().unwrap());
        let got = choose(&net, &BTreeSet::new(), None).unwrap();
        assert_eq!(got.to_string(), "10.0.0.11");
        let after = choose(&net, &BTreeSet::new(), Some(got)).unwrap();
        assert_eq!(after.to_string(), "10.0.0.8", "it is no broadcast address or network's of the subnet");
        let ask = |address: &str, used: &[&str]| {
            claim(&net, address.parse().unwrap(), &used.iter().map(|used| used.parse().unwrap()).collect())
        };
        assert!(ask("10.0.0.77", &[]).is_ok(), "outside of the range for those who do not ask");
        assert!(matches!(ask("10.0.1.1", &[]), Err(AddressError::Outside { .. })));
        assert!(matches!(ask("10.0.0.77", &["10.0.0.77"]), Err(AddressError::InUse(_))));
        for reserved in ["10.0.0.0", "10.0.0.255", "10.0.0.9", "10.0.0.10"] {
            assert!(matches!(ask(reserved, &[]), Err(AddressError::Reserved(_))), "{reserved}");
        }
        let six = subnet("fd00::/64", Some("fd00::1"), None);
        assert_eq!(choose(&six, &BTreeSet::new(), None).unwrap().to_string(), "fd00::2");
        assert_eq!(first(&"10.1.0.0/16".parse().unwrap()).unwrap().to_string(), "10.1.0.1");
        assert_eq!(first(&"10.1.0.0/32".parse().unwrap()), None);
        let pair = subnet("10.0.0.0/31", None, None);
        assert_eq!(choose(&pair, &BTreeSet::new(), None).unwrap().to_string(), "10.0.0.1");
    }

    proptest! {
        #[test]
        fn every_address_is_given_once(length in 24u8..=30, start in any::<u8>()) {
            let net = subnet(&format!("10.0.0.0/{length}"), Some("10.0.0.1"), None);
            let mut used = BTreeSet::new();
            let mut last: Option<IpAddr> = Some(Ipv4Addr::new(10, 0, 0, start).into());
            while let Ok(address) = choose(&net, &used, last) {
                prop_assert!(used.insert(address));
                prop_assert!(claim(&net, address, &BTreeSet::new()).is_ok());
                last = Some(address);
            }
            prop_assert_eq!(used.len(), (1usize << (32 - length)) - 3);
        }
    }
}
