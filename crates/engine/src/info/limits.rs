//! Which limits the control groups of this machine can keep, for `info` and its warnings.

use std::io;
use std::path::Path;

use stockade_monitor::group::{Groups, Place, Version};

/// The mount of version 2 where there is no other.
const UNIFIED: &str = "/sys/fs/cgroup";

/// What can be limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `--memory`.
    pub memory: bool,
    /// `--memory-swap`.
    pub swap: bool,
    /// `--oom-kill-disable`.
    pub oom_kill_disable: bool,
    /// `--cpus`, `--cpu-quota` and `--cpu-period`.
    pub cpu_quota: bool,
    /// `--cpu-shares`.
    pub cpu_shares: bool,
    /// `--cpuset-cpus` and `--cpuset-mems`.
    pub cpuset: bool,
    /// `--pids-limit`.
    pub pids: bool,
}

impl Limits {
    /// Those that the controllers of a cgroup2 group can keep.
    pub(super) fn of_controllers(controllers: &[String]) -> Self {
        let has = |name: &str| controllers.iter().any(|controller| controller == name);
        let (memory, cpu) = (has("memory"), has("cpu"));
        Self {
            memory,
            swap: memory,
            oom_kill_disable: false,
            cpu_quota: cpu,
            cpu_shares: cpu,
            cpuset: has("cpuset"),
            pids: has("pids"),
        }
    }
}

/// Looks at the control groups of this process.
pub(super) fn limits() -> io::Result<Limits> {
    let groups = Groups::of(i32::try_from(std::process::id()).map_err(io::Error::other)?)?;
    let has = |controller: &str, first: &str, second: Option<&str>| match groups.place(controller) {
        Some(place) if place.version == Version::V1 => place.text(first).is_some(),
        Some(place) => second.is_some_and(|file| beside_or_below(&place, file)),
        None => false,
    };
    Ok(Limits {
        memory: has("memory", "memory.limit_in_bytes", Some("memory.max")),
        swap: has("memory", "memory.memsw.limit_in_bytes", Some("memory.swap.max")),
        oom_kill_disable: has("memory", "memory.oom_control", None),
        cpu_quota: has("cpu", "cpu.cfs_quota_us", Some("cpu.max")),
        cpu_shares: has("cpu", "cpu.shares", Some("cpu.weight")),
        cpuset: has("cpuset", "cpuset.cpus", Some("cpuset.cpus")),
        // The topmost group of version 1 has no file of its own for it.
        pids: groups.place("pids").is_some(),
    })
}

/// The topmost group of version 2 has no limits: there one below tells what the kernel has.
fn beside_or_below(place: &Place, file: &str) -> bool {
    let below =
        || std::fs::read_dir(UNIFIED).into_iter().flatten().flatten().any(|group| group.path().join(file).exists());
    place.text(file).is_some() || Path::new(UNIFIED).join(file).exists() || below()
}
