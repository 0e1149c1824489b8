//! From a program that was just executed to a monitor: what it was given, and what it must not keep of its parent.

use std::io;

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::net::{SocketType, sockopt};
use rustix::process::{DumpableBehavior, Signal, set_child_subreaper, set_dumpable_behavior};
use stockade_kernel::inherit;
use stockade_kernel::signal::{Signals, heed_ignored};
use stockade_monitor::{ATTACH_FD, CONTROL_FD, LOCK_FD};

/// The signals that arrive as data: SIGCHLD, SIGTERM, and those that are ignored.
const RECEIVED: [Signal; 7] =
    [Signal::CHILD, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];

/// What the engine gave.
#[derive(Debug)]
pub(crate) struct Given {
    /// Where clients attach: listening, non-blocking.
    pub(crate) attach: OwnedFd,
    /// The engine.
    pub(crate) control: OwnedFd,
    /// The lock that is held as long as the monitor works for the container.
    pub(crate) lock: OwnedFd,
}

/// A program that was not started as the engine does.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdoptError {
    /// A descriptor is missing.
    #[error("descriptor {number} is not there: only the engine starts this program")]
    Missing {
        /// Its number.
        number: i32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A descriptor is something else.
    #[error("descriptor {number} is not {what}")]
    Wrong {
        /// Its number.
        number: i32,
        /// What it should be.
        what: &'static str,
    },
    /// Another process has the lock.
    #[error("the container's lock can not be had")]
    Lock(#[source] io::Error),
    /// A step of [`detach`].
    #[error("cannot {step}")]
    Step {
        /// What was attempted.
        step: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Given {
    /// Takes and checks the three descriptors; every other one but the standard three is closed.
    ///
    /// # Errors
    /// [`AdoptError`].
    pub(crate) fn take() -> Result<Self, AdoptError> {
        let take = |number| inherit::take(number).map_err(|source| AdoptError::Missing { number, source });
        let given = Self { attach: take(ATTACH_FD)?, control: take(CONTROL_FD)?, lock: take(LOCK_FD)? };
        let is_packets = |socket| sockopt::socket_type(socket) == Ok(SocketType::SEQPACKET);
        if !is_packets(&given.attach) || sockopt::socket_acceptconn(&given.attach) != Ok(true) {
            return Err(AdoptError::Wrong { number: ATTACH_FD, what: "a listening socket of packets" });
        }
        if !is_packets(&given.control) {
            return Err(AdoptError::Wrong { number: CONTROL_FD, what: "a socket of packets" });
        }
        // The lock belongs to the open file, which the engine locked: to lock it again changes nothing.
        flock(&given.lock, FlockOperation::NonBlockingLockExclusive).map_err(|errno| AdoptError::Lock(errno.into()))?;
        step("close the caller's files", || inherit::close_from(3))?;
        step("open the sockets for waiting", || {
            rustix::io::ioctl_fionbio(&given.attach, true)?;
            Ok(rustix::io::ioctl_fionbio(&given.control, true)?)
        })?;
        Ok(given)
    }
}

/// Leaves the caller's session, streams, folder and signals, closes itself to `ptrace(2)`, and becomes the parent of orphans.
///
/// # Errors
/// [`AdoptError::Step`].
pub(crate) fn detach() -> Result<Signals, AdoptError> {
    step("leave the caller's session", own_session)?;
    step("leave the caller's streams", || {
        let null = rustix::fs::openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        Ok(rustix::stdio::dup2_stderr(&null)?)
    })?;
    step("become the parent of orphans", || Ok(set_child_subreaper(Some(rustix::process::getpid()))?))?;
    step("become undumpable", || Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?))?;
    step("heed signals that the caller ignored", heed_ignored)?;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    step("leave the caller's folder", || Ok(rustix::process::chdir("/")?))?;
    step("receive signals", || Signals::block(&RECEIVED))
}

/// Makes a session, unless this process leads one already.
fn own_session() -> io::Result<()> {
    match rustix::process::setsid() {
        Ok(_) => Ok(()),
        Err(Errno::PERM) if rustix::process::getsid(None)? == rustix::process::getpid() => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn step<T>(step: &'static str, run: impl FnOnce() -> io::Result<T>) -> Result<T, AdoptError> {
    run().map_err(|source| AdoptError::Step { step, source })
}
