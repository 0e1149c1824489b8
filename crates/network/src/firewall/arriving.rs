//! What comes in, before anything else is done with it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use super::{Bridge, led_to};
use crate::nft::{self, Chain, Elements, Field, Is, Rule, Set, Verdict};

/// What is known of an interface by which something comes: `drop` for a port of a bridge, the bridge's own chain for a bridge.
const ARRIVALS: &str = "arrivals";
const BY: &[Field] = &[Field::CameBy];

/// The rules of the chain, and where they lead.
pub(super) fn raw(bridges: &[Bridge<'_>]) -> (Vec<Rule>, Vec<Chain>, Set) {
    // What the loopback delivers is the host's own.
    let mut rules = vec![[nft::from_loopback(Is::Equal), nft::accept()].concat(), nft::as_in(BY, ARRIVALS)];
    let loopbacks =
        [IpNet::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8).ok(), Some(IpAddr::from(Ipv6Addr::LOCALHOST).into())];
    for loopback in loopbacks.into_iter().flatten() {
        for end in [nft::destination, nft::source] {
            rules.push([nft::version(loopback.addr()), end(Is::Equal, loopback), nft::drop_it()].concat());
        }
    }
    rules.extend(bridges.iter().flat_map(direct));
    let own = |bridge: &Bridge<'_>| (bridge.chain("from"), honest(bridge));
    let mut arrivals = Vec::new();
    for bridge in bridges {
        let ports = bridge.endpoints.iter().map(|end| (nft::named(&end.host_interface), Verdict::Drop));
        arrivals.extend(ports);
        arrivals.push((nft::named(&bridge.network.interface), Verdict::Jump(bridge.chain("from"))));
    }
    let set = Set { name: ARRIVALS, fields: BY, elements: Elements::Verdicts(arrivals) };
    (rules, bridges.iter().map(own).map(led_to).collect(), set)
}

/// What comes from a network's bridge has an address of that network.
fn honest(bridge: &Bridge<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for subnet in &bridge.network.subnets {
        let range = subnet.subnet;
        let version = nft::version(range.addr());
        if let Some(gateway) = subnet.gateway {
            // What a container says to the host at its own bridge none of the other rules is about: it is not asked them.
            let usual = [nft::source(Is::Equal, range), nft::destination(Is::Equal, gateway.into())];
            rules.push([version.clone(), usual.concat(), nft::accept()].concat());
        }
        let mut spoofed = vec![version, nft::source(Is::Other, range)];
        if range.addr().is_ipv6() {
            // Neighbours find each other by their own addresses of the link, and by none.
            let link = Ipv6Net::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10).map_or(range, IpNet::V6);
            spoofed.push(nft::source(Is::Other, link));
            spoofed.push(nft::source(Is::Other, IpNet::from(IpAddr::V6(Ipv6Addr::UNSPECIFIED))));
        }
        spoofed.push(nft::drop_it());
        rules.push(spoofed.concat());
    }
    rules
}

/// Nothing comes from elsewhere for a container's own address.
fn direct(bridge: &Bridge<'_>) -> Vec<Rule> {
    if !bridge.options.masquerade && !bridge.network.internal {
        // What answers a container comes to its own address; whether it does is known once connections are.
        return Vec::new();
    }
    let of = |subnet: &crate::model::Subnet| {
        let mut direct = vec![nft::version(subnet.subnet.addr()), nft::destination(Is::Equal, subnet.subnet)];
        if let Some(gateway) = subnet.gateway {
            direct.push(nft::destination(Is::Other, gateway.into()));
        }
        direct.extend([nft::from(Is::Other, &bridge.network.interface), nft::drop_it()]);
        direct.concat()
    };
    bridge.network.subnets.iter().map(of).collect()
}
