//! `update`: other limits for a container that exists.

use stockade_cgroups::systemd::{Systemd, SystemdError};
use stockade_cgroups::{FileError, Group, Told, UpdateError};
use stockade_spec::{ContainerStatus, Resources};

use super::Context;
use crate::plan::{PlanError, limits};
use crate::status::{StatusError, status};
use crate::store::{ContainerId, StoreError, UnitRecord};

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
    /// Its systemd.
    #[error("cannot tell systemd the limits; none was changed")]
    Systemd(#[source] SystemdError),
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
    let connect = |unit: &UnitRecord| Systemd::connect(&unit.manager).map_err(UpdateVerbError::Systemd);
    let mut systemd = record.unit.as_ref().map(connect).transpose()?;
    let told = systemd.as_mut().zip(record.unit.as_ref());
    group.update_told(&limits, told.map(|(systemd, unit)| Told { systemd, unit: &unit.name }))?;
    for degradation in group.degradations() {
        context.log.warn(&degradation.to_string());
    }
    Ok(())
}
