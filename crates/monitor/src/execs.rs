//! The processes that `exec` runs, and who asked for them. See [`stockade_monitor::exec`].

use std::io;
use std::time::Instant;

use rustix::event::PollFlags;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::{Pid, Signal, WaitStatus};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};
use stockade_kernel::fdpass;
use stockade_kernel::signal::by_number;
use stockade_monitor::exec::{Ask, LONGEST, Report, SOCKET, is_id};

use crate::clients::part_with;
use crate::folder::Folder;
use crate::joined::{Joined, News};
use crate::life::{Monitor, Stage};
use crate::runtime::{Joining, Refusal, Runtime};
use crate::streams::Inner;

/// How many callers may wait to be accepted.
const BACKLOG: i32 = 64;
/// The most processes and callers at a time; one more is turned away by the end of its connection.
const MOST: usize = 1024;
/// Docker's exit code for a program that was not found; all else that goes wrong is [`NOT_EXECUTABLE`].
const NOT_FOUND: u8 = 127;
/// Docker's exit code for a process that cannot be had in a container that runs.
const NOT_EXECUTABLE: u8 = 126;
/// How much of a terminal that is kept is read at a time.
const CHUNK: usize = 4096;

/// What of it was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Somebody connects.
    Listener,
    /// A caller says something.
    Caller(u64),
    /// A terminal that is kept has something.
    Kept(u64),
}

/// One caller and his process.
#[derive(Debug)]
struct Exec {
    key: u64,
    /// The caller, if he is still there.
    socket: Option<OwnedFd>,
    /// The process, once it was asked for.
    process: Option<Joined>,
    /// The terminal that the caller has left behind.
    kept: Option<Kept>,
}

/// A terminal that nobody is at.
#[derive(Debug)]
struct Kept {
    master: OwnedFd,
    /// As long as somebody has the inner side open, the outer side is not told of a hang-up when the process closes its own.
    _inner: OwnedFd,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Execs {
    listener: Option<OwnedFd>,
    list: Vec<Exec>,
    accepted: u64,
}

/// A process that has ended, of which the caller is yet to be told.
#[derive(Debug)]
pub(crate) struct Over {
    pub(crate) id: String,
    pub(crate) code: u8,
    exec: Exec,
}

impl Over {
    /// Tells the caller.
    pub(crate) fn tell(mut self) {
        self.exec.tell_last(&Report::Exited { code: self.code });
    }
}

impl Execs {
    /// Listens in `folder`, where nothing of an earlier run is left then. Once it listens this changes nothing.
    ///
    /// # Errors
    /// As `mkdirat(2)` and `bind(2)`.
    pub(crate) fn listen(&mut self, folder: &Folder) -> io::Result<()> {
        if self.listener.is_some() {
            return Ok(());
        }
        folder.make_empty(stockade_monitor::exec::FOLDER)?;
        folder.remove(SOCKET)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        // By the folder's descriptor: a path of any length fits. The umask makes it the owner's alone.
        let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET}", folder.as_fd().as_raw_fd()))?;
        rustix::net::bind(&socket, &address)?;
        rustix::net::listen(&socket, BACKLOG)?;
        self.listener = Some(socket);
        Ok(())
    }

    /// Nobody is served any more; who still waits sees the end of his connection.
    pub(crate) fn close(&mut self) {
        *self = Self { accepted: self.accepted, ..Self::default() };
    }

    /// What to wait for.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (Source, BorrowedFd<'_>, PollFlags)> {
        let listener = self.listener.iter().filter(|_| self.list.len() < MOST);
        let listener = listener.map(|socket| (Source::Listener, socket.as_fd()));
        let callers = self.list.iter().filter_map(|one| Some((Source::Caller(one.key), one.socket.as_ref()?.as_fd())));
        let kept = self.list.iter().filter_map(|one| Some((Source::Kept(one.key), one.kept.as_ref()?.master.as_fd())));
        listener.chain(callers).chain(kept).map(|(source, fd)| (source, fd, PollFlags::IN))
    }

    /// When a runtime that brings one in must have ended.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.list.iter().filter_map(|one| one.process.as_ref()?.deadline()).min()
    }

    /// The children whose end is waited for.
    pub(crate) fn children(&self) -> impl Iterator<Item = Pid> {
        self.list.iter().filter_map(|one| one.process.as_ref()?.child())
    }

    /// Whether there is a child whose number is not known yet.
    pub(crate) fn is_joining(&self) -> bool {
        self.list.iter().filter_map(|one| one.process.as_ref()).any(Joined::is_joining)
    }

    /// The child `pid`, which may be none of these, has ended; what is then to be told, unless it was a runtime.
    pub(crate) fn ended(&mut self, from: (&Runtime, &Folder), pid: Pid, status: WaitStatus) -> Option<Over> {
        let is_it = |one: &Exec| one.process.as_ref().and_then(Joined::child) == Some(pid);
        let at = self.list.iter().position(is_it)?;
        let one = self.list.get_mut(at)?;
        let process = one.process.as_mut()?;
        let id = process.id.clone();
        match process.ended(from, status) {
            News::Started(pid) => one.tell(&Report::Started { pid }),
            News::Failed(refusal) => self.list.swap_remove(at).tell_last(&failed(refusal)),
            News::Exited(code) => return Some(Over { id, code, exec: self.list.swap_remove(at) }),
        }
        None
    }

    fn accept(&mut self) -> io::Result<()> {
        let Some(listener) = &self.listener else { return Ok(()) };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match rustix::net::accept_with(listener, flags) {
            Ok(socket) => {
                self.accepted += 1;
                self.list.push(Exec { key: self.accepted, socket: Some(socket), process: None, kept: None });
                Ok(())
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn find(&mut self, key: u64) -> Option<&mut Exec> {
        self.list.iter_mut().find(|one| one.key == key)
    }

    /// Reads a terminal that was left behind; one that has ended is closed.
    fn read_kept(&mut self, key: u64) {
        let Some(one) = self.find(key) else { return };
        let mut buffer = [0; CHUNK];
        let read = one.kept.as_ref().map(|kept| rustix::io::read(&kept.master, &mut buffer));
        if matches!(read, Some(Ok(0) | Err(Errno::IO))) {
            one.kept = None;
        }
    }
}

impl Kept {
    fn new(master: OwnedFd) -> Result<Self, Errno> {
        rustix::io::ioctl_fionbio(&master, true)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let inner = ioctl_tiocgptpeer(&master, flags)?;
        Ok(Self { master, _inner: inner })
    }
}

impl Exec {
    /// Tells the caller, unless he is gone.
    fn tell(&self, report: &Report) {
        let Some(socket) = &self.socket else { return };
        // A caller that takes no packet at all is as good as gone, and sees the end of the connection.
        let text = serde_json::to_vec(report).unwrap_or_default();
        fdpass::send(socket, &text, &[]).unwrap_or_default();
    }

    /// Tells the caller the last thing.
    fn tell_last(&mut self, report: &Report) {
        self.tell(report);
        if let Some(socket) = self.socket.take() {
            part_with(&socket);
        }
    }

    /// The caller is gone: what was not executed yet is given up.
    fn leave(&mut self) -> Result<(), Errno> {
        self.socket = None;
        match self.process.as_ref().filter(|process| process.is_joining()) {
            Some(process) => process.signal(Signal::KILL),
            None => Ok(()),
        }
    }
}

fn failed(refusal: Refusal) -> Report {
    let code = if refusal.code == NOT_FOUND { NOT_FOUND } else { NOT_EXECUTABLE };
    Report::Failed { code, message: refusal.message }
}

impl Monitor {
    /// Does what `source` is there for.
    pub(crate) fn serve_exec(&mut self, source: Source) {
        match source {
            Source::Listener => {
                if let Err(error) = self.execs.accept() {
                    self.troubles.note(&self.folder, &format!("cannot accept a caller of exec: {error}"));
                }
            }
            Source::Kept(key) => self.execs.read_kept(key),
            Source::Caller(key) => self.hear_caller(key),
        }
    }

    /// Kills runtimes that take too long to bring a process in.
    pub(crate) fn tend_execs(&mut self) {
        for process in self.execs.list.iter_mut().filter_map(|one| one.process.as_mut()) {
            if let Err(errno) = process.kill_late() {
                self.troubles.note(&self.folder, &format!("cannot kill the runtime: {errno}"));
            }
        }
    }

    fn hear_caller(&mut self, key: u64) {
        let running = self.stage == Stage::Running;
        let Some(one) = self.execs.find(key) else { return };
        let Some(socket) = &one.socket else { return };
        let mut packet = vec![0; LONGEST];
        let heard = match fdpass::receive(socket, &mut packet) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Ok((length, fds)) if length > 0 => serde_json::from_slice::<Ask>(&packet[..length]).ok().zip(Some(fds)),
            Ok(_) | Err(_) => None,
        };
        let done = match heard {
            Some((Ask::Run { id, terminal }, fds)) if one.process.is_none() && is_id(&id) => {
                let begun = if running {
                    begin((&self.runtime, &self.folder), &id, terminal, fds)
                } else {
                    Err(Refusal::new("the container is not running"))
                };
                match begun {
                    Ok(process) => one.process = Some(process),
                    Err(refusal) => one.tell_last(&failed(refusal)),
                }
                Ok(())
            }
            Some((Ask::Signal(number), _)) => match (by_number(number), &one.process) {
                (Some(signal), Some(process)) => process.signal(signal),
                _ => one.leave(),
            },
            Some((Ask::Keep, mut fds)) => match (fds.pop(), fds.is_empty()) {
                (Some(master), true) => Kept::new(master).map(|kept| one.kept = Some(kept)),
                _ => one.leave(),
            },
            Some((Ask::Run { .. }, _)) | None => one.leave(),
        };
        if let Err(errno) = done {
            self.troubles.note(&self.folder, &format!("cannot do what a caller of exec asked: {errno}"));
        }
        self.execs.list.retain(|one| one.socket.is_some() || one.process.is_some());
    }
}

/// Begins what a caller asked for, with the descriptors that came along.
fn begin(from: (&Runtime, &Folder), id: &str, terminal: bool, fds: Vec<OwnedFd>) -> Result<Joined, Refusal> {
    let wrong = || Refusal::new("the caller of exec has not sent the descriptors that it takes");
    let mut fds = fds.into_iter();
    let process = fds.next().ok_or_else(wrong)?;
    let (inner, console) = if terminal {
        (Inner::nothing(), Some(fds.next().ok_or_else(wrong)?))
    } else {
        let (stdin, stdout, stderr) = (fds.next(), fds.next(), fds.next());
        let all = stdin.zip(stdout).zip(stderr).ok_or_else(wrong)?;
        (Inner { stdin: all.0.0.into(), stdout: all.0.1.into(), stderr: all.1.into() }, None)
    };
    if fds.next().is_some() {
        return Err(wrong());
    }
    Joined::begin(from, id, Joining { process, inner, console, group: None })
}
