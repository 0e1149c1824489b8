//! Interfaces, addresses and routes over rtnetlink, as far as networks of containers take them.

use std::net::IpAddr;
use std::os::fd::AsRawFd;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use stockade_kernel::netlink::NetlinkError;
use stockade_kernel::netlink::message::{Attributes, Builder, find, number};
use stockade_kernel::netlink::socket::Socket;

use crate::KernelError;
use crate::model::{InterfaceName, Mac};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
/// Ports of a bridge are changed by this one only: `RTM_NEWLINK` succeeds, and does nothing.
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const ACKNOWLEDGED: u16 = 0x5;
/// The same with `NLM_F_EXCL | NLM_F_CREATE`.
const CREATE: u16 = 0x605;
/// The same with `NLM_F_REPLACE | NLM_F_CREATE`.
const REPLACE: u16 = 0x505;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
const IFF_UP: u32 = 1;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_PROTINFO: u16 = 12;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_MACVLAN_MODE: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_ISOLATED: u16 = 33;
/// `IFA_F_NODAD`: the address can be used at once; nobody else has it, as the network's records say.
const IFA_F_NODAD: u8 = 2;
/// `RT_TABLE_MAIN`, `RTPROT_BOOT`, `RT_SCOPE_UNIVERSE`, `RT_SCOPE_LINK`, `RTN_UNICAST`.
const MAIN_TABLE: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const SCOPE_UNIVERSE: u8 = 0;
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;
/// `RT_TABLE_LOCAL`, `AF_INET6`.
const LOCAL_TABLE: u8 = 255;
const INET6: u8 = 10;
/// A metric that no route of the kernel's own to its addresses has.
const BEHIND: u32 = 4096;

/// What is known of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    /// `bridge`, `veth` and so on; empty for hardware.
    pub(crate) kind: String,
    /// Its hardware address, if it has one of six bytes.
    pub(crate) mac: Option<[u8; 6]>,
    pub(crate) mtu: Option<u32>,
}

/// A `struct ifinfomsg`.
fn body(index: u32, flags: u32) -> [u8; 16] {
    let mut body = [0; 16];
    for (offset, value) in [(4, index), (8, flags), (12, flags)] {
        body[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
    }
    body
}

/// The interface of that name, if there is one.
pub(crate) fn get(socket: &mut Socket, name: &InterfaceName) -> Result<Option<Link>, KernelError> {
    let request = Builder::new(RTM_GETLINK, ACKNOWLEDGED, &body(0, 0)).string(IFLA_IFNAME, name.as_str());
    let objects = match socket.ask(request, || format!("look up the interface {name}")) {
        Ok(objects) => objects,
        Err(error) if is(&error, Errno::NODEV) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let parse = |body: &[u8]| -> Option<Link> {
        let kind = match find(body.get(16..)?, IFLA_LINKINFO).ok()? {
            Some(info) => find(info, IFLA_INFO_KIND).ok()?,
            None => None,
        };
        let kind = kind.map(|kind| String::from_utf8_lossy(kind.strip_suffix(&[0]).unwrap_or(kind)).into_owned());
        let mac = find(body.get(16..)?, IFLA_ADDRESS).ok()?.and_then(|mac| mac.try_into().ok());
        let mtu = find(body.get(16..)?, IFLA_MTU).ok()?.and_then(|mtu| number(mtu, 0));
        Some(Link { index: number(body, 4)?, kind: kind.unwrap_or_default(), mac, mtu })
    };
    let link = objects.iter().find(|(kind, _)| *kind == RTM_NEWLINK).and_then(|(_, body)| parse(body));
    link.map(Some).ok_or(KernelError::Answer("an interface"))
}

/// Whether the kernel said so.
pub(crate) fn is(error: &NetlinkError, errno: Errno) -> bool {
    matches!(error, NetlinkError::Request { source, .. } if source.raw_os_error() == Some(errno.raw_os_error()))
}

fn mtu(builder: Builder, mtu: Option<u32>) -> Builder {
    match mtu {
        Some(mtu) => builder.attribute(IFLA_MTU, &mtu.to_ne_bytes()),
        None => builder,
    }
}

/// Makes a bridge with that hardware address; one that is there already is as good.
pub(crate) fn add_bridge(
    socket: &mut Socket,
    name: &InterfaceName,
    mac: Mac,
    size: Option<u32>,
) -> Result<(), KernelError> {
    let info = Attributes::new().string(IFLA_INFO_KIND, "bridge");
    let request = Builder::new(RTM_NEWLINK, CREATE, &body(0, 0)).string(IFLA_IFNAME, name.as_str());
    let request = mtu(request, size).attribute(IFLA_ADDRESS, &mac.octets()).nested(IFLA_LINKINFO, &info);
    match socket.ask(request, || format!("make the bridge {name}")) {
        Ok(_) => Ok(()),
        Err(error) if is(&error, Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes a pair of virtual interfaces: `name` here, a port of `master`, and `peer` in the network namespace `target`.
pub(crate) fn add_pair(
    socket: &mut Socket,
    name: &InterfaceName,
    master: u32,
    peer: (&InterfaceName, Mac, BorrowedFd<'_>),
    size: Option<u32>,
) -> Result<(), KernelError> {
    let (inside, mac, target) = peer;
    let mut other = Attributes::behind(&body(0, 0))
        .string(IFLA_IFNAME, inside.as_str())
        .attribute(IFLA_ADDRESS, &mac.octets())
        .attribute(IFLA_NET_NS_FD, &target.as_raw_fd().to_ne_bytes());
    if let Some(size) = size {
        other = other.attribute(IFLA_MTU, &size.to_ne_bytes());
    }
    let info = Attributes::new()
        .string(IFLA_INFO_KIND, "veth")
        .nested(IFLA_INFO_DATA, &Attributes::new().nested(VETH_INFO_PEER, &other));
    let request = Builder::new(RTM_NEWLINK, CREATE, &body(0, 0)).string(IFLA_IFNAME, name.as_str());
    let request = mtu(request, size).attribute(IFLA_MASTER, &master.to_ne_bytes()).nested(IFLA_LINKINFO, &info);
    let action = || format!("make the interface {inside} of the container, and {name} of the host");
    Ok(socket.ask(request, action).map(drop)?)
}

/// Makes a macvlan interface of `parent` in the network namespace `target`.
pub(crate) fn add_macvlan(
    socket: &mut Socket,
    parent: (u32, u32),
    inside: (&InterfaceName, Mac, BorrowedFd<'_>),
    size: Option<u32>,
) -> Result<(), KernelError> {
    let (name, mac, target) = inside;
    let (parent, mode) = parent;
    let data = Attributes::new().attribute(IFLA_MACVLAN_MODE, &mode.to_ne_bytes());
    let info = Attributes::new().string(IFLA_INFO_KIND, "macvlan").nested(IFLA_INFO_DATA, &data);
    let request = Builder::new(RTM_NEWLINK, CREATE, &body(0, 0))
        .string(IFLA_IFNAME, name.as_str())
        .attribute(IFLA_ADDRESS, &mac.octets())
        .attribute(IFLA_LINK, &parent.to_ne_bytes())
        .attribute(IFLA_NET_NS_FD, &target.as_raw_fd().to_ne_bytes());
    let request = mtu(request, size).nested(IFLA_LINKINFO, &info);
    Ok(socket.ask(request, || format!("make the macvlan interface {name} of the container")).map(drop)?)
}

/// Gives an interface that is there the hardware address and the MTU that it is to have, if it has others.
pub(crate) fn correct(
    socket: &mut Socket,
    name: &InterfaceName,
    found: &Link,
    mac: Mac,
    size: Option<u32>,
) -> Result<(), KernelError> {
    let size = size.filter(|size| found.mtu != Some(*size));
    let other = found.mac != Some(mac.octets());
    if !other && size.is_none() {
        return Ok(());
    }
    let request = mtu(Builder::new(RTM_NEWLINK, ACKNOWLEDGED, &body(found.index, 0)), size);
    let request = if other { request.attribute(IFLA_ADDRESS, &mac.octets()) } else { request };
    Ok(socket.ask(request, || format!("correct the interface {name}")).map(drop)?)
}

/// What a bridge does with one of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortFlag {
    /// It does not reach other ports that are so (Linux 4.18).
    Isolated,
    /// What comes from it can go back to it.
    Hairpin,
}

/// Sets a flag of the port of a bridge.
pub(crate) fn set_port(
    socket: &mut Socket,
    name: &InterfaceName,
    index: u32,
    flag: PortFlag,
) -> Result<(), KernelError> {
    let mut port = body(index, 0);
    // AF_BRIDGE.
    port[0] = 7;
    let number = match flag {
        PortFlag::Isolated => IFLA_BRPORT_ISOLATED,
        PortFlag::Hairpin => IFLA_BRPORT_MODE,
    };
    let inner = Attributes::new().attribute(number, &[1]);
    let request = Builder::new(RTM_SETLINK, ACKNOWLEDGED, &port).nested(IFLA_PROTINFO, &inner);
    Ok(socket.ask(request, || format!("set up the port {name} of the bridge")).map(drop)?)
}

/// Sets the interface up.
pub(crate) fn set_up(socket: &mut Socket, name: &InterfaceName, index: u32) -> Result<(), KernelError> {
    let request = Builder::new(RTM_NEWLINK, ACKNOWLEDGED, &body(index, IFF_UP));
    Ok(socket.ask(request, || format!("set the interface {name} up")).map(drop)?)
}

/// Removes the interface; one that is not there is as good.
pub(crate) fn remove(socket: &mut Socket, name: &InterfaceName, index: u32) -> Result<(), KernelError> {
    let request = Builder::new(RTM_DELLINK, ACKNOWLEDGED, &body(index, 0));
    match socket.ask(request, || format!("remove the interface {name}")) {
        Ok(_) => Ok(()),
        Err(error) if is(&error, Errno::NODEV) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn octets(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        // AF_INET, AF_INET6.
        IpAddr::V4(address) => (2, address.octets().to_vec()),
        IpAddr::V6(address) => (10, address.octets().to_vec()),
    }
}

/// Gives the interface an address; one that it has already is as good.
pub(crate) fn add_address(socket: &mut Socket, index: u32, address: IpAddr, prefix: u8) -> Result<(), KernelError> {
    let (family, bytes) = octets(address);
    let flags = if address.is_ipv6() { IFA_F_NODAD } else { 0 };
    let mut body = vec![family, prefix, flags, SCOPE_UNIVERSE];
    body.extend(index.to_ne_bytes());
    let mut request = Builder::new(RTM_NEWADDR, REPLACE, &body);
    // IFA_LOCAL and IFA_ADDRESS.
    request = request.attribute(2, &bytes).attribute(1, &bytes);
    if let Ok(IpNet::V4(net)) = IpNet::new(address, prefix)
        && prefix < 31
    {
        // IFA_BROADCAST.
        request = request.attribute(4, &net.broadcast().octets());
    }
    Ok(socket.ask(request, || format!("give an interface the address {address}/{prefix}")).map(drop)?)
}

/// Makes `gateway` the way out.
pub(crate) fn add_default_route(socket: &mut Socket, index: u32, gateway: IpAddr) -> Result<(), KernelError> {
    let (family, bytes) = octets(gateway);
    let body = [family, 0, 0, 0, MAIN_TABLE, RTPROT_BOOT, SCOPE_UNIVERSE, RTN_UNICAST, 0, 0, 0, 0];
    // RTA_GATEWAY and RTA_OIF.
    let request = Builder::new(RTM_NEWROUTE, REPLACE, &body).attribute(5, &bytes).attribute(4, &index.to_ne_bytes());
    Ok(socket.ask(request, || format!("make {gateway} the way out")).map(drop)?)
}

/// What comes by the interface for `::1` is for this host: only what was translated back to that address on its way in, because the kernel drops
/// whatever has it when it comes. Another route than that of the loopback, behind it.
pub(crate) fn add_loopback_route(socket: &mut Socket, index: u32) -> Result<(), KernelError> {
    let bytes = std::net::Ipv6Addr::LOCALHOST.octets();
    let body = [INET6, 128, 0, 0, LOCAL_TABLE, RTPROT_BOOT, SCOPE_UNIVERSE, RTN_LOCAL, 0, 0, 0, 0];
    // RTA_DST, RTA_OIF and RTA_PRIORITY, by which it replaces itself only.
    let request = Builder::new(RTM_NEWROUTE, REPLACE, &body).attribute(1, &bytes).attribute(4, &index.to_ne_bytes());
    let request = request.attribute(6, &BEHIND.saturating_add(index).to_ne_bytes());
    Ok(socket.ask(request, || "lead what is for ::1 to the host".to_owned()).map(drop)?)
}

/// The ranges that the routes of this network namespace lead to, without the way out of everything else.
pub(crate) fn routes(socket: &mut Socket) -> Result<Vec<IpNet>, KernelError> {
    let mut found = Vec::new();
    for family in [2, 10] {
        let mut body = [0; 12];
        body[0] = family;
        let objects =
            socket.ask(Builder::new(RTM_GETROUTE, DUMP, &body), || "list the routes of the host".to_owned())?;
        for (_, body) in objects.iter().filter(|(kind, _)| *kind == RTM_NEWROUTE) {
            found.extend(route(body).ok_or(KernelError::Answer("a route"))?);
        }
    }
    Ok(found)
}

/// The range of one route; `Some(None)` for one that does not count: another table, or no range.
fn route(body: &[u8]) -> Option<Option<IpNet>> {
    let (head, attributes) = body.split_at_checked(12)?;
    let (family, length, table, kind) = (head[0], head[1], head[4], head[7]);
    if length == 0 || kind != RTN_UNICAST || table != MAIN_TABLE {
        return Some(None);
    }
    // RTA_DST.
    let address = find(attributes, 1).ok()??;
    let net = match family {
        2 => Ipv4Net::new(<[u8; 4]>::try_from(address).ok()?.into(), length).ok().map(IpNet::V4),
        _ => Ipv6Net::new(<[u8; 16]>::try_from(address).ok()?.into(), length).ok().map(IpNet::V6),
    };
    net.map(|net| Some(net.trunc()))
}
