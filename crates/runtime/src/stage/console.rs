//! Handing a terminal's master to the engine: `--console-socket`.
//!
//! As runc does it: one message on a stream socket, the file's name as text and the descriptor as SCM_RIGHTS.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::termios::Winsize;
use stockade_kernel::fdpass;

/// The connected socket to which the master goes.
#[derive(Debug)]
pub struct Console {
    socket: OwnedFd,
    /// Rows and columns of the caller's terminal, which the container's stands for.
    size: Option<(u16, u16)>,
}

/// A console socket that can not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to the console socket {}", path.display())]
pub struct ConsoleError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Console {
    /// Connects to the engine's socket at `path`.
    ///
    /// # Errors
    /// [`ConsoleError`].
    pub fn connect(path: &Path) -> Result<Self, ConsoleError> {
        let fail = |source| ConsoleError { path: path.to_owned(), source };
        let connect = || {
            let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            // By the descriptor, since a socket's address holds 107 bytes only.
            let file = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            let number = rustix::fd::AsRawFd::as_raw_fd(&file);
            rustix::net::connect(&socket, &SocketAddrUnix::new(format!("/proc/self/fd/{number}"))?)?;
            io::Result::Ok(Self { socket, size: None })
        };
        connect().map_err(fail)
    }

    /// Uses the connected stream socket `socket` for a terminal that stands for the caller's standard input, and so begins with
    /// its size, unless the configuration has one.
    #[must_use]
    pub fn of_caller(socket: OwnedFd) -> Self {
        let size = rustix::termios::tcgetwinsize(rustix::stdio::stdin());
        Self { socket, size: size.ok().map(|size| (size.ws_row, size.ws_col)) }
    }

    /// The size that the terminal begins with, if it is known.
    pub(super) fn size(&self) -> Option<(u16, u16)> {
        self.size
    }

    /// Sends the master.
    pub(super) fn send(&self, master: &OwnedFd) -> io::Result<()> {
        fdpass::send(&self.socket, b"/dev/ptmx", &[master.as_fd()])
    }
}

/// Makes `slave` the controlling terminal of this session and its standard input, output and error. It becomes that of the
/// payload's user, who may open it again by `/dev/tty`'s other names.
pub(super) fn take(slave: &OwnedFd, size: Option<(u16, u16)>, uid: u32) -> io::Result<()> {
    if let Some((rows, columns)) = size {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(slave, size)?;
    }
    rustix::fs::fchown(slave, Some(Uid::from_raw(uid)), None::<Gid>)?;
    rustix::process::ioctl_tiocsctty(slave)?;
    rustix::stdio::dup2_stdin(slave)?;
    rustix::stdio::dup2_stdout(slave)?;
    rustix::stdio::dup2_stderr(slave)?;
    Ok(())
}
