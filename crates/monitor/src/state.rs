//! What became of a container: `state.json` in its folder, written by its monitor alone.
//!
//! It is replaced as a whole (written beside, renamed), and synchronised where it tells an end. What it says of a running container
//! is true only while the monitor holds its lock ([`crate::LOCK`]): a monitor that was killed, or a machine that went down, cannot
//! say so. So after a crash of the machine it may be empty, if the container had not ended before.

use serde::{Deserialize, Serialize};

use crate::cause::Cause;

/// The state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The monitor's process id.
    pub monitor: i32,
    /// How many times the monitor has started the container again.
    #[serde(default)]
    pub restarts: u32,
    /// Where the container is in its life.
    pub phase: Phase,
}

/// Where a container is in its life. Times are RFC 3339 with nanoseconds, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "status")]
pub enum Phase {
    /// It waits for its start.
    Created {
        /// The host's id of its first process.
        pid: i32,
    },
    /// Its program was executed.
    Running {
        /// The host's id of its first process.
        pid: i32,
        /// When.
        started: String,
    },
    /// Its first process has ended.
    Exited {
        /// As shells say it: 128 and the signal's number for one that a signal ended.
        code: u8,
        /// The signal that ended it, if one did.
        signal: Option<i32>,
        /// When it was started.
        started: String,
        /// When it ended.
        finished: String,
        /// Why it ended.
        #[serde(default)]
        cause: Option<Cause>,
        /// Why it was not started again although it should have been.
        #[serde(default)]
        error: Option<String>,
    },
    /// Its first process has ended, and it will be started again.
    Restarting {
        /// As in [`Phase::Exited`].
        code: u8,
        /// As in [`Phase::Exited`].
        signal: Option<i32>,
        /// When it was started.
        started: String,
        /// When it ended.
        finished: String,
        /// Why it ended.
        #[serde(default)]
        cause: Option<Cause>,
    },
    /// It was never started.
    Failed {
        /// Docker's exit code: 125, 126 or 127.
        code: u8,
        /// What the runtime or the monitor said.
        error: String,
    },
}

impl Phase {
    /// Whether it is the last: what its monitor tells no more of.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Exited { .. } | Self::Failed { .. })
    }
}
