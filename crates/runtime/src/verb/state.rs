//! `state`: what a container is, as JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use stockade_spec::ContainerStatus;

use super::Context;
use crate::status::{StatusError, status};
use crate::store::{ContainerId, Record, StoreError};

/// Why a state can not be told.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The container's folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The kernel's part.
    #[error(transparent)]
    Status(#[from] StatusError),
}

/// The specification's state with what runc adds to it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// The version of the specification.
    pub oci_version: &'static str,
    /// The id.
    pub id: ContainerId,
    /// The first process on the host; 0 if there is none.
    pub pid: i32,
    /// The status.
    pub status: ContainerStatus,
    /// The bundle's folder.
    pub bundle: PathBuf,
    /// The root file system's folder.
    pub rootfs: PathBuf,
    /// When it was made.
    pub created: String,
    /// The configuration's annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The name or number of the user who made it.
    pub owner: String,
}

/// Tells of the container `id`; `None` while it is being made and not recorded yet. Waits for nobody.
///
/// # Errors
/// [`StateError`].
pub fn state(context: &Context, id: &ContainerId) -> Result<Option<Shown>, StateError> {
    let Some(record) = context.store.read(id)? else { return Ok(None) };
    let status = status(&context.store, &record)?;
    Ok(Some(shown(record, status)))
}

/// The record and the status in the form that is shown.
fn shown(record: Record, status: ContainerStatus) -> Shown {
    let pid = if status == ContainerStatus::Stopped { 0 } else { record.process.map_or(0, |process| process.pid) };
    Shown {
        oci_version: stockade_spec::VERSION,
        pid,
        status,
        owner: if record.owner == 0 { "root".to_owned() } else { record.owner.to_string() },
        id: record.id,
        bundle: record.bundle,
        rootfs: record.rootfs,
        created: record.created,
        annotations: record.annotations,
    }
}
