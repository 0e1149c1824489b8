//! `update`: other limits for a container that exists.

use stockade_cgroups::{Difference, FileError, Group, LimitsError, UpdateError};
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
    /// They can not be read back.
    #[error(transparent)]
    ReadBack(#[from] LimitsError),
    /// The kernel shows other values than were written.
    #[error("the kernel shows another limit than was asked: {0}")]
    Different(Difference),
}

/// Writes those limits that `resources` has, leaves the others, and reads back what is in force.
///
/// # Errors
/// [`UpdateVerbError`]; limits written before the one that failed stay.
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
    match group.verify()?.into_iter().next() {
        Some(difference) => Err(UpdateVerbError::Different(difference)),
        None => Ok(()),
    }
}
