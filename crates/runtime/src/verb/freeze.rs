//! `pause` and `resume`: all processes of a container stop, and go on.

use stockade_cgroups::{FileError, FreezeError, Group};
use stockade_spec::ContainerStatus;

use super::Context;
use crate::status::{StatusError, status};
use crate::store::{ContainerId, Record, StoreError};

/// Why nothing was frozen or thawed.
#[derive(Debug, thiserror::Error)]
pub enum FreezeVerbError {
    /// The container's folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its status.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// In runc's words.
    #[error("container not running or created: {}", .0.as_str())]
    NotRunning(ContainerStatus),
    /// In runc's words.
    #[error("container not paused")]
    NotPaused,
    /// It was made by a user who may make none.
    #[error("it has no cgroup, without which it cannot be paused: the user who made it may make none")]
    NoGroup,
    /// The cgroup.
    #[error(transparent)]
    Group(#[from] FileError),
    /// The freezer.
    #[error(transparent)]
    Freeze(#[from] FreezeError),
}

/// The container's group, which one of an ordinary user may not have.
fn group(record: &Record) -> Result<Group, FreezeVerbError> {
    if record.places.is_empty() { Err(FreezeVerbError::NoGroup) } else { Ok(Group::open_remaining(&record.places)?) }
}

/// Freezes the container's processes; all are frozen when this returns.
///
/// # Errors
/// [`FreezeVerbError`]; after a failed freeze the container runs.
pub fn pause(context: &Context, id: &ContainerId) -> Result<(), FreezeVerbError> {
    let entry = context.store.find(id)?;
    let record = entry.record().ok_or(FreezeVerbError::NotRunning(ContainerStatus::Creating))?;
    match status(&context.store, record)? {
        ContainerStatus::Running | ContainerStatus::Created => Ok(group(record)?.freeze()?),
        other => Err(FreezeVerbError::NotRunning(other)),
    }
}

/// Thaws them.
///
/// # Errors
/// [`FreezeVerbError`].
pub fn resume(context: &Context, id: &ContainerId) -> Result<(), FreezeVerbError> {
    let entry = context.store.find(id)?;
    let record = entry.record().ok_or(FreezeVerbError::NotPaused)?;
    match status(&context.store, record)? {
        ContainerStatus::Paused => Ok(group(record)?.thaw()?),
        _ => Err(FreezeVerbError::NotPaused),
    }
}
