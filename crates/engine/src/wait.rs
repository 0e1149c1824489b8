//! `wait`: the exit code of a container, when it ends.

use crate::container::ContainerError;
use crate::{ContainerId, Engine, pending};

/// Why the end was not waited for.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
}

/// Waits until the container does not run, and returns its last exit code; 0 for one that was never started.
///
/// # Errors
/// See [`WaitError`].
pub fn wait(engine: &Engine, id: &ContainerId) -> Result<u8, WaitError> {
    pending::body((engine, id))
}
