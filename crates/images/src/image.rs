//! What an image is once it was loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stockade_storage::Digest;

use crate::Reference;
use crate::oci::document::nullable;

/// An image that was read, verified and unpacked.
#[derive(Clone, Debug)]
pub struct Image {
    /// The name that it was loaded by.
    pub reference: Reference,
    /// The digest of its configuration, which Docker calls the image's id; `None` for `host` and `rootfs:`.
    pub id: Option<Digest>,
    /// The defaults that it asks for.
    pub config: ImageConfig,
    /// The folders of its layers, topmost first, never empty. They are never written.
    pub lowers: Vec<PathBuf>,
    /// What of the host belongs to the image, by no choice of the image: empty but for `host`.
    pub binds: Vec<ReadOnlyBind>,
}

/// A folder of the host that is to be bound recursively, read-only, without setuid and devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOnlyBind {
    /// The folder on the host.
    pub source: PathBuf,
    /// The folder in the container; it exists in the layers.
    pub target: PathBuf,
}

/// The defaults of an image: each is a wish about the inside of the container, and no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// Environment, `NAME=value` each.
    pub env: Vec<String>,
    /// The program with its first arguments.
    pub entrypoint: Vec<String>,
    /// The arguments that a user's replace.
    pub cmd: Vec<String>,
    /// The working directory, absolute; empty means `/`.
    pub working_dir: String,
    /// `user[:group]`, by name or number, as [`crate::resolve_user`] takes it; empty means root.
    pub user: String,
    /// `port[/protocol]`.
    pub exposed_ports: BTreeSet<String>,
    /// Absolute paths in the container without `..`.
    pub volumes: BTreeSet<String>,
    /// Labels: for people and filters only.
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the program to stop, by name or number; empty means SIGTERM.
    pub stop_signal: String,
    /// The health check, if it names one.
    pub healthcheck: Option<HealthCheck>,
    /// What `CMD-SHELL` of a health check is given to; empty means `/bin/sh -c`.
    pub shell: Vec<String>,
}

/// A health check in Docker's words. What is 0 or empty is left to whoever runs it; times are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// `NONE`, or `CMD` and a program with its arguments, or `CMD-SHELL` and a line.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Between two checks.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// How long one may take.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// How long failures do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// The interval in that time.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// How many failures make it unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}
