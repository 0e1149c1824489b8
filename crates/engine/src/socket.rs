//! The socket at which clients of a container attach, bound and reached through its folder's descriptor: the path of a socket
//! holds 108 bytes (`unix(7)`), and a container's folder may have a longer one.

use std::os::fd::AsRawFd;

use rustix::fd::OwnedFd;
use rustix::fs::AtFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use stockade_monitor::ATTACH;

use crate::container::Folder;

/// How many clients may wait to be accepted.
const BACKLOG: i32 = 64;

/// Listens; a socket that an earlier monitor left is replaced. The folder is locked.
pub(crate) fn listen(folder: &Folder) -> Result<OwnedFd, Errno> {
    match rustix::fs::unlinkat(&folder.fd, ATTACH, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let socket = socket()?;
    rustix::net::bind(&socket, &address(folder)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Connects to the monitor, which need not have accepted yet.
pub(crate) fn connect(folder: &Folder) -> Result<OwnedFd, Errno> {
    let socket = socket()?;
    rustix::net::connect(&socket, &address(folder)?)?;
    Ok(socket)
}

fn socket() -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

fn address(folder: &Folder) -> Result<SocketAddrUnix, Errno> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{ATTACH}", folder.fd.as_raw_fd()))
}
