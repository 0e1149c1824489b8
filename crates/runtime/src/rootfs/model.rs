//! What the root file system shall be: the part of the plan that this module carries out.

use std::ffi::OsString;
use std::path::PathBuf;

use stockade_kernel::mount::{AccessTimes, Attributes, Propagation};

/// The root file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rootfs {
    /// The folder on the host, absolute.
    pub path: PathBuf,
    /// Whether its mount is made read-only at the end.
    pub readonly: bool,
    /// Propagation of the container's root mount when all is done, and whether it goes for all mounts below.
    pub propagation: PropagationChange,
    /// The mounts, in order.
    pub mounts: Vec<MountPlan>,
    /// Whether device nodes and links are made in `/dev`: not if a folder of the host is mounted there.
    pub populate_dev: bool,
    /// The device nodes: the standard ones, then the configured ones.
    pub devices: Vec<DeviceNode>,
    /// Paths to mask, absolute.
    pub masked_paths: Vec<PathBuf>,
    /// Paths to make read-only, absolute.
    pub readonly_paths: Vec<PathBuf>,
}

impl Rootfs {
    /// What the container's root has to do with the mounts of the host that it is a copy of. A root that is to be shared gets
    /// peers of its own: those of the host would see the container's mounts.
    #[must_use]
    pub fn tie(&self) -> Propagation {
        if self.propagation.to == Propagation::Slave { Propagation::Slave } else { Propagation::Private }
    }
}

/// A change of propagation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PropagationChange {
    /// To what.
    pub to: Propagation,
    /// Of all mounts below, too.
    pub recursive: bool,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPlan {
    /// Where, absolute, as configured; resolved in the container's root when it is mounted.
    pub destination: PathBuf,
    /// What.
    pub source: MountSource,
    /// The attributes that the mount gets or loses.
    pub attributes: AttributeChange,
    /// The attributes that it and all mounts below it get or lose (`rro`, `rnosuid`, ...).
    pub recursive_attributes: AttributeChange,
    /// Changes of propagation, in order.
    pub propagation: Vec<PropagationChange>,
    /// Ids as this mount shows them.
    pub id_map: Option<MountIdMap>,
    /// Whether the destination's content is copied into the new file system first (`tmpcopyup`).
    pub copy_up: bool,
}

impl MountPlan {
    /// What the mount has to do with the host's mount that it is a copy of, before its own changes of propagation: one that
    /// shall receive from it, or share with it, has to begin as its slave or its peer.
    #[must_use]
    pub fn tie(&self) -> Propagation {
        match self.propagation.first().map(|change| change.to) {
            Some(tie @ (Propagation::Slave | Propagation::Shared)) => tie,
            _ => Propagation::Private,
        }
    }
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A file or folder of the host.
    Bind {
        /// Its absolute path.
        path: PathBuf,
        /// With all mounts below it.
        recursive: bool,
    },
    /// A new file system.
    New {
        /// Its type, `tmpfs`.
        kind: String,
        /// The device or dummy it is mounted from.
        source: OsString,
        /// Its options in order: a key alone or a key with a value.
        options: Vec<(String, Option<String>)>,
        /// Whether the file system itself, not only the mount, is read-only (option `ro`).
        readonly: bool,
    },
    /// The container's cgroups, in the layout of the host's.
    Cgroup {
        /// Whether they are read-only.
        readonly: bool,
    },
}

/// Attributes to set and clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributeChange {
    /// To set.
    pub set: Attributes,
    /// To clear.
    pub clear: Attributes,
    /// The access time mode, if it is to change.
    pub access_times: Option<AccessTimes>,
}

/// The ids of an id-mapped mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountIdMap {
    /// The maps; `None`: those of the container's user namespace.
    pub maps: Option<(Vec<stockade_spec::IdMapping>, Vec<stockade_spec::IdMapping>)>,
    /// For all mounts below, too.
    pub recursive: bool,
}

/// A device node to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceNode {
    /// Where, absolute.
    pub path: PathBuf,
    /// Character, block or FIFO.
    pub kind: rustix::fs::FileType,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner in the container.
    pub uid: u32,
    /// Group in the container.
    pub gid: u32,
}
