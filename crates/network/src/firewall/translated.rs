//! Addresses that are exchanged: published ports, and the host's address for what leaves it. Only the first packet of a connection is asked these.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Bridge;
use crate::model::PublishedPort;
use crate::nft::{self, Is, Rule};

/// The ports of the host that lead to containers.
pub(super) fn published(bridges: &[Bridge<'_>]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for bridge in bridges.iter().filter(|bridge| !bridge.network.internal) {
        for endpoint in bridge.endpoints {
            for port in &endpoint.ports {
                rules.extend(lead(port, endpoint.ipv4.map(IpAddr::V4)));
                rules.extend(lead(port, endpoint.ipv6.map(IpAddr::V6)));
            }
        }
    }
    rules
}

/// One port, to an address of the same version as the host's.
fn lead(port: &PublishedPort, address: Option<IpAddr>) -> Option<Rule> {
    let address = address?;
    let host = match port.host.filter(|host| !host.is_unspecified()) {
        Some(host) if host.is_ipv4() == address.is_ipv4() => nft::destination(Is::Equal, host.into()),
        Some(_) => return None,
        None if port.host.is_some_and(|host| host.is_ipv4() != address.is_ipv4()) => return None,
        None => nft::to_host(),
    };
    let asked =
        [nft::version(address), host, nft::protocol(Is::Equal, port.protocol.number()), nft::port(port.host_port)];
    Some([asked.concat(), nft::lead(address, port.container_port)].concat())
}

pub(super) fn leave(bridge: &Bridge<'_>) -> Vec<Rule> {
    // A container that reaches itself or a sibling by the host's address is answered by way of the host, and so is the host's loopback.
    // By its source: with bridge-nf-call-iptables on, and on older kernels, nothing is known here of the interface that it came by.
    let mut rules = Vec::new();
    for range in bridge.ranges() {
        let own = [bridge.to(), nft::version(range.addr()), nft::source(Is::Equal, range), nft::published()];
        rules.push([own.concat(), nft::masquerade()].concat());
    }
    let four = IpNet::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8).ok();
    let six = bridge.network.ipv6.then(|| IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    for loopback in four.into_iter().chain(six) {
        let own = [bridge.to(), nft::version(loopback.addr()), nft::source(Is::Equal, loopback), nft::published()];
        rules.push([own.concat(), nft::masquerade()].concat());
    }
    if bridge.options.masquerade && !bridge.network.internal {
        for range in bridge.ranges() {
            let outward = nft::to(Is::Other, &bridge.network.interface);
            rules
                .push([outward, nft::version(range.addr()), nft::source(Is::Equal, range), nft::masquerade()].concat());
        }
    }
    rules
}
