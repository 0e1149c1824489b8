//! What goes where: tables of nf_tables that say what networks and endpoints are, replaced in one transaction.
//!
//! `inet stockade` and `bridge stockade` on the host are ours; no other table is looked at or changed, so that what others drop stays dropped.
//!
//! - **raw**: nothing is for 127.0.0.0/8 and `::1` that does not come from the loopback, or the ports that are published there would be led to for
//!   neighbours, too; what comes from a network's bridge has an address of that network, and nothing comes from a port of a bridge by itself; what
//!   comes from elsewhere is for a container's address only if it was sent by the host, as a port that is published (but where it is not masqueraded).
//! - **in**: of the host's services a container reaches none but by ports that are published (unless `host-access`); it is answered, and can be
//!   told of errors.
//! - **through**: into a network goes what belongs to a connection, what a published port led there, and, on one bridge, what its containers say
//!   to each other; out of an internal network nothing.
//! - **nat**: published ports, and the host's address for what leaves it.
//! - the table of frames: a container has the hardware address and the addresses that it was given, and advertises no routes. Frames to addresses
//!   that a bridge keeps to its link the kernel takes as if the port were no port: they would come around all other rules.

mod questions;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use ipnet::IpNet;
use stockade_kernel::netlink::Protocol as Part;
use stockade_kernel::netlink::socket::Socket;

use crate::KernelError;
use crate::bridge;
use crate::model::{BridgeOptions, Driver, Endpoint, Isolation, Mac, Network, PublishedPort};
use crate::nft::{self, Chain, Family, Hook, Is, Rule, Table};
use crate::owner::{self, Claim, Verdict};

pub use questions::redirect;

/// The tables' name.
const NAME: &str = "stockade";
/// `NFPROTO` numbers of protocols: ICMP and ICMPv6.
const ICMP: [u8; 2] = [1, 58];

/// Whether packets between other interfaces are forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// As the host's administrator has it.
    AsBefore,
    /// They are not: that anything is forwarded at all is our doing.
    Drop,
}

/// Makes the tables what the networks and their endpoints say, which are those of the data folder `owner`. Without endpoints it leaves rules of
/// another one alone.
///
/// # Errors
/// [`KernelError::Owned`] if another data folder has containers on networks here; [`KernelError::Netlink`]. Then the tables are what they were.
pub fn apply(state: &[(Network, Vec<Endpoint>)], others: Others, owner: &Path) -> Result<(), KernelError> {
    let bridges: Vec<Bridge<'_>> = state.iter().filter_map(Bridge::of).collect();
    let endpoints = bridges.iter().map(|bridge| bridge.endpoints.len()).sum();
    let wanted = Claim { owner: owner.to_owned(), endpoints, others };
    let _lock = owner::lock()?;
    let mut socket = Socket::open_for(Part::Netfilter)?;
    let claim = match owner::decide(owner::current(&mut socket, NAME)?, wanted, Path::exists) {
        Verdict::Replace(claim) => claim,
        Verdict::Leave => return Ok(()),
        Verdict::Refuse(owner) => return Err(KernelError::Owned(owner)),
    };
    let loopback = if bridge::has_loopback_six()? { Loopback::Both } else { Loopback::Four };
    let packets = packets(&bridges, claim.others, loopback);
    let tables = [Table { comment: Some(claim.comment()), ..packets }, frames(&bridges)];
    Ok(socket.batch(nft::transaction(&tables), || "replace the rules of networks".to_owned())?)
}

/// Whether containers of the data folder `owner` can be on networks here.
///
/// # Errors
/// [`KernelError::Owned`].
pub fn check(owner: &Path) -> Result<(), KernelError> {
    let mut socket = Socket::open_for(Part::Netfilter)?;
    let wanted = Claim { owner: owner.to_owned(), endpoints: 1, others: Others::AsBefore };
    match owner::decide(owner::current(&mut socket, NAME)?, wanted, Path::exists) {
        Verdict::Replace(_) | Verdict::Leave => Ok(()),
        Verdict::Refuse(owner) => Err(KernelError::Owned(owner)),
    }
}

/// A network with a bridge.
struct Bridge<'a> {
    network: &'a Network,
    options: &'a BridgeOptions,
    endpoints: &'a [Endpoint],
}

impl<'a> Bridge<'a> {
    fn of((network, endpoints): &'a (Network, Vec<Endpoint>)) -> Option<Self> {
        match &network.driver {
            Driver::Bridge(options) => Some(Self { network, options, endpoints }),
            Driver::Macvlan { .. } => None,
        }
    }

    fn from(&self) -> Rule {
        nft::from(Is::Equal, &self.network.interface)
    }

    fn to(&self) -> Rule {
        nft::to(Is::Equal, &self.network.interface)
    }

    fn ranges(&self) -> impl Iterator<Item = IpNet> {
        self.network.subnets.iter().map(|subnet| subnet.subnet)
    }
}

fn chain(name: &'static str, kind: &'static str, number: u32, priority: i32, rules: Vec<Rule>) -> Chain {
    Chain { name, hook: Hook { kind, number, priority }, rules }
}

/// By which of the host's loopback addresses published ports are reached ([`bridge::has_loopback_six`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loopback {
    Four,
    Both,
}

fn packets(bridges: &[Bridge<'_>], others: Others, loopback: Loopback) -> Table {
    let published = published(bridges);
    let mut own_ports = Vec::new();
    if loopback == Loopback::Four {
        // Nobody is asked in vain: who tries `::1` first is refused, and goes on with 127.0.0.1.
        let six = IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST));
        own_ports.push([nft::version(six.addr()), nft::destination(Is::Equal, six), nft::accept()].concat());
    }
    own_ports.extend(published.iter().cloned());
    let chains = vec![
        chain("raw", "filter", 0, -300, raw(bridges)),
        chain("in", "filter", 1, 0, bridges.iter().flat_map(into_host).collect()),
        chain("through", "filter", 2, 0, through(bridges, others)),
        chain("ports", "nat", 0, -100, published),
        chain("own-ports", "nat", 3, -100, own_ports),
        chain("leave", "nat", 4, 100, bridges.iter().flat_map(leave).collect()),
    ];
    Table { family: Family::Inet, name: NAME, comment: None, chains }
}

fn raw(bridges: &[Bridge<'_>]) -> Vec<Rule> {
    let mut rules = Vec::new();
    let loopback = IpNet::from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)));
    let loopback = IpNet::new(loopback.addr(), 8).unwrap_or(loopback);
    let four = nft::version(loopback.addr());
    for end in [nft::destination, nft::source].map(|end| end(Is::Equal, loopback)) {
        rules.push([not_loopback(), four.clone(), end, nft::drop_it()].concat());
    }
    let loopback = IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST));
    for end in [nft::destination, nft::source].map(|end| end(Is::Equal, loopback)) {
        rules.push([not_loopback(), nft::version(loopback.addr()), end, nft::drop_it()].concat());
    }
    for bridge in bridges {
        for endpoint in bridge.endpoints {
            rules.push([nft::from(Is::Equal, &endpoint.host_interface), nft::drop_it()].concat());
        }
        for range in bridge.ranges() {
            let version = nft::version(range.addr());
            let mut spoofed = vec![bridge.from(), version.clone(), nft::source(Is::Other, range)];
            if range.addr().is_ipv6() {
                // Neighbours find each other by their own addresses of the link, and by none.
                let link = IpNet::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0).into(), 10).unwrap_or(range);
                spoofed.push(nft::source(Is::Other, link));
                spoofed.push(nft::source(Is::Other, IpNet::from(IpAddr::V6(Ipv6Addr::UNSPECIFIED))));
            }
            spoofed.push(nft::drop_it());
            rules.push(spoofed.concat());
            if !bridge.options.masquerade && !bridge.network.internal {
                // What answers a container comes to its own address; whether it does is known once connections are.
                continue;
            }
            let elsewhere = nft::from(Is::Other, &bridge.network.interface);
            let gateway = bridge.network.subnets.iter().find(|subnet| subnet.subnet == range);
            let mut direct = vec![elsewhere, not_loopback(), version, nft::destination(Is::Equal, range)];
            if let Some(gateway) = gateway.and_then(|subnet| subnet.gateway) {
                direct.push(nft::destination(Is::Other, gateway.into()));
            }
            direct.push(nft::drop_it());
            rules.push(direct.concat());
        }
    }
    rules
}

/// What the loopback delivers is the host's own.
fn not_loopback() -> Rule {
    nft::from_loopback(Is::Other)
}

fn into_host(bridge: &Bridge<'_>) -> Vec<Rule> {
    if bridge.options.host_access {
        return Vec::new();
    }
    let mut rules = vec![[bridge.from(), nft::state(2 | 4), nft::accept()].concat()];
    rules.extend(ICMP.map(|number| [bridge.from(), nft::protocol(number), nft::accept()].concat()));
    rules.push([bridge.from(), nft::drop_it()].concat());
    rules
}

fn through(bridges: &[Bridge<'_>], others: Others) -> Vec<Rule> {
    let mut rules = Vec::new();
    for bridge in bridges {
        rules.push([bridge.to(), nft::state(1), nft::drop_it()].concat());
        rules.push([bridge.from(), nft::state(1), nft::drop_it()].concat());
    }
    let open = |bridge: &Bridge<'_>| bridge.options.isolation == Isolation::Open;
    let within = |bridge: &Bridge<'_>| [bridge.from(), bridge.to(), nft::accept()].concat();
    // Internal networks first: what another network takes in, such as its published ports, would else end the way of a packet from an
    // internal one before it is dropped.
    for bridge in bridges.iter().filter(|bridge| bridge.network.internal) {
        if open(bridge) {
            rules.push(within(bridge));
        }
        rules.push([bridge.to(), nft::drop_it()].concat());
        rules.push([bridge.from(), nft::drop_it()].concat());
    }
    for bridge in bridges.iter().filter(|bridge| !bridge.network.internal) {
        rules.push([bridge.to(), nft::state(2 | 4), nft::accept()].concat());
        rules.push([bridge.to(), nft::published(), nft::accept()].concat());
        if open(bridge) {
            rules.push(within(bridge));
        }
        rules.push([bridge.to(), nft::drop_it()].concat());
    }
    if others == Others::Drop {
        for bridge in bridges.iter().filter(|bridge| !bridge.network.internal) {
            rules.push([bridge.from(), nft::accept()].concat());
        }
        rules.push(nft::drop_it());
    }
    rules
}

/// The ports of the host that lead to containers.
fn published(bridges: &[Bridge<'_>]) -> Vec<Rule> {
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
    let asked = [nft::version(address), host, nft::protocol(port.protocol.number()), nft::port(port.host_port)];
    Some([asked.concat(), nft::lead(address, port.container_port)].concat())
}

fn leave(bridge: &Bridge<'_>) -> Vec<Rule> {
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

/// The types of frames: IPv4, ARP and IPv6.
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

fn frames(bridges: &[Bridge<'_>]) -> Table {
    let endpoints = bridges.iter().flat_map(|bridge| bridge.endpoints);
    let rules = endpoints.flat_map(honest).collect();
    let endpoints = bridges.iter().flat_map(|bridge| bridge.endpoints);
    let kept =
        |end: &Endpoint| [nft::from(Is::Equal, &end.host_interface), nft::kept_to_link(), nft::drop_it()].concat();
    let chains = vec![
        chain("senders", "filter", 0, -300, rules),
        chain("kept", "filter", 1, -300, endpoints.map(kept).collect()),
    ];
    Table { family: Family::Bridge, name: NAME, comment: None, chains }
}

/// What a container may claim to be.
fn honest(endpoint: &Endpoint) -> Vec<Rule> {
    let port = nft::from(Is::Equal, &endpoint.host_interface);
    let with = |parts: &[Rule]| [port.clone(), parts.concat(), nft::drop_it()].concat();
    let mut rules = vec![with(&[nft::sender(Is::Other, endpoint.mac)])];
    match endpoint.ipv4 {
        Some(address) => {
            // Nearly every frame, which none of the others is about: it is not asked them all.
            let usual = [nft::frame(Is::Equal, IPV4), nft::source(Is::Equal, IpAddr::V4(address).into())];
            rules.push([port.clone(), usual.concat(), nft::accept()].concat());
            let own = nft::source(Is::Other, IpAddr::V4(address).into());
            rules.push(with(&[nft::frame(Is::Equal, IPV4), own]));
            // The sender's hardware address and address in ARP's packet.
            rules.push(with(&[nft::frame(Is::Equal, ARP), nft::bytes(8, Is::Other, &endpoint.mac.octets())]));
            let none = nft::bytes(14, Is::Other, &[0; 4]);
            rules.push(with(&[nft::frame(Is::Equal, ARP), nft::bytes(14, Is::Other, &address.octets()), none]));
        }
        None => rules.extend([IPV4, ARP].map(|kind| with(&[nft::frame(Is::Equal, kind)]))),
    }
    match endpoint.ipv6 {
        Some(address) => {
            let link = link_local(endpoint.mac);
            let others =
                [address, link, Ipv6Addr::UNSPECIFIED].map(|own| nft::source(Is::Other, IpAddr::V6(own).into()));
            rules.push(with(&[nft::frame(Is::Equal, IPV6), others.concat()]));
            let tells = |kind| [nft::frame(Is::Equal, IPV6), nft::protocol(58), nft::transport(0, Is::Equal, &[kind])];
            // Router advertisements and redirects.
            for kind in [134, 137] {
                rules.push(with(&tells(kind)));
            }
            // A neighbour's advertisement of an address (its target) that is another's; sent from an address of its own, that passes the rule above.
            let targets = [address, link].map(|own| nft::transport(8, Is::Other, &own.octets()));
            rules.push(with(&[tells(136).concat(), targets.concat()]));
        }
        None => rules.push(with(&[nft::frame(Is::Equal, IPV6)])),
    }
    // Frames of other types, tags in front of others' packets among them (CVE-2021-27853): what is in them is not looked at here, but by
    // who gets them.
    rules.push(with(&[IPV4, ARP, IPV6].map(|kind| nft::frame(Is::Other, kind))));
    rules
}

/// The address that an interface gives itself on its link (RFC 4291, appendix A), as its setting `addr_gen_mode` has it.
fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.octets().map(u16::from);
    Ipv6Addr::new(0xfe80, 0, 0, 0, (a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f)
}
