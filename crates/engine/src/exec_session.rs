//! The streams of a process that `exec` runs, and the conversation with the monitor that is its parent.
//!
//! The process never gets a descriptor of the caller's: what it holds it could open again with other rights (`/proc/self/fd`), and a
//! terminal of the host's could be typed at (`TIOCSTI`). So there are pipes, or a terminal of the container's, and [`ExecSession`]
//! copies.

use std::io;
use std::os::fd::AsRawFd;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};
use rustix::termios::Winsize;
use stockade_kernel::fdpass;
use stockade_kernel::signal::{FORWARDED, Signals};
use stockade_kernel::terminal::{self, RawMode};
use stockade_monitor::events::Event;
use stockade_monitor::exec::{Ask, LONGEST, Report, SOCKET};

use crate::container::Folder;
use crate::exec::{ExecError, ExecRequest};
use crate::exec_pump::{Copied, Pump};
use crate::session::{FollowError, Followed, Input};
use crate::{ContainerId, Engine};

/// The longest name that a runtime may send with the terminal.
const LONGEST_NAME: usize = 4096;

/// A process that was executed, with the caller at its streams.
#[derive(Debug)]
pub struct ExecSession {
    pub(crate) id: ContainerId,
    leaving: Leaving,
    pub(crate) socket: OwnedFd,
    /// The signals that are for the process, held back.
    pub(crate) signals: Signals,
    pub(crate) streams: Streams,
    pub(crate) reads: Input,
    pub(crate) detach_keys: Vec<u8>,
}

/// What is told of a caller that detaches.
#[derive(Clone, Debug)]
pub(crate) struct Leaving {
    pub(crate) engine: Engine,
    pub(crate) event: Event,
}

/// The outer ends; none of them lets its user wait.
#[derive(Debug)]
pub(crate) enum Streams {
    /// Without a terminal.
    Pipes {
        /// Standard input, if the caller's goes there.
        input: Option<OwnedFd>,
        /// Standard output.
        output: OwnedFd,
        /// Standard error.
        error: OwnedFd,
    },
    /// The terminal, and its inner side: as long as somebody has that open, the outer side is not told of a hang-up when the
    /// process closes its own for a while.
    Terminal {
        /// The outer side.
        master: OwnedFd,
        /// The inner side.
        kept_open: OwnedFd,
    },
}

/// The size of the caller's terminal, if he has one.
pub(crate) fn size() -> io::Result<Option<Winsize>> {
    match terminal::size(rustix::stdio::stdin())? {
        Some(size) => Ok(Some(size)),
        None => terminal::size(rustix::stdio::stdout()),
    }
}

/// Has the monitor run the process that `file` describes, and waits until it was executed.
pub(crate) fn begin(
    (folder, leaving): (&Folder, Leaving),
    id: &str,
    file: &OwnedFd,
    request: &ExecRequest,
) -> Result<Option<ExecSession>, ExecError> {
    let signals = (!request.detached).then(|| Signals::block(&FORWARDED));
    let signals = signals.transpose().map_err(ExecError::doing("hold signals back"))?;
    let socket =
        connect(folder, SocketType::SEQPACKET, SOCKET).map_err(ExecError::doing("reach the container's monitor"))?;
    let ask = Ask::Run { id: id.to_owned(), terminal: request.terminal };
    let streams = if request.terminal {
        let console = Console::listen(folder, id).map_err(ExecError::doing("make a console socket"))?;
        say(&socket, &ask, &[file.as_fd(), console.file.as_fd()])?;
        started(folder, &socket)?;
        console.receive().map_err(ExecError::doing("get the terminal from the runtime"))?
    } else {
        let (inner, streams) = pipes(request).map_err(ExecError::doing("make pipes"))?;
        say(&socket, &ask, &[file.as_fd(), inner[0].as_fd(), inner[1].as_fd(), inner[2].as_fd()])?;
        drop(inner);
        started(folder, &socket)?;
        streams
    };
    match (signals, streams) {
        (None, Streams::Terminal { master, .. }) => say(&socket, &Ask::Keep, &[master.as_fd()]).map(|()| None),
        (None, Streams::Pipes { .. }) => Ok(None),
        (Some(signals), streams) => Ok(Some(ExecSession {
            id: folder.id.clone(),
            leaving,
            socket,
            signals,
            streams,
            reads: request.input,
            detach_keys: request.detach_keys.clone(),
        })),
    }
}

/// Says something to the monitor. One that has gone is noticed where it is heard.
fn say(socket: &OwnedFd, ask: &Ask, fds: &[BorrowedFd<'_>]) -> Result<(), ExecError> {
    let text = serde_json::to_vec(ask).map_err(ExecError::doing("ask the container's monitor"))?;
    match fdpass::send(socket, &text, fds) {
        Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => Ok(()),
        result => result.map_err(ExecError::doing("ask the container's monitor")),
    }
}

/// Waits until the process was executed.
fn started(folder: &Folder, socket: &OwnedFd) -> Result<(), ExecError> {
    let mut packet = vec![0; LONGEST];
    let heard = fdpass::receive(socket, &mut packet).map_err(ExecError::doing("hear the container's monitor"))?;
    let id = folder.id.clone();
    if heard.0 == 0 {
        return Err(ExecError::Lost(id));
    }
    let report = serde_json::from_slice(&packet[..heard.0]);
    match report.map_err(ExecError::doing("understand the container's monitor"))? {
        Report::Started { .. } => Ok(()),
        Report::Failed { code, message } => Err(ExecError::Failed { id, code, message }),
        Report::Exited { code } => {
            let message = format!("it has ended with code {code} before it was executed");
            Err(ExecError::Failed { id, code: 126, message })
        }
    }
}

/// The inner ends for the process, and the outer ones.
fn pipes(request: &ExecRequest) -> Result<([OwnedFd; 3], Streams), Errno> {
    let null = || rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    if request.detached {
        // Nobody is there to read or write; the outer ends stand for nothing.
        let streams = Streams::Pipes { input: None, output: null()?, error: null()? };
        return Ok(([null()?, null()?, null()?], streams));
    }
    let (output, inner_output) = pipe_with(PipeFlags::CLOEXEC)?;
    let (error, inner_error) = pipe_with(PipeFlags::CLOEXEC)?;
    let (inner_input, input) = match request.input {
        Input::Ignore => (null()?, None),
        Input::Forward => {
            let (inner, outer) = pipe_with(PipeFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(&outer, true)?;
            (inner, Some(outer))
        }
    };
    for outer in [&output, &error] {
        rustix::io::ioctl_fionbio(outer, true)?;
    }
    Ok(([inner_input, inner_output, inner_error], Streams::Pipes { input, output, error }))
}

/// A socket in the container's folder, reached through its descriptor, since an address holds 107 bytes only.
fn connect(folder: &Folder, kind: SocketType, name: &str) -> Result<OwnedFd, Errno> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    rustix::net::connect(&socket, &address(folder, name)?)?;
    Ok(socket)
}

fn address(folder: &Folder, name: &str) -> Result<SocketAddrUnix, Errno> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", folder.fd.as_raw_fd()))
}

/// Where the runtime hands the terminal's outer end over. It has a name for a moment only: who gets its file reaches it.
struct Console {
    listener: OwnedFd,
    file: OwnedFd,
}

impl Console {
    fn listen(folder: &Folder, id: &str) -> Result<Self, Errno> {
        let name = format!("{}.sock", id.get(..16).unwrap_or(id));
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::bind(&listener, &address(folder, &name)?)?;
        let file = rustix::fs::openat(&folder.fd, &name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        rustix::fs::unlinkat(&folder.fd, &name, AtFlags::empty())?;
        rustix::net::listen(&listener, 1)?;
        Ok(Self { listener, file: file? })
    }

    /// The terminal, once the runtime has ended well: whatever it sent waits already.
    fn receive(&self) -> io::Result<Streams> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let connection = rustix::io::retry_on_intr(|| rustix::net::accept_with(&self.listener, flags))?;
        let (_, mut received) = fdpass::receive(&connection, &mut vec![0; LONGEST_NAME])?;
        let master = match (received.pop(), received.len()) {
            (Some(master), 0) if rustix::termios::isatty(&master) => master,
            _ => return Err(Errno::BADMSG.into()),
        };
        rustix::io::ioctl_fionbio(&master, true)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let kept_open = ioctl_tiocgptpeer(&master, flags)?;
        Ok(Streams::Terminal { master, kept_open })
    }
}

impl ExecSession {
    /// Copies between the caller and the process until that has ended or the caller detaches; signals of [`FORWARDED`] go to the
    /// process. A terminal of the caller is in raw mode meanwhile and always gets its mode back.
    ///
    /// # Errors
    /// See [`FollowError`].
    pub fn follow(self) -> Result<Followed, FollowError> {
        let typed = matches!(self.streams, Streams::Terminal { .. }) && self.reads == Input::Forward;
        let raw = if typed { RawMode::enter(rustix::stdio::stdin()) } else { Ok(None) };
        let raw = raw.map_err(FollowError::doing("put the terminal into raw mode"))?;
        let id = self.id.clone();
        let leaving = self.leaving.clone();
        let copied = Pump::new(self).and_then(Pump::run);
        raw.map_or(Ok(()), RawMode::leave).map_err(FollowError::doing("give the terminal its mode back"))?;
        match copied? {
            Copied::Exited(code) => Ok(Followed::Exited(code)),
            Copied::Detached => {
                leaving.engine.happened(leaving.event);
                Ok(Followed::Detached)
            }
            Copied::Hungup => Err(FollowError::MonitorLost(id)),
        }
    }
}
