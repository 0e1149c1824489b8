//! The arrangement of control groups that is measured in: this machine's own, or another one in a mount namespace of the bench.
//!
//! Containers are made in the hierarchies that are mounted, so that to mount others is enough: the groups that the
//! machine's own processes are in stay what they are.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The cgroup2 mount of a hybrid host. crun refuses such a host, so it is hidden from all contenders alike.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// Where hierarchies are.
const PLACE: &str = "/sys/fs/cgroup";

/// Set in that mount namespace.
const INSIDE: &str = "STOCKADE_BENCH_INSIDE";

/// Which interface limits are written to; its place in lists of goals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum World {
    /// cgroup v1, with or without a cgroup2 beside it.
    V1,
    /// cgroup v2 alone.
    V2,
}

/// The limits of the bundle, by the controllers that they need.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

impl World {
    /// That of this process' mounts.
    ///
    /// # Errors
    /// If the mounts cannot be read.
    pub(super) fn here() -> Result<Self, String> {
        let alone = mounts()?.iter().all(|(_, kind)| kind == "cgroup2");
        Ok(if alone { Self::V2 } else { Self::V1 })
    }

    /// Takes away, for all contenders, the limits for which cgroup v2 has no controller here (on a hybrid machine that is mounted
    /// as v2, those in use by v1), and the rules about devices where crun could not load their program: it raises a limit for that.
    ///
    /// # Errors
    /// If the controllers cannot be read.
    pub(super) fn keep_possible(self, resources: &mut Value) -> Result<(), String> {
        if self == Self::V1 {
            return Ok(());
        }
        let path = Path::new(PLACE).join("cgroup.controllers");
        let there = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        without_missing(resources, &there);
        let status = std::fs::read_to_string("/proc/self/status").map_err(|error| format!("status: {error}"))?;
        if let Some(resources) = resources.as_object_mut().filter(|_| !may_raise_limits(&status)) {
            resources.remove("devices");
        }
        Ok(())
    }
}

/// Whether a process with this `status` has CAP_SYS_RESOURCE.
fn may_raise_limits(status: &str) -> bool {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set & (1 << 24) != 0)
}

fn without_missing(resources: &mut Value, there: &str) {
    let missing = CONTROLLERS.iter().filter(|name| !there.split_whitespace().any(|word| word == **name));
    if let Some(resources) = resources.as_object_mut() {
        missing.for_each(|name| drop(resources.remove(*name)));
    }
}

/// What is to be measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// This machine's own arrangement, but for [`UNIFIED`].
    Own,
    /// cgroup v2 alone, with the controllers that v1 does not have.
    V2,
}

/// Whether this process is in a mount namespace that was arranged by [`Wanted::enter`].
pub(super) fn is_arranged() -> bool {
    std::env::var_os(INSIDE).is_some()
}

impl Wanted {
    /// Runs the bench once more in a mount namespace that is arranged so; `None` if none is needed.
    pub(super) fn enter(self, words: &[&str]) -> Option<Result<(), String>> {
        let script = match self {
            Self::V2 if Path::new(PLACE).join("cgroup.controllers").is_file() => return None,
            Self::V2 => "umount --recursive --lazy \"$0\" && mount -t cgroup2 cgroup2 \"$0\" && exec \"$@\"",
            Self::Own if Path::new(UNIFIED).is_dir() => "umount \"$0/unified\" && exec \"$@\"",
            Self::Own => return None,
        };
        Some(again(script, words))
    }
}

fn again(script: &str, words: &[&str]) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, PLACE]);
    let status = command.arg(program).arg("bench").args(words).env(INSIDE, "1").status();
    let status = status.map_err(|error| format!("unshare: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("bench: {status}")) }
}

/// The mounts of the cgroup hierarchies, with commas between them.
///
/// # Errors
/// If they cannot be read.
pub(crate) fn hierarchies() -> Result<String, String> {
    Ok(mounts()?.into_iter().map(|(mount, _)| mount).collect::<Vec<_>>().join(","))
}

/// Those mounts, and of which kind they are.
fn mounts() -> Result<Vec<(String, String)>, String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").map_err(|error| format!("/proc/self/mounts: {error}"))?;
    let lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let found = lines.filter(|words| matches!(words.get(2), Some(&("cgroup" | "cgroup2"))));
    Ok(found.map(|words| (words[1].to_owned(), words[2].to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_without_a_controller_are_taken_away() {
        let all = json!({ "memory": 1, "cpu": 2, "pids": 3, "devices": 4 });
        let with = |there| {
            let mut resources = all.clone();
            without_missing(&mut resources, there);
            resources
        };
        assert_eq!(with("hugetlb\n"), json!({ "devices": 4 }));
        assert_eq!(with("cpuset cpu io memory\n"), json!({ "memory": 1, "cpu": 2, "devices": 4 }));
        assert_eq!(with("cpu memory pids"), all);
    }

    #[test]
    fn the_right_to_raise_limits_is_one_bit() {
        assert!(may_raise_limits("Name:\tx\nCapEff:\t000001ffffffffff\n"));
        assert!(!may_raise_limits("CapEff:\t000001fffeffffff\n") && !may_raise_limits(""));
    }
}
