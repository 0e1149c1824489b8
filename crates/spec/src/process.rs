//! `process`: the payload, its identity and its per-process limits.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::object::{object, object_or_default};
use crate::{is_false, null_as_default};

/// A program to run in the container: the payload, or what `exec --process` reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Whether it gets a pseudo terminal.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub terminal: bool,
    /// The terminal's first size.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    pub console_size: Option<ConsoleSize>,
    /// The working directory, absolute.
    pub cwd: PathBuf,
    /// The environment, `NAME=VALUE`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The program and its arguments; at least one for a payload to be started.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// For Windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_line: Option<String>,
    /// Resource limits by `setrlimit(2)`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub rlimits: Vec<Rlimit>,
    /// The AppArmor profile's name.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub apparmor_profile: String,
    /// The capability sets; absent: none is set, and the payload keeps what a fresh process of its user has.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Whether `execve` may no longer grant privileges (`prctl(2)`, PR_SET_NO_NEW_PRIVS).
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub no_new_privileges: bool,
    /// `/proc/self/oom_score_adj`, -1000 to 1000; absent: inherited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// Scheduling policy (`sched_setattr(2)`).
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// The SELinux label.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub selinux_label: String,
    /// I/O priority (`ioprio_set(2)`).
    #[serde(default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    pub io_priority: Option<IoPriority>,
    /// CPU affinity while a process is executed in a container.
    #[serde(rename = "execCPUAffinity", default, deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    pub exec_cpu_affinity: Option<ExecCpuAffinity>,
    /// Who it runs as.
    #[serde(default, deserialize_with = "object_or_default")]
    pub user: User,
}

/// A terminal's size in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// A container user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// User id, in the container's user namespace.
    #[serde(default, deserialize_with = "null_as_default")]
    pub uid: u32,
    /// Group id, in the container's user namespace.
    #[serde(default, deserialize_with = "null_as_default")]
    pub gid: u32,
    /// File mode creation mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// Supplementary groups.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
    /// For Windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

/// One resource limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// The resource, `RLIMIT_NOFILE` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// The value in force; `u64::MAX` is no limit.
    pub soft: u64,
    /// What an unprivileged process may raise it to.
    pub hard: u64,
}

/// The five capability sets, as names with `CAP_`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Effective.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub effective: Vec<String>,
    /// Bounding.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub bounding: Vec<String>,
    /// Inheritable.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub inheritable: Vec<String>,
    /// Permitted.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub permitted: Vec<String>,
    /// Ambient.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub ambient: Vec<String>,
}

/// Scheduling attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    /// `SCHED_OTHER`, `SCHED_FIFO`, ...
    pub policy: String,
    /// Niceness, for SCHED_OTHER and SCHED_BATCH.
    #[serde(default, deserialize_with = "null_as_default")]
    pub nice: i32,
    /// Static priority, for SCHED_FIFO and SCHED_RR.
    #[serde(default, deserialize_with = "null_as_default")]
    pub priority: i32,
    /// `SCHED_FLAG_...` names.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Nanoseconds, for SCHED_DEADLINE.
    #[serde(default, deserialize_with = "null_as_default")]
    pub runtime: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    #[serde(default, deserialize_with = "null_as_default")]
    pub deadline: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    #[serde(default, deserialize_with = "null_as_default")]
    pub period: u64,
}

/// I/O priority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoPriority {
    /// The class.
    pub class: IoPriorityClass,
    /// The level in the class, 0 (highest) to 7.
    #[serde(default, deserialize_with = "null_as_default")]
    pub priority: i32,
}

/// I/O scheduling classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IoPriorityClass {
    /// Real time.
    #[serde(rename = "IOPRIO_CLASS_RT")]
    RealTime,
    /// Best effort.
    #[serde(rename = "IOPRIO_CLASS_BE")]
    BestEffort,
    /// Idle.
    #[serde(rename = "IOPRIO_CLASS_IDLE")]
    Idle,
}

/// CPU lists for `exec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecCpuAffinity {
    /// While the runtime's process is not yet in the container's cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial: Option<String>,
    /// Once it is.
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}
