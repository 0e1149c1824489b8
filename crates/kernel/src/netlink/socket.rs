//! A netlink socket of the caller's network namespace, and the exchange of one request for its answer.

use std::io;
use std::os::fd::AsRawFd;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::NetlinkError;
use super::message::{Answer, Builder, answers};
use crate::sys::check;

/// `SOL_NETLINK`.
const SOL_NETLINK: libc::c_int = 270;
/// `NETLINK_CAP_ACK` (Linux 4.3).
const NETLINK_CAP_ACK: libc::c_int = 10;
/// `NETLINK_EXT_ACK` (Linux 4.12).
const NETLINK_EXT_ACK: libc::c_int = 11;
/// The most that the kernel puts into one datagram of a list.
const DATAGRAM: usize = 32 << 10;
/// The most objects taken from one answer: far more than the addresses of one machine.
const MOST_OBJECTS: usize = 1 << 16;

/// `SOL_SOCKET` and `SO_SNDBUFFORCE`.
const LARGE_BATCH: libc::c_int = 32 << 20;

/// Whom a socket talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `NETLINK_ROUTE`: interfaces, addresses and routes.
    Route,
    /// `NETLINK_NETFILTER`: rules.
    Netfilter,
}

/// An object of a list: its type, and its fixed part with its attributes.
pub type Object = (u16, Vec<u8>);

/// A socket that only the kernel can send to.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// A rtnetlink socket of the network namespace that the calling thread is in; it stays in that one.
    ///
    /// # Errors
    /// [`NetlinkError::Open`].
    pub fn open() -> Result<Self, NetlinkError> {
        Self::open_for(Protocol::Route)
    }

    /// The same for another part of the kernel.
    ///
    /// # Errors
    /// [`NetlinkError::Open`].
    pub fn open_for(protocol: Protocol) -> Result<Self, NetlinkError> {
        Self::connect(protocol).map_err(NetlinkError::Open)
    }

    fn connect(protocol: Protocol) -> io::Result<Self> {
        let number = match protocol {
            Protocol::Route => None,
            Protocol::Netfilter => Some(rustix::net::netlink::NETFILTER),
        };
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, number)?;
        // Once connected to the kernel, netlink_getsockbyportid() refuses every other sender.
        rustix::net::connect(&fd, &SocketAddrNetlink::new(0, 0))?;
        for option in [NETLINK_CAP_ACK, NETLINK_EXT_ACK] {
            let on: libc::c_int = 1;
            let size = size_of::<libc::c_int>() as libc::socklen_t;
            // SAFETY: both options take an int, which lives through the call.
            check(unsafe { libc::setsockopt(fd.as_raw_fd(), SOL_NETLINK, option, (&raw const on).cast(), size) })?;
        }
        if protocol == Protocol::Netfilter {
            let size = size_of::<libc::c_int>() as libc::socklen_t;
            let most: libc::c_int = LARGE_BATCH;
            let (level, option) = (libc::SOL_SOCKET, libc::SO_SNDBUFFORCE);
            // SAFETY: the option takes an int, which lives through the call.
            check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const most).cast(), size) })?;
        }
        Ok(Self { fd, sequence: 0 })
    }

    /// Sends several messages as one, such as a batch of nf_tables, of which the one before the last asks for an acknowledgement: all of it
    /// is done then, or nothing. `action` says in the error what was attempted.
    ///
    /// # Errors
    /// The first that the kernel has.
    pub fn batch(&mut self, messages: Vec<Builder>, action: impl FnOnce() -> String) -> Result<(), NetlinkError> {
        let failed = |(source, said)| NetlinkError::Request { action: action(), said, source };
        self.send_all(messages).map_err(failed)
    }

    fn send_all(&mut self, messages: Vec<Builder>) -> Result<(), (io::Error, Option<String>)> {
        let plain = |error: io::Error| (error, None);
        let first = self.sequence + 1;
        let mut bytes = Vec::new();
        for message in messages {
            self.sequence += 1;
            bytes.extend(message.finish(self.sequence));
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        let acknowledged = self.sequence - 1;
        rustix::io::retry_on_intr(|| rustix::net::send(&self.fd, &bytes, SendFlags::empty()))
            .map_err(|error| plain(error.into()))?;
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let datagram = self.receive(&mut buffer).map_err(plain)?;
            for sequence in first..=self.sequence {
                for answer in answers(datagram, sequence).map_err(plain)? {
                    match answer {
                        Answer::Acknowledged(Err((errno, said))) => return Err((errno.into(), said)),
                        Answer::Acknowledged(Ok(())) if sequence == acknowledged => return Ok(()),
                        Answer::Acknowledged(Ok(())) | Answer::Done | Answer::Object(..) => {}
                    }
                }
            }
        }
    }

    /// Sends `request`, which asks for an acknowledgement or a list, and returns the objects that came before its end.
    /// `action` says in the error what was attempted.
    ///
    /// # Errors
    /// [`NetlinkError::Request`].
    pub fn ask(&mut self, request: Builder, action: impl FnOnce() -> String) -> Result<Vec<Object>, NetlinkError> {
        self.exchange(request).map_err(|(source, said)| NetlinkError::Request { action: action(), said, source })
    }

    fn exchange(&mut self, request: Builder) -> Result<Vec<Object>, (io::Error, Option<String>)> {
        let plain = |error: io::Error| (error, None);
        self.sequence += 1;
        let bytes = request.finish(self.sequence);
        rustix::io::retry_on_intr(|| rustix::net::send(&self.fd, &bytes, SendFlags::empty()))
            .map_err(|error| plain(error.into()))?;
        let mut objects = Vec::new();
        let mut buffer = vec![0; DATAGRAM];
        loop {
            for answer in answers(self.receive(&mut buffer).map_err(plain)?, self.sequence).map_err(plain)? {
                match answer {
                    Answer::Acknowledged(Err((errno, said))) => return Err((errno.into(), said)),
                    Answer::Acknowledged(Ok(())) | Answer::Done => return Ok(objects),
                    Answer::Object(..) if objects.len() == MOST_OBJECTS => return Err(plain(Errno::TOOBIG.into())),
                    Answer::Object(kind, body) => objects.push((kind, body.to_vec())),
                }
            }
        }
    }

    /// One datagram.
    fn receive<'buffer>(&self, buffer: &'buffer mut [u8]) -> io::Result<&'buffer [u8]> {
        let (_, length) = rustix::io::retry_on_intr(|| rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::TRUNC))?;
        buffer.get(..length).ok_or_else(|| Errno::MSGSIZE.into())
    }
}
