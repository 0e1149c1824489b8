//! What the planner decided: everything that the stages carry out, in the rooms' vocabulary and checked.
//!
//! A value of these types exists only if it was found valid and consistent; carrying it out can fail only because the
//! kernel refuses. The stages read it and never look at `config.json` again.

use std::ffi::OsString;
use std::path::PathBuf;

use rustix::process::Resource;
use stockade_kernel::sched::{IoClass, MemoryFlags, MemoryMode, Personality, Scheduler};

pub use crate::rootfs::model::*;

/// A container, planned.
#[derive(Debug)]
pub struct Plan {
    /// Namespaces: new, joined, inherited, with maps and clock offsets.
    pub namespaces: stockade_namespaces::Plan,
    /// The cgroup's path as configured; empty: the runtime chooses by the container's id.
    pub cgroup_path: String,
    /// The cgroup's limits.
    pub limits: stockade_cgroups::model::Limits,
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
    /// Whether the runtime has no privileges on the host.
    pub rootless: bool,
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
    pub rlimits: Vec<ResourceLimit>,
    /// `oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// Scheduling policy.
    pub scheduler: Option<Scheduler>,
    /// I/O class and level.
    pub io_priority: Option<(IoClass, u8)>,
    /// CPUs to run on before and after the process joins the container's cgroup, for `exec`.
    pub affinity: Affinity,
}

/// A resource limit: which, soft, hard.
pub type ResourceLimit = (Resource, Option<u64>, Option<u64>);

/// Processors before and after a process joins the container's cgroup; `None`: those it is on.
pub type Affinity = (Option<Vec<u32>>, Option<Vec<u32>>);
