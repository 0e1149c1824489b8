//! What a runtime says of a container: the answer of `state`, and the input of every hook.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::null_as_default;

/// A container's state (`runtime.md`, "State").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The version of the specification that this state follows.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Where it is in its life.
    pub status: ContainerStatus,
    /// The first process as the host sees it; 0 if there is none.
    #[serde(default, deserialize_with = "null_as_default")]
    pub pid: i32,
    /// The bundle's folder, absolute.
    pub bundle: PathBuf,
    /// The configuration's annotations.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A container's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerStatus {
    /// Being made.
    Creating,
    /// Made; the payload was not executed.
    Created,
    /// The payload runs.
    Running,
    /// The payload runs, frozen: an addition of runc's.
    Paused,
    /// The payload has ended.
    Stopped,
}

impl ContainerStatus {
    /// The word in which it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}
