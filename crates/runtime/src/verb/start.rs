//! `start`: lets a created container execute its payload.

use stockade_spec::{ContainerStatus, ParseError, Spec};

use super::Context;
use super::delete::LeftError;
use crate::hook::{self, HookError};
use crate::stage;
use crate::status::{StatusError, status};
use crate::store::{ContainerId, StoreError};

/// Why the payload does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The container's folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its status.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// It has no record: its `create` was killed.
    #[error("the container {0} was never finished: delete it")]
    Unfinished(ContainerId),
    /// In runc's words.
    #[error("cannot start a container that has stopped")]
    Stopped,
    /// In runc's words.
    #[error("cannot start an already running container")]
    Running,
    /// The kept configuration can not be read.
    #[error("the kept configuration is wrong")]
    Config(#[from] ParseError),
    /// The start failed; the container has ended.
    #[error(transparent)]
    Start(#[from] stage::StartError),
    /// A hook after the start failed; the container has ended.
    #[error("cannot run a poststart hook")]
    Poststart(#[from] HookError),
    /// It was to be ended after a hook had failed.
    #[error("cannot end the container whose poststart hook has failed")]
    End(#[from] LeftError),
}

/// Starts the container `id`, and runs its `poststart` hooks. If one fails the container is ended, and is there to be deleted
/// (`runtime.md`, "Lifecycle", 9).
///
/// # Errors
/// [`StartError`].
pub fn start(context: &Context, id: &ContainerId) -> Result<(), StartError> {
    let entry = context.store.find(id)?;
    let record = entry.record().ok_or_else(|| StartError::Unfinished(id.clone()))?;
    match status(&context.store, record)? {
        ContainerStatus::Created => {}
        ContainerStatus::Stopped => return Err(StartError::Stopped),
        ContainerStatus::Creating => return Err(StartError::Unfinished(id.clone())),
        ContainerStatus::Running | ContainerStatus::Paused => return Err(StartError::Running),
    }
    stage::start(entry.folder())?;
    let config = entry.config()?;
    let (spec, _) = Spec::parse(&config)?;
    let hooks = spec.hooks.unwrap_or_default().poststart;
    if let Err(failure) = hook::run(&hooks, &record.state(ContainerStatus::Running)) {
        super::delete::end(record)?;
        return Err(failure.into());
    }
    Ok(())
}
