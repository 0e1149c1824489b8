//! The options of `stockade run` that bear on security, and the facts of the machine that they meet.

use std::path::PathBuf;

use stockade_apparmor::Support;
use stockade_capabilities::{CapSet, Capability};
use stockade_spec::{Device, DeviceRule, IdMapping};

use crate::devices::DeviceFlag;
use crate::limits::{Tmpfs, Ulimit};
use crate::namespaces::{CgroupMode, IpcMode, NetworkMode, PidMode, UserMode, UtsMode};
use crate::resources::ResourceOptions;
use crate::security::SecurityOptions;
use crate::sysctl::Sysctl;

/// What the user asked for; the default is `stockade run` without flags, by root.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--cap-add`.
    pub cap_add: Vec<String>,
    /// `--cap-drop`.
    pub cap_drop: Vec<String>,
    /// `--privileged`.
    pub privileged: bool,
    /// `--security-opt`.
    pub security: SecurityOptions,
    /// `--read-only`.
    pub read_only: bool,
    /// The user id in the container, resolved from `--user` or the image.
    pub uid: u32,
    /// Whether `--hostname` was given.
    pub hostname: bool,
    /// `--pid`.
    pub pid: PidMode,
    /// `--ipc`.
    pub ipc: IpcMode,
    /// `--uts`.
    pub uts: UtsMode,
    /// `--userns`.
    pub user: UserMode,
    /// `--cgroupns`.
    pub cgroup: Option<CgroupMode>,
    /// `--network`.
    pub network: NetworkMode,
    /// The id mappings of the user namespace, if it is not the host's.
    pub uid_mappings: Vec<IdMapping>,
    /// The same for groups.
    pub gid_mappings: Vec<IdMapping>,
    /// `--device`.
    pub devices: Vec<DeviceFlag>,
    /// `--device-cgroup-rule`, as [`crate::devices::parse_rule`] gives them.
    pub device_rules: Vec<DeviceRule>,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// `--sysctl`.
    pub sysctls: Vec<Sysctl>,
    /// The limits.
    pub resources: ResourceOptions,
    /// `--tmpfs`.
    pub tmpfs: Vec<Tmpfs>,
    /// `--shm-size`, bytes.
    pub shm_size: Option<u64>,
    /// `--oom-score-adj`.
    pub oom_score_adj: Option<i32>,
}

/// The facts of the machine that the posture depends on.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The last capability that the kernel knows.
    pub last_cap: Capability,
    /// The engine's own bounding and permitted capabilities: a container can have no others.
    pub capabilities: CapSet,
    /// How many processors are possible.
    pub processors: usize,
    /// Whether the control groups are version 2 only.
    pub cgroup_v2: bool,
    /// Whether the kernel has time namespaces.
    pub time_namespace: bool,
    /// AppArmor.
    pub apparmor: Support,
    /// The groups of the user namespace that the engine is root of, each standing for itself; empty for the host's root, who has all.
    pub own_groups: Vec<IdMapping>,
    /// Without the host's root: the controllers of the control group that the engine may make others below; `None` without one.
    pub delegated: Option<Vec<String>>,
    /// The device files of the host, for `--privileged`.
    pub host_devices: Vec<Device>,
    /// Where the host's `/dev/shm` is, for `--ipc host`.
    pub host_shm: PathBuf,
}

impl Machine {
    /// Whether the engine is root of a user namespace only.
    #[must_use]
    pub fn is_rootless(&self) -> bool {
        !self.own_groups.is_empty()
    }
}
