//! The bridge of a network, in the network namespace that the caller is in.

use std::net::IpAddr;

use stockade_kernel::netlink::socket::Socket;

use crate::KernelError;
use crate::model::{Mac, Network};
use crate::{link, settings};

/// Makes the bridge, or repairs what is missing of it: hardware address, MTU, addresses, up, settings. Several can do so at once.
///
/// # Errors
/// [`KernelError::NoBridge`] if another interface has its name.
pub fn ensure(network: &Network) -> Result<u32, KernelError> {
    let mut socket = Socket::open()?;
    let name = &network.interface;
    let found = match link::get(&mut socket, name)? {
        Some(found) => found,
        None => {
            link::add_bridge(&mut socket, name, hardware(network)?, network.mtu)?;
            link::get(&mut socket, name)?.ok_or_else(|| KernelError::Missing(name.clone()))?
        }
    };
    if found.kind != "bridge" {
        return Err(KernelError::NoBridge(name.clone()));
    }
    link::correct(&mut socket, name, &found, hardware(network)?, network.mtu)?;
    settings::ipv6(name.as_str(), network.ipv6)?;
    for subnet in &network.subnets {
        if let Some(gateway) = subnet.gateway {
            link::add_address(&mut socket, found.index, gateway, subnet.subnet.prefix_len())?;
        }
    }
    link::set_up(&mut socket, name, found.index)?;
    Ok(found.index)
}

/// The hardware address of a network's bridge, of the network's id. Without one of its own a bridge takes that of a port, and another's when
/// that port goes: its containers would then remember a wrong one.
fn hardware(network: &Network) -> Result<Mac, KernelError> {
    let mut octets = [6, 0, 0, 0, 0, 0];
    for (octet, digits) in octets[1..].iter_mut().zip(network.id.as_str().as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        *octet = u8::from_str_radix(digits, 16).map_err(|_no_digits| KernelError::Answer("a network's id"))?;
    }
    Mac::new(octets).ok_or(KernelError::Answer("a network's id"))
}

/// Lets what comes from 127.0.0.1 of the host go to the bridge, for ports that are published there. Containers are kept from 127.0.0.0/8 of
/// the host by a rule that is in force before ([`crate::firewall`]).
///
/// # Errors
/// [`KernelError::Setting`].
pub fn route_loopback(network: &Network) -> Result<(), KernelError> {
    settings::set(&format!("ipv4/conf/{}/route_localnet", network.interface), "1")
}

/// The same for `::1`, for which the kernel has no such setting, but a route that takes the answers in.
///
/// # Errors
/// [`KernelError`].
pub fn route_loopback_six(network: &Network) -> Result<(), KernelError> {
    let mut socket = Socket::open()?;
    let name = &network.interface;
    let found = link::get(&mut socket, name)?.ok_or_else(|| KernelError::Missing(name.clone()))?;
    link::add_loopback_route(&mut socket, found.index)
}

/// Whether ports that are published can be reached by `::1`: not where the kernel has packets between ports of a bridge looked at by the rules of IPv6
/// (`bridge-nf-call-ip6tables`), since answers are translated back to `::1` before the bridge hands them to the host then, which drops them.
///
/// # Errors
/// [`KernelError::Setting`].
pub fn has_loopback_six() -> Result<bool, KernelError> {
    Ok(settings::get(FILTERED_SIX)?.as_deref() != Some("1"))
}

/// Below `/proc/sys/net`; there as long as `br_netfilter` is loaded.
const FILTERED_SIX: &str = "bridge/bridge-nf-call-ip6tables";

/// Removes the bridge, if it is one.
///
/// # Errors
/// If the kernel refuses.
pub fn remove(network: &Network) -> Result<(), KernelError> {
    let mut socket = Socket::open()?;
    match link::get(&mut socket, &network.interface)? {
        Some(found) if found.kind == "bridge" => link::remove(&mut socket, &network.interface, found.index),
        Some(_) | None => Ok(()),
    }
}

/// Whether packets are forwarded between interfaces, of the version of `address`.
///
/// # Errors
/// [`KernelError::Setting`].
pub fn forwards(address: IpAddr) -> Result<bool, KernelError> {
    Ok(settings::get(forwarding(address))?.as_deref() == Some("1"))
}

/// Has packets forwarded between interfaces.
///
/// # Errors
/// [`KernelError::Setting`].
pub fn forward(address: IpAddr) -> Result<(), KernelError> {
    settings::set(forwarding(address), "1")
}

fn forwarding(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "ipv4/ip_forward",
        IpAddr::V6(_) => "ipv6/conf/all/forwarding",
    }
}
