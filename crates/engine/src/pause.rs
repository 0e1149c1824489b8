//! `pause` and `unpause`: all processes of a container stand still, and go on.
//!
//! Whether a container is paused is the kernel's word (`freezer`): nothing is written down.

use stockade_monitor::events::ContainerAction;

use crate::container::{ContainerError, NotRunning};
use crate::runtime::RuntimeError;
use crate::{ContainerId, Engine, State};

/// Why a container does not stand still, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// It does not run.
    #[error(transparent)]
    NotRunning(#[from] NotRunning),
    /// It stands still.
    #[error("container {} is already paused", .0.short())]
    Already(ContainerId),
    /// There is nothing to pause.
    #[error("container {} is restarting, wait until the container is running", .0.short())]
    Restarting(ContainerId),
    /// It does not stand still.
    #[error("container {} is not paused", .0.short())]
    NotPaused(ContainerId),
    /// The runtime did not do it.
    #[error("cannot {verb} container {}", id.short())]
    Runtime {
        /// `pause` or `unpause`.
        verb: &'static str,
        /// The container.
        id: ContainerId,
        /// Why.
        source: RuntimeError,
    },
    /// The runtime says that it did, and the kernel does not.
    #[error("the runtime did not {verb} container {}", id.short())]
    Without {
        /// `pause` or `unpause`.
        verb: &'static str,
        /// The container.
        id: ContainerId,
    },
}

/// Lets every process of the container stand still.
///
/// # Errors
/// See [`PauseError`].
pub fn pause(engine: &Engine, id: &ContainerId) -> Result<(), PauseError> {
    let folder = engine.folder(id)?.lock()?;
    let view = engine.settle(&folder)?;
    match view.life.state {
        State::Running => {}
        State::Paused => return Err(PauseError::Already(id.clone())),
        State::Restarting => return Err(PauseError::Restarting(id.clone())),
        state => return Err(NotRunning { id: id.clone(), state }.into()),
    }
    let failed = |source| PauseError::Runtime { verb: "pause", id: id.clone(), source };
    engine.call_runtime(id, &["pause", id.as_str()]).map_err(failed)?;
    match folder.0.view()?.life.state {
        State::Paused => {}
        // It has ended meanwhile, or was killed.
        state if state != State::Running => return Err(NotRunning { id: id.clone(), state }.into()),
        _ => return Err(PauseError::Without { verb: "pause", id: id.clone() }),
    }
    engine.happened_to(&view.record, &ContainerAction::Pause);
    Ok(())
}

/// Lets them go on.
///
/// # Errors
/// See [`PauseError`].
pub fn unpause(engine: &Engine, id: &ContainerId) -> Result<(), PauseError> {
    let folder = engine.folder(id)?.lock()?;
    let view = engine.settle(&folder)?;
    if view.life.state != State::Paused {
        return Err(PauseError::NotPaused(id.clone()));
    }
    let failed = |source| PauseError::Runtime { verb: "unpause", id: id.clone(), source };
    engine.call_runtime(id, &["resume", id.as_str()]).map_err(failed)?;
    if folder.0.view()?.life.state == State::Paused {
        return Err(PauseError::Without { verb: "unpause", id: id.clone() });
    }
    engine.happened_to(&view.record, &ContainerAction::Unpause);
    Ok(())
}
