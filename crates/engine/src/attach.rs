//! `attach`: the caller's streams at a container that runs already.

use stockade_monitor::events::ContainerAction;

use crate::container::ContainerError;
use crate::lifecycle::State;
use crate::session::{Attachment, Connected, Session};
use crate::{ContainerId, Engine};

/// Why nobody is attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// It does not run.
    #[error("container {} is not running: it is {state}; start it with start --attach", id.short())]
    NotRunning {
        /// The container.
        id: ContainerId,
        /// Its state.
        state: State,
    },
    /// It stands still.
    #[error("cannot attach to the paused container {}: unpause it first", .0.short())]
    Paused(ContainerId),
    /// Nothing of it runs now.
    #[error("cannot attach to the restarting container {}: wait until it is running", .0.short())]
    Restarting(ContainerId),
    /// The monitor could not be reached.
    #[error("cannot attach to container {}", id.short())]
    Connect {
        /// The container.
        id: ContainerId,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// Attaches the caller: it gets what the container writes from now on.
///
/// # Errors
/// See [`AttachError`].
pub fn attach(engine: &Engine, id: &ContainerId, attachment: Attachment) -> Result<Session, AttachError> {
    let view = engine.view(id)?;
    match view.life.state {
        State::Running => {}
        State::Paused => return Err(AttachError::Paused(id.clone())),
        State::Restarting => return Err(AttachError::Restarting(id.clone())),
        state => return Err(AttachError::NotRunning { id: id.clone(), state }),
    }
    let connected = Connected::new(&engine.folder(id)?, &attachment, view.record.config.tty);
    let connected = connected.and_then(|connected| connected.redraw().map(|()| connected));
    let connected = connected.map_err(|source| AttachError::Connect { id: id.clone(), source })?;
    engine.happened_to(&view.record, &ContainerAction::Attach);
    Ok(Session::new(engine, id, connected, attachment))
}
