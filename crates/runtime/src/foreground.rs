//! Waiting for a process in the foreground: its exit code, the signals and the terminal that belong to it.

use std::io;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, pidfd_send_signal, set_child_subreaper, wait};
use stockade_kernel::signal::{FORWARDED, Signals};

use crate::terminal::Terminal;

/// The signals of a process that waits in the foreground; made before the process, so that none is lost.
#[derive(Debug)]
pub struct Foreground {
    signals: Signals,
}

impl Foreground {
    /// Blocks the signals that will be forwarded, and those of ended children.
    ///
    /// # Errors
    /// As `signalfd(2)`.
    pub fn prepare() -> io::Result<Self> {
        let signals: Vec<_> = FORWARDED.iter().copied().chain([Signal::CHILD]).collect();
        Ok(Self { signals: Signals::block(&signals)? })
    }

    /// Makes orphans of the process children of the caller, which reaps them in [`Foreground::wait`].
    ///
    /// # Errors
    /// As `prctl(2)`.
    pub fn reap_orphans() -> io::Result<()> {
        // The value is read as a boolean only.
        Ok(set_child_subreaper(Some(rustix::process::getpid()))?)
    }

    /// Waits for the end of the child `pid`, forwarding signals to it, and copying between `terminal` and the caller's own.
    /// Returns its exit code, 128 and the number if a signal ended it.
    ///
    /// # Errors
    /// As `poll(2)` and `waitid(2)`. The process goes on.
    pub fn wait(&self, pid: Pid, pidfd: &OwnedFd, mut terminal: Option<Terminal>) -> io::Result<u8> {
        loop {
            self.wait_for_news(pidfd, terminal.as_mut())?;
            while let Some(signal) = self.signals.next()? {
                self.take(signal.number, pidfd, terminal.as_ref())?;
            }
            if let Some(code) = reap(pid)? {
                if let Some(mut terminal) = terminal {
                    terminal.drain()?;
                }
                return Ok(code);
            }
        }
    }

    /// Sleeps until there is a signal, an end, or something to copy, and copies it.
    fn wait_for_news(&self, pidfd: &OwnedFd, terminal: Option<&mut Terminal>) -> io::Result<()> {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN), PollFd::new(pidfd, PollFlags::IN)];
        let Some(terminal) = terminal else {
            rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
            return Ok(());
        };
        fds.extend(terminal.poll_fds());
        rustix::io::retry_on_intr(|| poll(&mut fds, terminal.patience().as_ref()))?;
        // The caller's input comes last, if it is there at all.
        let news = fds.last().is_some_and(|input| !input.revents().is_empty());
        drop(fds);
        terminal.copy(news)
    }

    fn take(&self, number: i32, pidfd: &OwnedFd, terminal: Option<&Terminal>) -> io::Result<()> {
        let signal = FORWARDED.into_iter().find(|signal| signal.as_raw() == number);
        match (signal, terminal) {
            (Some(Signal::WINCH), Some(terminal)) => terminal.resize(),
            (Some(signal), _) => match pidfd_send_signal(pidfd.as_fd(), signal) {
                Ok(()) | Err(Errno::SRCH) => Ok(()),
                Err(errno) => Err(errno.into()),
            },
            (None, _) => Ok(()),
        }
    }
}

/// Reaps every child that has ended; the exit code of `main`, if it is among them.
fn reap(main: Pid) -> io::Result<Option<u8>> {
    let mut code = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == main => {
                code = match (status.exit_status(), status.terminating_signal()) {
                    (Some(exit), _) => Some(exit as u8),
                    (None, Some(signal)) => Some((128 + signal) as u8),
                    (None, None) => code,
                };
            }
            Ok(Some(_)) => {}
            Ok(None) => return Ok(code),
            // The process was ours and nobody else reaps it: without its status there is no end to wait for.
            Err(Errno::CHILD) if code.is_some() => return Ok(code),
            Err(errno) => return Err(errno.into()),
        }
    }
}
