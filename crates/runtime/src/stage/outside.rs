//! What the runtime does to the container's process from outside, where it still has the host's privileges.

use std::io;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::process::{Pid, Rlimit};
use stockade_cgroups::{Group, Membership};
use stockade_kernel::netlink;
use stockade_kernel::procfs::{Procfs, Subject};

use super::failure::{Failure, step};
use super::prepare::Prepared;
use super::stdio;
use crate::hook;
use crate::plan::model::ProcessPlan;

/// While the process waits in its namespaces: hands network devices over, and runs the hooks that belong here.
pub(super) fn between(prepared: &Prepared, procfs: &Procfs, pid: Pid) -> Result<(), Failure> {
    let number = pid.as_raw_nonzero().get();
    if !prepared.plan.net_devices.is_empty() {
        let open = || procfs.open_namespace(Subject::Pid(number), "net");
        let namespace = step("open the network namespace", open)?;
        for (outside, inside) in &prepared.plan.net_devices {
            let name = (inside != outside).then_some(inside.as_str());
            let hand_over = || netlink::move_link(outside, name, namespace.as_fd());
            step(&format!("hand over the network device {outside}"), hand_over)?;
        }
    }
    let mut state = prepared.state.clone();
    state.pid = number;
    step("run a prestart hook", || hook::run(&prepared.plan.hooks.prestart, &state))?;
    step("run a createRuntime hook", || hook::run(&prepared.plan.hooks.create_runtime, &state))
}

/// What is in force is not what was written.
#[derive(Debug, thiserror::Error)]
enum Differs {
    #[error("the kernel did not answer")]
    Read(#[source] io::Error),
    #[error("the process is not in the cgroup {}", .0.display())]
    Cgroup(std::path::PathBuf),
    #[error("the limits cannot be read")]
    ReadLimits(#[source] stockade_cgroups::LimitsError),
    #[error("{} is {:?} after {:?} was written", .0.path.display(), .0.found, .0.asked)]
    Limit(stockade_cgroups::Difference),
    #[error("oom_score_adj is {found} after {written} was written")]
    OomScore { written: i32, found: String },
}

/// The process is in every one of the group's hierarchies.
pub(super) fn verify_group(group: &Group, procfs: &Procfs, pid: Pid) -> Result<(), Failure> {
    step("verify the cgroups", || {
        let membership = Membership::of(procfs, Subject::Pid(pid.as_raw_nonzero().get())).map_err(Differs::Read)?;
        match group.places().into_iter().find(|place| !membership.is_in(place)) {
            None => Ok(()),
            Some(place) => Err(Differs::Cgroup(place.directory())),
        }
    })
}

/// The kernel has the limits that were written to the group.
pub(super) fn verify_limits(group: &Group) -> Result<(), Failure> {
    step("verify the limits", || match group.verify().map_err(Differs::ReadLimits)?.into_iter().next() {
        None => Ok(()),
        Some(difference) => Err(Differs::Limit(difference)),
    })
}

/// What needs privileges that a process in a user namespace does not have: the oom score, and hard resource limits above those that
/// the process has from the runtime. The limits themselves the process sets when it has nothing more to do that they could
/// get in the way of.
pub(super) fn limits(process: &ProcessPlan, procfs: &Procfs, pid: Pid) -> Result<(), Failure> {
    if let Some(score) = process.oom_score_adj {
        step("set oom_score_adj", || set_oom_score(procfs, pid, score))?;
    }
    for (resource, _, hard) in &process.rlimits {
        let own = rustix::process::getrlimit(*resource);
        let raises = own.maximum.is_some_and(|own| hard.is_none_or(|hard| hard > own));
        if raises {
            let limit = Rlimit { maximum: *hard, ..own };
            let name = format!("raise the resource limit {resource:?}");
            step(&name, || rustix::process::prlimit(Some(pid), *resource, limit))?;
        }
    }
    Ok(())
}

/// Hands the pipes among this process's standard streams, which the process in another user namespace has too, over to the payload's
/// user: inside nobody could, because there they belong to nobody.
pub(super) fn streams(process: &ProcessPlan, procfs: &Procfs, pid: Pid) -> Result<(), Failure> {
    step("hand standard input and output over", || {
        let map = procfs.read(Subject::Pid(pid.as_raw_nonzero().get()), "uid_map")?;
        let map = stockade_namespaces::IdMap::from_text(&String::from_utf8_lossy(&map));
        let map = map.ok_or_else(|| io::Error::from(rustix::io::Errno::BADMSG))?;
        match map.outside(process.uid) {
            Some(uid) => stdio::give_pipes(uid),
            None => Ok(()),
        }
    })
}

fn set_oom_score(procfs: &Procfs, pid: Pid, score: i32) -> Result<(), Differs> {
    let subject = Subject::Pid(pid.as_raw_nonzero().get());
    procfs.write(subject, "oom_score_adj", score.to_string().as_bytes()).map_err(Differs::Read)?;
    let found = procfs.read(subject, "oom_score_adj").map_err(Differs::Read)?;
    let found = String::from_utf8_lossy(&found).trim().to_owned();
    if found == score.to_string() { Ok(()) } else { Err(Differs::OomScore { written: score, found }) }
}

/// When the process `pid` was made, in clock ticks since the machine booted: with the number it names a process for good.
pub(super) fn start_time(procfs: &Procfs, pid: Pid) -> io::Result<u64> {
    let stat = procfs.read(Subject::Pid(pid.as_raw_nonzero().get()), "stat")?;
    let stat = String::from_utf8_lossy(&stat);
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    // Field 22; the name is field 2 (proc_pid_stat(5)).
    let field = after_name.split_ascii_whitespace().nth(19).and_then(|field| field.parse().ok());
    field.ok_or_else(|| rustix::io::Errno::BADMSG.into())
}

/// Kills the process of `pidfd` and waits for its end, if it is the caller's child.
pub(super) fn end(pidfd: BorrowedFd<'_>) {
    use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
    // It may be gone and reaped already; then neither call has anything to do.
    if pidfd_send_signal(pidfd, Signal::KILL).is_ok() {
        waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED).ok();
    }
}
