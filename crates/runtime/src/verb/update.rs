//! `update`: other limits for a container that exists.

use stockade_cgroups::{FileError, Group, UpdateError};
use stockade_spec::{ContainerStatus, Resources};

use super::Context;
use crate::plan::{PlanError, limits};
use crate::status::{StatusError, status};
use crate::store::{ContainerId, StoreError};

/// Why the limits are not those that were asked.
#[derive(Debug, thiserror::Error)]
pub enum UpdateVerbError {
    /// The container's folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its status.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// It has ended.
    #[error("container not running")]
    NotRunning,
    /// The limits make no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The cgroup.
    #[error(transparent)]
    Group(#[from] FileError),
    /// They can not be had.
    #[error(transparent)]
    Update(#[from] UpdateError),
}

/// Writes those limits that `resources` has, leaves the others, and reads back what is in force.
///
/// # Errors
/// [`UpdateVerbError`]; all limits are as before, unless it is [`UpdateError::Half`].
pub fn update(context: &Context, id: &ContainerId, resources: &Resources) -> Result<(), UpdateVerbError> {
    let entry = context.store.find(id)?;
    let record = entry.record().ok_or(UpdateVerbError::NotRunning)?;
    if status(&context.store, record)? == ContainerStatus::Stopped {
        return Err(UpdateVerbError::NotRunning);
    }
    let limits = limits(resources)?;
    let mut group = Group::open(&record.places)?;
    group.update(&limits)?;
    for degradation in group.degradations() {
        context.log.warn(&degradation.to_string());
    }
    Ok(())
}
