//! `run`: `create` and `start` in one process, and, in the foreground, the wait and `delete` too.
//!
//! An engine that has something to do between the two, as to attach a network, gives a socket ([`Word`]): that saves it the
//! second program.

use std::io;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use stockade_kernel::fdpass;
use stockade_spec::ContainerStatus;

use super::Context;
use super::create::{Arguments, CreateError, Made, Wait, make, undo};
use super::delete;
use crate::foreground::Foreground;
use crate::hook;
use crate::stage::Console;
use crate::store::StoreError;
use crate::terminal::Terminal;

/// Why there was no run, or its end is not known.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The container could not be made or started.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// Signals or the terminal could not be set up.
    #[error("cannot set up the foreground")]
    Foreground(#[source] io::Error),
    /// The wait broke off; the container goes on.
    #[error("cannot wait for the container")]
    Wait(#[source] io::Error),
    /// It ended, and something of it could not be removed.
    #[error("cannot remove the ended container")]
    Remove(#[from] delete::DeleteError),
    /// The container's folder.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What happens after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Return at once.
    Detach,
    /// Wait for the end, and delete the container.
    Wait {
        /// Do not delete it.
        keep: bool,
        /// Become the parent of the container's orphans.
        subreaper: bool,
    },
}

/// A connected socket whose other end says when the payload is to start.
#[derive(Debug)]
pub struct Word(pub OwnedFd);

/// The payload is not to start.
#[derive(Debug, thiserror::Error)]
pub enum WordError {
    /// The socket.
    #[error("cannot speak with who says when to start")]
    Socket(#[from] Errno),
    /// The other end was closed.
    #[error("it was not told to")]
    Gone,
}

impl Word {
    /// Says that the container is there, by one packet or byte, and waits for one.
    fn wait(&self) -> Result<(), WordError> {
        rustix::io::retry_on_intr(|| rustix::net::send(&self.0, CREATED, SendFlags::NOSIGNAL))?;
        match rustix::io::retry_on_intr(|| rustix::net::recv(&self.0, &mut [0; 1], RecvFlags::empty()))? {
            (0, _) => Err(WordError::Gone),
            _ => Ok(()),
        }
    }
}

/// What the other end of a [`Word`] is told.
const CREATED: &[u8] = b"c";

/// Runs the container, with a `word` once that was given; the payload's exit code, 0 after a start that is not waited for.
///
/// # Errors
/// [`RunError`]; a container that did not start is removed.
pub fn run(context: &Context, arguments: &Arguments, then: Then, word: Option<Word>) -> Result<u8, RunError> {
    let mut receiver = None;
    let mut give_console =
        |terminal| console(arguments.console_socket.as_deref(), terminal && then != Then::Detach, &mut receiver);
    let foreground = match then {
        Then::Detach => None,
        Then::Wait { .. } => Some(Foreground::prepare().map_err(RunError::Foreground)?),
    };
    if let Then::Wait { subreaper: true, .. } = then {
        Foreground::reap_orphans().map_err(RunError::Foreground)?;
    }
    let Made { entry, launched, poststart, poststop } = make(context, arguments, &mut give_console, Wait::ForWord)?;
    let started = match word {
        Some(word) => launched.start_after(|| Ok(word.wait()?)),
        None => launched.start().map_err(CreateError::from),
    };
    let (pid, pidfd) = match started {
        Ok(started) => started,
        Err(error) => return Err(undo(context, entry, error).into()),
    };
    let state = entry.record().map(|record| record.state(ContainerStatus::Running));
    if let Some(Err(failure)) = state.map(|state| hook::run(&poststart, &state)) {
        return Err(undo(context, entry, failure.into()).into());
    }
    let id = entry.id().clone();
    let deletes = matches!(then, Then::Wait { keep: false, .. });
    let groups = entry.record().filter(|_| deletes).and_then(delete::prepare);
    drop(entry);
    let (Some(foreground), Then::Wait { keep, .. }) = (foreground, then) else { return Ok(0) };
    let terminal = receiver.as_ref().map(receive).transpose().map_err(RunError::Foreground)?;
    let code = foreground.wait(pid, &pidfd, terminal).map_err(RunError::Wait)?;
    if !keep {
        delete::delete_own(context, &id, &poststop, groups)?;
    }
    Ok(code)
}

/// The console socket: the one given, or, for a terminal in the foreground, one of our own with the end that receives.
pub(super) fn console(
    given: Option<&Path>,
    own: bool,
    receiver: &mut Option<OwnedFd>,
) -> Result<Option<Console>, CreateError> {
    if let Some(path) = given {
        return Ok(Some(Console::connect(path)?));
    }
    if !own {
        return Ok(None);
    }
    let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let (ours, theirs) = pair.map_err(|errno| CreateError::ConsoleSocket(errno.into()))?;
    *receiver = Some(ours);
    Ok(Some(Console::of_caller(theirs)))
}

/// The terminal that the payload's process has sent.
pub(super) fn receive(socket: &OwnedFd) -> io::Result<Terminal> {
    let mut name = [0; 64];
    let (_, mut received) = fdpass::receive(socket, &mut name)?;
    Terminal::new(received.pop().ok_or(rustix::io::Errno::BADMSG)?)
}
