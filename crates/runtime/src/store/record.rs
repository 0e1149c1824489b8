//! What is remembered of one container.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stockade_cgroups::Place;
use stockade_cgroups::systemd::Manager;
use stockade_spec::{ContainerStatus, State};

use super::ContainerId;

/// A container, from before its cgroup is made until it is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The container's id.
    pub id: ContainerId,
    /// The bundle's folder, absolute.
    pub bundle: PathBuf,
    /// The root file system's folder on the host.
    pub rootfs: PathBuf,
    /// When it was made, RFC 3339 in UTC.
    pub created: String,
    /// The user who made it.
    pub owner: u32,
    /// The configuration's annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its cgroups, to be removed with it.
    pub places: Vec<Place>,
    /// Ancestors of its cgroups that were made for it, to be removed with it if nothing else is in them.
    pub made: Vec<Place>,
    /// The unit of systemd's that its cgroups belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<UnitRecord>,
    /// Its first process.
    pub process: Option<ProcessRecord>,
}

/// A unit of systemd's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitRecord {
    /// Whose it is.
    pub manager: Manager,
    /// Its name.
    pub name: String,
}

/// A process, told apart from a later one of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessRecord {
    /// Its id on the host.
    pub pid: i32,
    /// When it was made, in clock ticks since the machine booted (`proc_pid_stat(5)`).
    pub start_time: u64,
}

impl Record {
    /// What hooks and `state` are told.
    #[must_use]
    pub fn state(&self, status: ContainerStatus) -> State {
        let pid = match status {
            ContainerStatus::Stopped => 0,
            _ => self.process.map_or(0, |process| process.pid),
        };
        State {
            oci_version: stockade_spec::VERSION.to_owned(),
            id: self.id.to_string(),
            status,
            pid,
            bundle: self.bundle.clone(),
            annotations: self.annotations.clone(),
        }
    }
}
