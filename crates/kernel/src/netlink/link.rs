//! Interfaces: up, looked up, and moved to another network namespace.

use std::os::fd::AsRawFd;

use rustix::fd::BorrowedFd;
use rustix::io::Errno;

use super::NetlinkError;
use super::address::{self, Address};
use super::message::{Builder, find, number};
use super::socket::Socket;
use crate::namespace::{self, InsideError, Namespaces};

/// `RTM_NEWLINK`.
const RTM_NEWLINK: u16 = 16;
/// `RTM_GETLINK`.
const RTM_GETLINK: u16 = 18;
/// `RTM_SETLINK`.
const RTM_SETLINK: u16 = 19;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const ACKNOWLEDGED: u16 = 0x5;
/// The size of `struct ifinfomsg`.
const BODY: usize = 16;
/// `IFF_UP`.
const IFF_UP: u32 = 1;
/// `LOOPBACK_IFINDEX`: the loopback has this index in every network namespace.
const LOOPBACK: u32 = 1;
/// `IFLA_ADDRESS`.
const IFLA_ADDRESS: u16 = 1;
/// `IFLA_IFNAME`.
const IFLA_IFNAME: u16 = 3;
/// `IFLA_MTU`.
const IFLA_MTU: u16 = 4;
/// `IFLA_MASTER`.
const IFLA_MASTER: u16 = 10;
/// `IFLA_NET_NS_FD`.
const IFLA_NET_NS_FD: u16 = 28;

/// An interface as far as a move must keep it.
#[derive(Debug)]
struct Link {
    index: u32,
    mtu: Option<u32>,
    hardware: Option<Vec<u8>>,
    master: Option<u32>,
}

/// Sets the loopback of the caller's network namespace up. Needs CAP_NET_ADMIN there. The kernel gives it 127.0.0.1/8 and
/// ::1/128. Nothing changes if it is up.
///
/// # Errors
/// [`NetlinkError::Open`], [`NetlinkError::Request`] (`EPERM`).
pub fn loopback_up() -> Result<(), NetlinkError> {
    set_up(&mut Socket::open()?, "lo", LOOPBACK)
}

/// Moves the interface `name` of the caller's network namespace to `target`, where it is called `new_name` or as before, and
/// sets it up there. Its MTU, hardware address and permanent addresses of global scope stay (runtime-spec 1.3,
/// `linux.netDevices`); routes are lost, as the kernel loses them.
///
/// The caller, a process of one thread with CAP_SYS_ADMIN and CAP_NET_ADMIN over both network namespaces, is in `target` for
/// a moment, to open a socket there.
///
/// # Errors
/// [`NetlinkError`]. Before the move nothing has changed. If what follows the move fails, the interface stays in `target` and
/// ends or returns as the kernel decides when that namespace does. After [`NetlinkError::Stranded`] the caller should end.
pub fn move_link(name: &str, new_name: Option<&str>, target: BorrowedFd<'_>) -> Result<(), NetlinkError> {
    let inside = new_name.unwrap_or(name);
    for name in [name, inside] {
        if !is_name(name) {
            return Err(NetlinkError::Name(name.to_owned()));
        }
    }
    let mut here = Socket::open()?;
    let link = get(&mut here, name)?.ok_or_else(|| NetlinkError::Missing(name.to_owned()))?;
    if let Some(master) = link.master {
        return Err(NetlinkError::InUse { name: name.to_owned(), master });
    }
    let addresses = address::permanent(&mut here, name, link.index)?;
    let mut there = open_in(target)?;
    // The kernel renames after it moved: a name that is taken would leave the interface there with its old one.
    if get(&mut there, inside)?.is_some() {
        return Err(NetlinkError::Taken(inside.to_owned()));
    }
    let request = Builder::new(RTM_SETLINK, ACKNOWLEDGED, &body(link.index, 0))
        .string(IFLA_IFNAME, inside)
        .attribute(IFLA_NET_NS_FD, &target.as_raw_fd().to_ne_bytes());
    here.ask(request, || format!("move the interface {name:?} to the container's network namespace as {inside:?}"))?;
    settle(&mut there, inside, &link, &addresses)
}

/// Makes the interface that arrived as `name` what `before` and `addresses` say, and sets it up.
fn settle(there: &mut Socket, name: &str, before: &Link, addresses: &[Address]) -> Result<(), NetlinkError> {
    // The index is another one if it was taken.
    let link = get(there, name)?.ok_or_else(|| NetlinkError::Missing(name.to_owned()))?;
    for (same, what) in [(link.mtu == before.mtu, "MTU"), (link.hardware == before.hardware, "hardware address")] {
        if !same {
            return Err(NetlinkError::Changed { name: name.to_owned(), what });
        }
    }
    for address in addresses {
        address::add(there, name, link.index, address)?;
    }
    set_up(there, name, link.index)
}

/// A socket of the network namespace `target`; the caller is where it was.
fn open_in(target: BorrowedFd<'_>) -> Result<Socket, NetlinkError> {
    inside(target, Socket::open)?
}

/// Does something in the network namespace `target`; the caller, a process of one thread with CAP_SYS_ADMIN over it, is where it was
/// afterwards.
///
/// # Errors
/// [`NetlinkError::Enter`]; [`NetlinkError::Stranded`], after which the caller should end.
pub fn inside<T>(target: BorrowedFd<'_>, act: impl FnOnce() -> T) -> Result<T, NetlinkError> {
    namespace::inside(target, Namespaces::NET, act).map_err(|error| match error {
        InsideError::Enter(source) => NetlinkError::Enter(source),
        InsideError::Stranded(source) => NetlinkError::Stranded(source),
    })
}

/// The interface `name`, `None` if there is none.
fn get(socket: &mut Socket, name: &str) -> Result<Option<Link>, NetlinkError> {
    let action = || format!("look up the interface {name:?}");
    let request = Builder::new(RTM_GETLINK, ACKNOWLEDGED, &body(0, 0)).string(IFLA_IFNAME, name);
    let objects = match socket.ask(request, action) {
        Ok(objects) => objects,
        Err(NetlinkError::Request { source, .. }) if source.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let link = objects.iter().find(|(kind, _)| *kind == RTM_NEWLINK).and_then(|(_, body)| parse(body));
    let malformed = || NetlinkError::Request { action: action(), said: None, source: Errno::BADMSG.into() };
    link.map(Some).ok_or_else(malformed)
}

/// Reads `struct ifinfomsg` and the attributes behind it.
fn parse(body: &[u8]) -> Option<Link> {
    let attributes = body.get(BODY..)?;
    let wide = |kind| Some(find(attributes, kind).ok()?.and_then(|value| number(value, 0)));
    Some(Link {
        index: number(body, 4).filter(|index| *index != 0)?,
        mtu: wide(IFLA_MTU)?,
        hardware: find(attributes, IFLA_ADDRESS).ok()?.map(<[u8]>::to_vec),
        master: wide(IFLA_MASTER)?,
    })
}

/// Sets the interface `index` up.
fn set_up(socket: &mut Socket, name: &str, index: u32) -> Result<(), NetlinkError> {
    let request = Builder::new(RTM_SETLINK, ACKNOWLEDGED, &body(index, IFF_UP));
    socket.ask(request, || format!("set the interface {name:?} up")).map(drop)
}

/// A `struct ifinfomsg` for the interface `index` that sets `flags` and changes no other.
fn body(index: u32, flags: u32) -> [u8; BODY] {
    let mut body = [0; BODY];
    for (offset, value) in [(4, index), (8, flags), (12, flags)] {
        body[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
    }
    body
}

/// A name that an interface can have (`dev_valid_name` of the kernel) and that is no pattern.
fn is_name(name: &str) -> bool {
    let bad = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b | b'/' | b':' | b'%');
    !matches!(name, "" | "." | "..") && name.len() <= 15 && !name.bytes().any(bad)
}
