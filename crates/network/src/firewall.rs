//! What goes where: tables of nf_tables that say what networks and endpoints are, replaced in one transaction.
//!
//! `inet stockade` and `bridge stockade` on the host are ours; no other table is looked at or changed, so that what others drop stays dropped.
//! What a packet costs does not depend on how many containers there are: what is said of each is looked up in sets, by the interface. The first of a
//! connection is compared with each published port, and what is not between a container and its bridge with the range of each network.
//!
//! - [`arriving`], the chain `raw`: nothing is for 127.0.0.0/8 and `::1` that does not come from the loopback, or the ports that are published there
//!   would be led to for neighbours, too; what comes from a network's bridge has an address of that network, and nothing comes from a port of a bridge
//!   by itself; what comes from elsewhere is for a container's address only if it was sent by the host, as a port that is published (but where it is
//!   not masqueraded).
//! - [`passing`], the chain `in`: of the host's services a container reaches none but by ports that are published (unless `host-access`); it is
//!   answered, and can be told of errors. The chain `through`: into a network goes what belongs to a connection, what a published port led there, and,
//!   on one bridge, what its containers say to each other; out of an internal network nothing.
//! - [`translated`], chains of `nat`: published ports, and the host's address for what leaves it.
//! - [`frames`], the table of frames: a container has the hardware address and the addresses that it was given, and advertises no routes. Frames to
//!   addresses that a bridge keeps to its link the kernel takes as if the port were no port: they would come around all other rules.
//! - [`questions`], in a container: what it asks its name server.

mod arriving;
mod frames;
mod passing;
mod questions;
mod translated;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use ipnet::IpNet;
use stockade_kernel::netlink::Protocol as Part;
use stockade_kernel::netlink::socket::Socket;

use crate::KernelError;
use crate::bridge;
use crate::model::{BridgeOptions, Driver, Endpoint, Network};
use crate::nft::{self, Chain, Family, Hook, Is, Rule, Table};
use crate::owner::{self, Claim, Verdict};

pub use questions::redirect;

/// The tables' name.
const NAME: &str = "stockade";

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
    let tables = [Table { comment: Some(claim.comment()), ..packets }, frames::frames(&bridges)];
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

    /// The name of a chain that is about it.
    fn chain(&self, what: &str) -> Cow<'static, str> {
        format!("{what}-{}", self.network.id.as_str()).into()
    }

    fn ranges(&self) -> impl Iterator<Item = IpNet> {
        self.network.subnets.iter().map(|subnet| subnet.subnet)
    }
}

fn chain(name: &'static str, kind: &'static str, number: u32, priority: i32, rules: Vec<Rule>) -> Chain {
    Chain { name: name.into(), hook: Some(Hook { kind, number, priority }), rules }
}

/// A chain that others lead to.
fn led_to((name, rules): (Cow<'static, str>, Vec<Rule>)) -> Chain {
    Chain { name, hook: None, rules }
}

/// By which of the host's loopback addresses published ports are reached ([`bridge::has_loopback_six`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loopback {
    Four,
    Both,
}

fn packets(bridges: &[Bridge<'_>], others: Others, loopback: Loopback) -> Table {
    let published = translated::published(bridges);
    let mut own_ports = Vec::new();
    if loopback == Loopback::Four {
        // Nobody is asked in vain: who tries `::1` first is refused, and goes on with 127.0.0.1.
        let six = IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST));
        own_ports.push([nft::version(six.addr()), nft::destination(Is::Equal, six), nft::accept()].concat());
    }
    own_ports.extend(published.iter().cloned());
    let (raw, senders, arrivals) = arriving::raw(bridges);
    let (into_host, guests, guest_sets) = passing::into_host(bridges);
    let (through, crossing, crossing_sets) = passing::through(bridges, others);
    let hooked = [
        chain("raw", "filter", 0, -300, raw),
        chain("in", "filter", 1, 0, into_host),
        chain("through", "filter", 2, 0, through),
        chain("ports", "nat", 0, -100, published),
        chain("own-ports", "nat", 3, -100, own_ports),
        chain("leave", "nat", 4, 100, bridges.iter().flat_map(translated::leave).collect()),
    ];
    // A chain without rules would be called all the same.
    let hooked = hooked.into_iter().filter(|chain| !chain.rules.is_empty());
    let chains = hooked.chain(senders).chain(guests).chain(crossing).collect();
    let sets = [arrivals].into_iter().chain(guest_sets).chain(crossing_sets).collect();
    Table { family: Family::Inet, name: NAME, comment: None, chains, sets }
}
