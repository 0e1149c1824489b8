//! Ports of the host: whether a process has one, seen by asking for it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::KernelError;
use crate::model::Protocol;

/// Whether no process of the host has the port of that address, or of any without one. SCTP's cannot be looked at where the kernel has no SCTP,
/// and so nobody has one.
///
/// # Errors
/// [`KernelError::Port`], also for an address that is not the host's.
pub fn is_free(host: Option<IpAddr>, port: u16, protocol: Protocol) -> Result<bool, KernelError> {
    let address = SocketAddr::new(host.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), port);
    match bind(address, protocol) {
        Ok(()) => Ok(true),
        Err(Errno::ADDRINUSE) => Ok(false),
        Err(Errno::PROTONOSUPPORT | Errno::PROTOTYPE) if protocol == Protocol::Sctp => Ok(true),
        Err(errno) => Err(KernelError::Port { port, source: io::Error::from(errno) }),
    }
}

fn bind(address: SocketAddr, protocol: Protocol) -> Result<(), Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, None),
        Protocol::Udp => (SocketType::DGRAM, None),
        Protocol::Sctp => (SocketType::STREAM, Some(rustix::net::ipproto::SCTP)),
    };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, number)?;
    if protocol == Protocol::Tcp {
        // Connections of the past are in nobody's way; whoever listens is.
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    if protocol == Protocol::Tcp { rustix::net::listen(&socket, 1) } else { Ok(()) }
}

/// The range that ports are drawn from (`ip_local_port_range`).
///
/// # Errors
/// [`KernelError::Setting`].
pub fn ephemeral() -> Result<(u16, u16), KernelError> {
    let text = crate::settings::get("ipv4/ip_local_port_range")?.unwrap_or_default();
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) if first <= last => Ok((first, last)),
        _ => Err(KernelError::Answer("ip_local_port_range")),
    }
}
