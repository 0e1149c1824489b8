//! `rm`: removes a container and everything of it.

use crate::container::ContainerError;
use crate::lifecycle::State;
use crate::{ContainerId, Engine, pending};

/// What happens to a container that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It is refused.
    Refuse,
    /// It is killed first (`--force`).
    Kill,
}

/// Why a container is still there.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// It runs.
    #[error("container {} is {state}: stop it first, or remove it by force", id.short())]
    Running {
        /// The container.
        id: ContainerId,
        /// Its state.
        state: State,
    },
    /// It was killed and does not end.
    #[error("container {} was killed and has not ended after {seconds} seconds", id.short())]
    DoesNotEnd {
        /// The container.
        id: ContainerId,
        /// How long it was waited for.
        seconds: u64,
    },
}

/// Removes the container: its folder, name and log, and what the runtime knows of it.
///
/// # Errors
/// See [`RemoveError`]. What is half removed is no container any more, and the next command goes on removing it.
pub fn remove(engine: &Engine, id: &ContainerId, force: Force) -> Result<(), RemoveError> {
    pending::body((engine, id, force))
}
