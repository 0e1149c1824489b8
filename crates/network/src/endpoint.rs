//! A container's interface on a network.

use std::net::IpAddr;

use rustix::fd::BorrowedFd;
use stockade_kernel::netlink;
use stockade_kernel::netlink::socket::Socket;

use crate::KernelError;
use crate::link::PortFlag;
use crate::model::{BridgeOptions, Driver, Endpoint, Family, Isolation, MacvlanMode, Network};
use crate::{bridge, link, settings};

/// Makes the container's interface in the network namespace `target`, and its other end on the network's bridge. The caller has one thread, and
/// capabilities over both network namespaces.
///
/// # Errors
/// [`KernelError`]; what was made is removed with [`detach`], or goes with the network namespace.
pub fn attach(network: &Network, endpoint: &Endpoint, target: BorrowedFd<'_>) -> Result<(), KernelError> {
    let inside = (&endpoint.container_interface, endpoint.mac, target);
    match &network.driver {
        Driver::Bridge(options) => {
            let master = bridge::ensure(network)?;
            let mut socket = Socket::open()?;
            link::add_pair(&mut socket, &endpoint.host_interface, master, inside, network.mtu)?;
            join(&mut socket, options, endpoint)?;
        }
        Driver::Macvlan { mode } => {
            let mut socket = Socket::open()?;
            let name = &network.interface;
            let parent = link::get(&mut socket, name)?.ok_or_else(|| KernelError::Missing(name.clone()))?;
            link::add_macvlan(&mut socket, (parent.index, number(*mode)), inside, network.mtu)?;
        }
    }
    netlink::inside(target, || furnish(network, endpoint))?
}

/// `MACVLAN_MODE_*`.
fn number(mode: MacvlanMode) -> u32 {
    match mode {
        MacvlanMode::Private => 1,
        MacvlanMode::Vepa => 2,
        MacvlanMode::Bridge => 4,
        MacvlanMode::Passthru => 8,
    }
}

/// The host's end: it has no addresses, not even of its own making.
fn join(socket: &mut Socket, options: &BridgeOptions, endpoint: &Endpoint) -> Result<(), KernelError> {
    let name = &endpoint.host_interface;
    let found = link::get(socket, name)?.ok_or_else(|| KernelError::Missing(name.clone()))?;
    settings::ipv6(name.as_str(), false)?;
    if options.isolation == Isolation::Isolated {
        link::set_port(socket, name, found.index, PortFlag::Isolated)?;
    }
    if !endpoint.ports.is_empty() {
        // With bridge-nf-call-iptables on, what a container sends to a port of its own goes back by the bridge, not by way of the host.
        link::set_port(socket, name, found.index, PortFlag::Hairpin)?;
    }
    link::set_up(socket, name, found.index)
}

/// The container's end, from within.
fn furnish(network: &Network, endpoint: &Endpoint) -> Result<(), KernelError> {
    let mut socket = Socket::open()?;
    let name = &endpoint.container_interface;
    let found = link::get(&mut socket, name)?.ok_or_else(|| KernelError::Missing(name.clone()))?;
    settings::ipv6(name.as_str(), endpoint.ipv6.is_some())?;
    let addresses = [endpoint.ipv4.map(IpAddr::V4), endpoint.ipv6.map(IpAddr::V6)];
    for address in addresses.into_iter().flatten() {
        if let Some(subnet) = network.subnet(Family::of(address)) {
            link::add_address(&mut socket, found.index, address, subnet.subnet.prefix_len())?;
        }
    }
    link::set_up(&mut socket, name, found.index)?;
    if endpoint.gateway {
        routes(&mut socket, network, endpoint, found.index)?;
    }
    Ok(())
}

/// The ways out; an internal network has none.
fn routes(socket: &mut Socket, network: &Network, endpoint: &Endpoint, index: u32) -> Result<(), KernelError> {
    let families = [endpoint.ipv4.map(|_| Family::V4), endpoint.ipv6.map(|_| Family::V6)];
    for family in families.into_iter().flatten().filter(|_| !network.internal) {
        if let Some(gateway) = network.subnet(family).and_then(|subnet| subnet.gateway) {
            link::add_default_route(socket, index, gateway)?;
        }
    }
    Ok(())
}

/// Makes the network's gateways the ways out of the network namespace `target`, in place of others.
///
/// # Errors
/// [`KernelError`].
pub fn lead(network: &Network, endpoint: &Endpoint, target: BorrowedFd<'_>) -> Result<(), KernelError> {
    netlink::inside(target, || {
        let mut socket = Socket::open()?;
        let name = &endpoint.container_interface;
        let found = link::get(&mut socket, name)?.ok_or_else(|| KernelError::Missing(name.clone()))?;
        routes(&mut socket, network, endpoint, found.index)
    })?
}

/// Removes the container's interface, if it is there, from within `target`; with it goes its other end.
///
/// # Errors
/// [`KernelError`].
pub fn detach(endpoint: &Endpoint, target: BorrowedFd<'_>) -> Result<(), KernelError> {
    netlink::inside(target, || {
        let mut socket = Socket::open()?;
        match link::get(&mut socket, &endpoint.container_interface)? {
            Some(found) => link::remove(&mut socket, &endpoint.container_interface, found.index),
            None => Ok(()),
        }
    })?
}
