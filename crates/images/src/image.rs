//! What an image is once it was loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use stockade_storage::Digest;

use crate::Reference;

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
}
