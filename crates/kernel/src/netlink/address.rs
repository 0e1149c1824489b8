//! The permanent addresses of an interface, taken off a dump and given to another interface.

use std::io;

use rustix::io::Errno;

use super::NetlinkError;
use super::message::{Builder, find, number};
use super::socket::Socket;

/// `RTM_NEWADDR`.
const RTM_NEWADDR: u16 = 20;
/// `RTM_GETADDR`.
const RTM_GETADDR: u16 = 22;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
/// `NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL | NLM_F_CREATE`.
const CREATE: u16 = 0x605;
/// The size of `struct ifaddrmsg`.
const BODY: usize = 8;
/// `IFA_F_PERMANENT`: without an end, and not made by the kernel from an advertisement.
const IFA_F_PERMANENT: u32 = 0x80;
/// `IFA_F_NODAD`, `IFA_F_HOMEADDRESS`, `IFA_F_MANAGETEMPADDR`, `IFA_F_NOPREFIXROUTE`, `IFA_F_MCAUTOJOIN`: what a user sets.
/// The others are states.
const IFA_F_OF_USERS: u32 = 0x2 | 0x10 | 0x100 | 0x200 | 0x400;
/// `IFA_FLAGS`: the flags at their full width.
const IFA_FLAGS: u16 = 8;
/// `IFA_ADDRESS`, `IFA_LOCAL`, `IFA_BROADCAST`, `IFA_CACHEINFO`, `IFA_RT_PRIORITY`. Not `IFA_LABEL`: it begins with the name of
/// the interface, which may change.
const KEPT: [u16; 5] = [1, 2, 4, 6, 9];

/// An address with all that a user can set of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    family: u8,
    prefix: u8,
    flags: u32,
    attributes: Vec<(u16, Vec<u8>)>,
}

/// The addresses of the interface `index` that are permanent and of global scope, primary ones before their secondary ones.
pub(super) fn permanent(socket: &mut Socket, name: &str, index: u32) -> Result<Vec<Address>, NetlinkError> {
    let action = || format!("list the addresses of the interface {name:?}");
    let objects = socket.ask(Builder::new(RTM_GETADDR, DUMP, &[0; BODY]), action)?;
    let bodies = objects.iter().filter(|(kind, _)| *kind == RTM_NEWADDR).map(|(_, body)| body);
    let addresses = bodies.map(|body| parse(body, index)).collect::<io::Result<Vec<_>>>();
    let malformed = |source| NetlinkError::Request { action: action(), said: None, source };
    Ok(addresses.map_err(malformed)?.into_iter().flatten().collect())
}

/// The address in `body`, unless it is another interface's, not permanent, or of a narrower scope.
fn parse(body: &[u8], index: u32) -> io::Result<Option<Address>> {
    let (Some((&[family, prefix, flags, scope], _)), Some(attributes)) = (body.split_first_chunk(), body.get(BODY..))
    else {
        return Err(Errno::BADMSG.into());
    };
    let flags = match find(attributes, IFA_FLAGS)? {
        Some(wide) => number(wide, 0).ok_or(Errno::BADMSG)?,
        None => u32::from(flags),
    };
    // RT_SCOPE_UNIVERSE is 0.
    if number(body, 4) != Some(index) || scope != 0 || flags & IFA_F_PERMANENT == 0 {
        return Ok(None);
    }
    let mut kept = Vec::new();
    for kind in KEPT {
        kept.extend(find(attributes, kind)?.map(|value| (kind, value.to_vec())));
    }
    Ok(Some(Address { family, prefix, flags: flags & IFA_F_OF_USERS, attributes: kept }))
}

/// Gives `address` to the interface `index`.
pub(super) fn add(socket: &mut Socket, name: &str, index: u32, address: &Address) -> Result<(), NetlinkError> {
    let mut body = [address.family, address.prefix, 0, 0, 0, 0, 0, 0];
    body[4..].copy_from_slice(&index.to_ne_bytes());
    let mut request = Builder::new(RTM_NEWADDR, CREATE, &body).attribute(IFA_FLAGS, &address.flags.to_ne_bytes());
    for (kind, value) in &address.attributes {
        request = request.attribute(*kind, value);
    }
    socket.ask(request, || format!("give the interface {name:?} its address again")).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(index: u8, scope: u8, flags: u8, wide: Option<u32>) -> Vec<u8> {
        let builder = Builder::new(0, 0, &[2, 24, flags, scope, index, 0, 0, 0]).attribute(1, &[10, 0, 0, 1]);
        let builder = builder.string(3, "eth0:1");
        let builder = wide.into_iter().fold(builder, |all, flags| all.attribute(IFA_FLAGS, &flags.to_ne_bytes()));
        builder.finish(0).split_off(16)
    }

    #[test]
    fn only_permanent_global_addresses_of_the_interface_are_kept() {
        let address = parse(&body(3, 0, 0x80, Some(0x281)), 3).unwrap().unwrap();
        assert_eq!((address.family, address.prefix, address.flags), (2, 24, 0x200));
        assert_eq!(address.attributes, [(1, vec![10, 0, 0, 1])]);
        assert!(parse(&body(3, 0, 0x80, None), 3).unwrap().is_some());
        for other in [body(4, 0, 0x80, None), body(3, 253, 0x80, None), body(3, 0, 0, None), body(3, 0, 0x80, Some(0))]
        {
            assert_eq!(parse(&other, 3).unwrap(), None);
        }
        assert!(parse(&[2, 24, 0x80], 3).is_err());
    }
}
