//! Who belongs to a container, and who the host is.

use std::collections::BTreeSet;
use std::io;

use rustix::io::Errno;
use stockade_cgroups::Membership;
use stockade_kernel::perf::{Begins, From, Point, Room, Stack, Tracepoint, Watch};
use stockade_kernel::procfs::{Procfs, Subject};

/// The threads of processes in the control groups of `first` that are not `known` and whose parent is not one of the container's that is
/// known: what those make is watched with them. All processes that are found are known then.
pub(super) fn unknown(procfs: &Procfs, first: i32, known: &mut BTreeSet<i32>) -> Vec<i32> {
    let Ok(groups) = Membership::of(procfs, Subject::Pid(first)) else { return Vec::new() };
    let is_first_look = known.is_empty();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_member = |pid: &i32| Membership::of(procfs, Subject::Pid(*pid)).is_ok_and(|found| found == groups);
    let members: BTreeSet<i32> = pids.filter(is_member).collect();
    let mut threads = Vec::new();
    for &pid in members.difference(known) {
        let parent = procfs.status(Subject::Pid(pid)).map(|status| status.parent);
        if !is_first_look && parent.is_ok_and(|parent| members.contains(&parent)) {
            continue;
        }
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        threads.extend(tasks.filter_map(|task| task.file_name().to_str()?.parse::<i32>().ok()));
    }
    known.extend(members);
    threads
}

/// Whether `/proc/PID/net/dev` names no interface but the loopback.
pub(super) fn only_loopback(devices: &[u8]) -> bool {
    let text = String::from_utf8_lossy(devices);
    text.lines().skip(2).filter_map(|line| line.split_once(':')).all(|(name, _)| name.trim() == "lo")
}

/// What the kernel's records call the host's user namespace. To watch somebody takes a capability there, so that a thread that watches
/// itself do that is told.
pub(crate) fn host_users(point: &Tracepoint) -> io::Result<i64> {
    let point_of_all = Point { tracepoint: point, filter: "cap >= 0", stack: Stack::Untold, begins: Begins::Watched };
    let mut watch = Watch::new(&[point_of_all], Room::SMALL)?;
    let own = rustix::thread::gettid().as_raw_nonzero().get();
    watch.add(own, From::Now)?;
    watch.add(own, From::Now)?;
    let mut lost = 0;
    let told = watch.take(&mut lost)?;
    told.first().and_then(|sample| point.number(&sample.raw, "target_ns")).ok_or_else(|| Errno::NODATA.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_loopback_only_has_no_network() {
        let head = "Inter-|   Receive\n face |bytes    packets\n";
        assert!(only_loopback(format!("{head}    lo:       0       0\n").as_bytes()));
        assert!(!only_loopback(format!("{head}    lo:       0       0\n  eth0: 1 2\n").as_bytes()));
    }
}
