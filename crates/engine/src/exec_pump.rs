//! Copying between a caller's streams and those of a process in a container: one `poll(2)`, nothing waited for elsewhere.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::termios::tcsetwinsize;
use stockade_kernel::fdpass;
use stockade_kernel::signal::Signals;
use stockade_monitor::exec::{Ask, LONGEST, Report};

use crate::exec_session::{ExecSession, Streams, size};
use crate::pump::DetachKeys;
use crate::session::{FollowError, Input};

/// What a stream that is no regular file is given at once (`PIPE_BUF`, `pipe(7)`).
const CHUNK: usize = 4096;
/// How much is read at once.
const MOST_READ: usize = 64 << 10;
/// How long output is waited for once the process has ended, if others still have its streams: as for containers.
const DRAIN: Duration = Duration::from_secs(1);

/// How the copying ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copied {
    /// The process has ended.
    Exited(u8),
    /// The caller typed the keys; the monitor has the terminal.
    Detached,
    /// The monitor is gone without a word.
    Hungup,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// From the caller.
    In,
    /// To the caller.
    Out,
}

/// One stream.
#[derive(Debug)]
struct Flow {
    way: Way,
    /// Until its end.
    from: Option<OwnedFd>,
    to: OwnedFd,
    /// What was read and not written yet.
    held: Vec<u8>,
    /// How much `to` is given at once.
    most: usize,
}

/// All that is copied.
#[derive(Debug)]
pub(crate) struct Pump {
    socket: OwnedFd,
    signals: Signals,
    flows: Vec<Flow>,
    /// The terminal, and its inner side as long as the process runs.
    terminal: Option<OwnedFd>,
    kept_open: Option<OwnedFd>,
    keys: DetachKeys,
    /// The code, and until when the rest is read.
    ended: Option<(u8, Instant)>,
}

impl Flow {
    fn new(way: Way, from: OwnedFd, to: OwnedFd) -> Self {
        let kind = rustix::fs::fstat(&to).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let most = if kind == Ok(FileType::RegularFile) { MOST_READ } else { CHUNK };
        Self { way, from: Some(from), to, held: Vec::new(), most }
    }

    /// What to wait for.
    fn waits(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.from {
            Some(_) if !self.held.is_empty() => Some((self.to.as_fd(), PollFlags::OUT)),
            Some(from) => Some((from.as_fd(), PollFlags::IN)),
            None => None,
        }
    }

    /// Reads once; `None` at the end.
    fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, FollowError> {
        let Some(from) = &self.from else { return Ok(None) };
        match rustix::io::retry_on_intr(|| rustix::io::read(from, &mut *buffer)) {
            // A terminal that is gone says EIO.
            Ok(0) | Err(Errno::IO) => Ok(None),
            Ok(length) => Ok(Some(length)),
            Err(Errno::AGAIN) => Ok(Some(0)),
            Err(errno) if self.way == Way::In => Err(FollowError::doing("read standard input")(errno)),
            Err(errno) => Err(FollowError::doing("read what the process writes")(errno)),
        }
    }

    /// Writes what `to` takes without making us wait. Nobody who takes anything any more is the end of the stream.
    fn write(&mut self) -> Result<(), FollowError> {
        let mut done = 0;
        while done < self.held.len() && can_write(self.to.as_fd())? {
            let chunk = &self.held[done..self.held.len().min(done + self.most)];
            match rustix::io::retry_on_intr(|| rustix::io::write(&self.to, chunk)) {
                Ok(length) => done += length,
                Err(Errno::AGAIN) => break,
                Err(Errno::PIPE | Errno::IO) => {
                    self.from = None;
                    self.held.clear();
                    return Ok(());
                }
                Err(errno) if self.way == Way::In => return Err(FollowError::doing("write to the process")(errno)),
                Err(errno) => return Err(FollowError::doing("write what the process says")(errno)),
            }
        }
        self.held.drain(..done);
        Ok(())
    }
}

/// Whether the stream takes [`CHUNK`] bytes, or an error, at once.
fn can_write(stream: BorrowedFd<'_>) -> Result<bool, FollowError> {
    let mut fds = [PollFd::from_borrowed_fd(stream, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let found = rustix::io::retry_on_intr(|| poll(&mut fds, Some(&now)));
    Ok(found.map_err(FollowError::doing("wait for a stream"))? > 0)
}

impl Pump {
    pub(crate) fn new(session: ExecSession) -> Result<Self, FollowError> {
        let copy = |fd: BorrowedFd<'_>| {
            rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(FollowError::doing("duplicate a descriptor"))
        };
        let ExecSession { socket, signals, streams, reads, detach_keys, .. } = session;
        let (stdin, stdout) = (rustix::stdio::stdin(), rustix::stdio::stdout());
        let mut flows = Vec::new();
        let (mut terminal, mut kept_open, mut keys) = (None, None, Vec::new());
        match streams {
            Streams::Pipes { input, output, error } => {
                if let Some(input) = input {
                    flows.push(Flow::new(Way::In, copy(stdin)?, input));
                }
                flows.push(Flow::new(Way::Out, output, copy(stdout)?));
                flows.push(Flow::new(Way::Out, error, copy(rustix::stdio::stderr())?));
            }
            Streams::Terminal { master, kept_open: inner } => {
                if reads == Input::Forward {
                    flows.push(Flow::new(Way::In, copy(stdin)?, copy(master.as_fd())?));
                }
                flows.push(Flow::new(Way::Out, copy(master.as_fd())?, copy(stdout)?));
                (terminal, kept_open, keys) = (Some(master), Some(inner), detach_keys);
            }
        }
        let keys = DetachKeys { keys, matched: 0 };
        Ok(Self { socket, signals, flows, terminal, kept_open, keys, ended: None })
    }

    pub(crate) fn run(mut self) -> Result<Copied, FollowError> {
        let mut buffer = vec![0; MOST_READ];
        loop {
            let (socket, ready) = self.wait()?;
            self.take_signals()?;
            for at in ready {
                if self.copy(at, &mut buffer)? {
                    self.keep()?;
                    return Ok(Copied::Detached);
                }
            }
            if socket && !self.hear(&mut buffer)? {
                return Ok(Copied::Hungup);
            }
            // With the caller's output gone nobody is at the terminal any more.
            if self.terminal.is_some() && !self.flows.iter().any(|flow| flow.way == Way::Out) {
                self.flows.clear();
                (self.terminal, self.kept_open) = (None, None);
            }
            if let Some((code, until)) = self.ended {
                let all = self.flows.iter().all(|flow| flow.way == Way::In);
                if all || Instant::now() >= until {
                    return Ok(Copied::Exited(code));
                }
            }
        }
    }

    /// Sleeps until something can be done: whether the monitor has something to say, and which streams are ready.
    fn wait(&self) -> Result<(bool, Vec<usize>), FollowError> {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let mut waits = Vec::new();
        for (at, flow) in self.flows.iter().enumerate() {
            if let Some((fd, flags)) = flow.waits() {
                fds.push(PollFd::from_borrowed_fd(fd, flags));
                waits.push(at);
            }
        }
        if self.ended.is_none() {
            fds.push(PollFd::new(&self.socket, PollFlags::IN));
        }
        let left = self.ended.map(|(_, until)| until.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) });
        rustix::io::retry_on_intr(|| poll(&mut fds, left.as_ref()))
            .map_err(FollowError::doing("wait for the process"))?;
        let happened: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let socket = self.ended.is_none() && happened.last() == Some(&true);
        let ready = waits.into_iter().zip(happened.into_iter().skip(1)).filter_map(|(at, ready)| ready.then_some(at));
        Ok((socket, ready.collect()))
    }

    /// Reads or writes the stream at `at`; whether the caller typed the keys that detach.
    fn copy(&mut self, at: usize, buffer: &mut [u8]) -> Result<bool, FollowError> {
        let Some(flow) = self.flows.get_mut(at) else { return Ok(false) };
        let mut detach = false;
        if flow.held.is_empty() {
            let read = flow.read(buffer)?;
            let typed = flow.way == Way::In && self.terminal.is_some();
            match read {
                Some(length) if typed => (flow.held, detach) = self.keys.take(&buffer[..length]),
                Some(length) => flow.held.extend_from_slice(&buffer[..length]),
                // What a terminal's line discipline takes for the end of input.
                None if typed => {
                    flow.held = self.keys.rest();
                    flow.held.push(4);
                    flow.write()?;
                    flow.from = None;
                }
                None => flow.from = None,
            }
        }
        flow.write()?;
        // An end that was reached is passed on by closing.
        self.flows.retain(|flow| flow.from.is_some() || !flow.held.is_empty());
        Ok(detach)
    }

    /// Passes the signals on that have arrived; a terminal's new size goes its own way.
    fn take_signals(&mut self) -> Result<(), FollowError> {
        while let Some(signal) = self.signals.next().map_err(FollowError::doing("read signals"))? {
            match &self.terminal {
                Some(terminal) if signal.number == Signal::WINCH.as_raw() => {
                    let size = size().map_err(FollowError::doing("read the terminal's size"))?;
                    let set = size.map_or(Ok(()), |size| tcsetwinsize(terminal, size));
                    set.map_err(FollowError::doing("set the terminal's size"))?;
                }
                _ => self.say(&Ask::Signal(signal.number), &[])?,
            }
        }
        Ok(())
    }

    /// Leaves the terminal to the monitor.
    fn keep(&self) -> Result<(), FollowError> {
        match &self.terminal {
            Some(master) => self.say(&Ask::Keep, &[master.as_fd()]),
            None => Ok(()),
        }
    }

    fn say(&self, ask: &Ask, fds: &[BorrowedFd<'_>]) -> Result<(), FollowError> {
        let text = serde_json::to_vec(ask).map_err(FollowError::doing("ask the container's monitor"))?;
        match fdpass::send(&self.socket, &text, fds) {
            // One that has gone is noticed where it is heard.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(FollowError::doing("ask the container's monitor")),
        }
    }

    /// Hears the end; whether the monitor is still there.
    fn hear(&mut self, buffer: &mut [u8]) -> Result<bool, FollowError> {
        let (length, _) =
            fdpass::receive(&self.socket, &mut buffer[..LONGEST]).map_err(FollowError::doing("hear the monitor"))?;
        let code = match serde_json::from_slice(&buffer[..length]) {
            _ if length == 0 => return Ok(false),
            Ok(Report::Exited { code }) => code,
            Ok(Report::Failed { .. } | Report::Started { .. }) => return Ok(true),
            Err(error) => return Err(FollowError::doing("understand the monitor")(error)),
        };
        self.ended = Some((code, Instant::now() + DRAIN));
        self.kept_open = None;
        self.flows.retain(|flow| flow.way == Way::Out);
        Ok(true)
    }
}
