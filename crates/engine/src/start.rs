//! `start`: a monitor for a container, and through it the runtime.

use crate::lifecycle::State;
use crate::session::{Attachment, Session};
use crate::{ContainerId, Engine, pending};

/// Why a container did not start. Nothing of it runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It is already running, or being started.
    #[error("container {} is {state}", id.short())]
    NotNow {
        /// The container.
        id: ContainerId,
        /// Its state.
        state: State,
    },
    /// What the runtime or the monitor said.
    #[error("container {} did not start: {message}", id.short())]
    Failed {
        /// The container.
        id: ContainerId,
        /// Docker's exit code: 125, 126 (not executable) or 127 (not found).
        code: u8,
        /// What was said.
        message: String,
    },
}

impl StartError {
    /// Docker's exit code for it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed { code, .. } => *code,
            Self::NotNow { .. } => 125,
        }
    }
}

/// Starts a container that nobody is attached to, and returns when its program was executed.
///
/// # Errors
/// See [`StartError`]. With `--rm` the container is then removed.
pub fn start(engine: &Engine, id: &ContainerId) -> Result<(), StartError> {
    pending::body((engine, id))
}

/// Starts a container with the caller attached, so that nothing that it says is missed. From here on signals that are to be
/// forwarded are held back for [`Session::follow`].
///
/// # Errors
/// As [`start`].
pub fn start_attached(engine: &Engine, id: &ContainerId, attachment: Attachment) -> Result<Session, StartError> {
    pending::body((engine, id, attachment))
}
