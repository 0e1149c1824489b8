//! A rtnetlink socket of the caller's network namespace, and the exchange of one request for its answer.

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

/// An object of a list: its type, and its fixed part with its attributes.
pub(super) type Object = (u16, Vec<u8>);

/// A socket that only the kernel can send to.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// A socket of the network namespace that the calling thread is in; it stays in that one.
    pub(super) fn open() -> Result<Self, NetlinkError> {
        Self::connect().map_err(NetlinkError::Open)
    }

    fn connect() -> io::Result<Self> {
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        // Once connected to the kernel, netlink_getsockbyportid() refuses every other sender.
        rustix::net::connect(&fd, &SocketAddrNetlink::new(0, 0))?;
        for option in [NETLINK_CAP_ACK, NETLINK_EXT_ACK] {
            let on: libc::c_int = 1;
            let size = size_of::<libc::c_int>() as libc::socklen_t;
            // SAFETY: both options take an int, which lives through the call.
            check(unsafe { libc::setsockopt(fd.as_raw_fd(), SOL_NETLINK, option, (&raw const on).cast(), size) })?;
        }
        Ok(Self { fd, sequence: 0 })
    }

    /// Sends `request`, which asks for an acknowledgement or a list, and returns the objects that came before its end.
    /// `action` says in the error what was attempted.
    pub(super) fn ask(
        &mut self,
        request: Builder,
        action: impl FnOnce() -> String,
    ) -> Result<Vec<Object>, NetlinkError> {
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
