//! `attach`: the caller's streams at a container that runs already.

use crate::container::ContainerError;
use crate::lifecycle::State;
use crate::session::{Attachment, Session};
use crate::{ContainerId, Engine, pending};

/// Why nobody is attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
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
}

/// Attaches the caller: it gets what the container writes from now on.
///
/// # Errors
/// See [`AttachError`].
pub fn attach(engine: &Engine, id: &ContainerId, attachment: Attachment) -> Result<Session, AttachError> {
    pending::body((engine, id, attachment))
}
