//! What the planner decided: everything that the stages carry out, in the rooms' vocabulary and checked.
//!
//! A value of these types exists only if it was found valid and consistent; carrying it out can fail only because the
//! kernel refuses. The stages read it and never look at `config.json` again.

use std::ffi::OsString;
use std::path::PathBuf;

use rustix::process::Resource;
use stockade_kernel::mount::{AccessTimes, Attributes, Propagation};
use stockade_kernel::sched::{IoClass, MemoryFlags, MemoryMode, Personality, Scheduler};

/// A container, planned.
#[derive(Debug)]
pub struct Plan {
    /// Namespaces: new, joined, inherited, with maps and clock offsets.
    pub namespaces: stockade_namespaces::Plan,
    /// The cgroup's path as configured; empty: the runtime chooses by the container's id.
    pub cgroup_path: String,
    /// The cgroup's limits.
    pub limits: stockade_cgroups::Limits,
    /// The root file system and all that is mounted in it.
    pub rootfs: Rootfs,
    /// The host name, set in a new UTS namespace.
    pub hostname: Option<String>,
    /// The NIS domain name, set in a new UTS namespace.
    pub domainname: Option<String>,
    /// Kernel parameters as paths below `/proc/sys`, and their values.
    pub sysctls: Vec<Sysctl>,
    /// Network devices to hand over: name outside, name inside.
    pub net_devices: Vec<(String, String)>,
    /// Programs of the host to run.
    pub hooks: stockade_spec::Hooks,
    /// The payload; `None`: the container can be made but not started.
    pub process: Option<ProcessPlan>,
    /// The payload's system call filter: the section `linux.seccomp` as it stood in the file.
    pub seccomp: Option<Box<serde_json::value::RawValue>>,
    /// The execution domain.
    pub personality: Option<Personality>,
    /// The NUMA memory policy.
    pub memory_policy: Option<MemoryPolicy>,
    /// What will be weaker than asked, or was skipped: to be shown before anything is changed.
    pub notices: Vec<String>,
}

/// One kernel parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// Below `/proc/sys`, for instance `net/ipv4/ip_forward`.
    pub path: String,
    /// The value, without a newline.
    pub value: String,
}

/// A NUMA memory policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// The mode.
    pub mode: MemoryMode,
    /// Its flags.
    pub flags: MemoryFlags,
    /// The nodes, ascending.
    pub nodes: Vec<u32>,
}

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A process to run in a container: the payload or what `exec` adds.
#[derive(Clone, Debug)]
pub struct ProcessPlan {
    /// The program and its arguments, at least one.
    pub args: Vec<OsString>,
    /// The environment, `NAME=VALUE`.
    pub env: Vec<OsString>,
    /// The working directory, absolute.
    pub cwd: PathBuf,
    /// Whether it gets a pseudo terminal, and of which rows and columns.
    pub terminal: Option<Option<(u16, u16)>>,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, exactly.
    pub groups: Vec<u32>,
    /// File mode creation mask.
    pub umask: u32,
    /// The five sets; `None`: those that a process of this user has by the kernel's rules, within the runtime's.
    pub capabilities: Option<stockade_capabilities::Sets>,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privileges: bool,
    /// The AppArmor profile to enter at exec.
    pub apparmor: Option<String>,
    /// Resource limits: which, soft, hard; `None` is no limit.
    pub rlimits: Vec<(Resource, Option<u64>, Option<u64>)>,
    /// `oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// Scheduling policy.
    pub scheduler: Option<Scheduler>,
    /// I/O class and level.
    pub io_priority: Option<(IoClass, u8)>,
    /// CPUs to run on before and after the process joins the container's cgroup, for `exec`.
    pub affinity: (Option<Vec<u32>>, Option<Vec<u32>>),
}
