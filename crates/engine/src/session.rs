//! A caller's terminal or standard streams at a running container.

use std::io;

use crate::pending;

/// How a caller is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// What becomes of the caller's standard input.
    pub input: Input,
    /// What becomes of the signals that the caller gets.
    pub signals: SignalProxy,
    /// Keys that detach from a terminal (`--detach-keys`), as bytes; empty for none. Docker's are [`DETACH_KEYS`].
    pub detach_keys: Vec<u8>,
}

/// Docker's keys to detach: ctrl-p, ctrl-q.
pub const DETACH_KEYS: [u8; 2] = [0x10, 0x11];

/// What becomes of the caller's standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// It goes to the container (`--interactive`).
    Forward,
    /// It is not read.
    Ignore,
}

/// What becomes of the signals that the caller gets (`--sig-proxy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalProxy {
    /// They go to the container's first process.
    Forward,
    /// They do to the caller what they always do.
    Keep,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The container's first process has ended with this code: 128 and the number if a signal ended it. With `--rm` it is removed.
    Exited(u8),
    /// The caller detached; the container goes on.
    Detached,
}

/// Why a session ended without the container's end.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The monitor is gone. What was left of the container was killed.
    #[error("the monitor of the container was killed, and the container with it")]
    MonitorLost,
    /// The caller's own streams or terminal; the container goes on.
    #[error("cannot {action}")]
    Stream {
        /// What was attempted.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// It ended, but was not removed as `--rm` says.
    #[error("the container has ended with code {code} and is still there")]
    Remove {
        /// Its exit code.
        code: u8,
        /// Why it is still there.
        source: crate::RemoveError,
    },
}

impl FollowError {
    /// Docker's exit code for it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::MonitorLost => 137,
            Self::Stream { .. } => 125,
            Self::Remove { code, .. } => *code,
        }
    }
}

/// A caller attached to a container.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// Copies between the caller and the container until the container ends or the caller detaches. A terminal of the caller is
    /// in raw mode meanwhile and always gets its mode back.
    ///
    /// # Errors
    /// See [`FollowError`].
    pub fn follow(self) -> Result<Followed, FollowError> {
        pending::body(self)
    }
}
