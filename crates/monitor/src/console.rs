//! The console socket: where the runtime hands the terminal's outer end over (`--console-socket`, runc's convention).

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use stockade_kernel::fdpass;

use crate::folder::Folder;

/// Its name in the container's folder.
const NAME: &str = "console.sock";

/// The longest path of a socket (`unix(7)`), which runtimes but ours put into the address as it is.
const LONGEST_PATH: usize = 107;

/// The longest name that a runtime may send with the terminal.
const LONGEST_NAME: usize = 4096;

/// The listening socket.
#[derive(Debug)]
pub(crate) struct ConsoleSocket(OwnedFd);

impl ConsoleSocket {
    /// Makes the socket in `folder`.
    ///
    /// # Errors
    /// As `bind(2)`.
    pub(crate) fn listen(folder: &Folder) -> io::Result<Self> {
        folder.remove(NAME)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // By the folder's descriptor: a path of any length fits. The umask makes it the owner's alone.
        let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{NAME}", folder.as_fd().as_raw_fd()))?;
        rustix::net::bind(&socket, &address)?;
        rustix::net::listen(&socket, 1)?;
        Ok(Self(socket))
    }

    /// The path for the runtime: by way of this process' descriptor if the plain one is too long for an address.
    pub(crate) fn path(folder: &Folder) -> PathBuf {
        let plain = folder.path(NAME);
        if plain.as_os_str().as_bytes().len() <= LONGEST_PATH {
            return plain;
        }
        PathBuf::from(format!("/proc/{}/fd/{}/{NAME}", std::process::id(), folder.as_fd().as_raw_fd()))
    }

    /// The terminal's outer end, once the runtime has ended well: whatever it sent waits already.
    ///
    /// # Errors
    /// `EAGAIN` if the runtime did not connect or did not send; `EBADMSG` if it sent something else than one terminal.
    pub(crate) fn receive(&self) -> io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let connection = rustix::io::retry_on_intr(|| rustix::net::accept_with(&self.0, flags))?;
        let (_, mut received) = fdpass::receive(&connection, &mut vec![0; LONGEST_NAME])?;
        match (received.pop(), received.len()) {
            (Some(master), 0) if rustix::termios::isatty(&master) => Ok(master),
            _ => Err(Errno::BADMSG.into()),
        }
    }

    /// Removes the socket from `folder`.
    ///
    /// # Errors
    /// As `unlinkat(2)`.
    pub(crate) fn remove(self, folder: &Folder) -> io::Result<()> {
        folder.remove(NAME)
    }
}
