//! `kill`: a signal for a container's first process.

use rustix::process::Signal;

use crate::container::ContainerError;
use crate::lifecycle::State;
use crate::{ContainerId, Engine, pending};

/// Why a signal was not sent.
#[derive(Debug, thiserror::Error)]
pub enum KillError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// It does not run.
    #[error("container {} is not running: it is {state}", id.short())]
    NotRunning {
        /// The container.
        id: ContainerId,
        /// Its state.
        state: State,
    },
    /// The runtime did not send it.
    #[error("cannot signal container {}: {message}", id.short())]
    Runtime {
        /// The container.
        id: ContainerId,
        /// What it said.
        message: String,
    },
}

/// A text that is no signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid signal: {0}")]
pub struct UnknownSignal(pub String);

/// The signal that `text` names: with or without `SIG`, in either case, a number, `RTMIN+n` or `RTMAX-n`.
///
/// # Errors
/// [`UnknownSignal`].
pub fn parse_signal(text: &str) -> Result<Signal, UnknownSignal> {
    pending::body(text)
}

/// Sends the signal to the container's first process.
///
/// # Errors
/// See [`KillError`].
pub fn kill(engine: &Engine, id: &ContainerId, signal: Signal) -> Result<(), KillError> {
    pending::body((engine, id, signal))
}
