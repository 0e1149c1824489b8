//! `kill`: a signal for the container's first process, or for all.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use stockade_cgroups::{FileError, Group, KillError};
use stockade_spec::ContainerStatus;

use super::Context;
use crate::status::{StatusError, alive, status};
use crate::store::{ContainerId, StoreError};

/// Why no signal was sent.
#[derive(Debug, thiserror::Error)]
pub enum KillVerbError {
    /// The container's folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its status.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// In runc's words, which engines look for.
    #[error("container not running")]
    NotRunning,
    /// The kernel refused.
    #[error("cannot send the signal")]
    Send(#[source] rustix::io::Errno),
    /// The cgroup.
    #[error(transparent)]
    Group(#[from] FileError),
    /// Killing all.
    #[error(transparent)]
    KillAll(#[from] KillError),
}

/// To whom a signal goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The first process.
    First,
    /// Every process in the container's cgroup.
    All,
}

/// Sends `signal`; a process is named by a descriptor, so that no other one of its number is met.
///
/// # Errors
/// [`KillVerbError`].
pub fn kill(context: &Context, id: &ContainerId, signal: Signal, target: Target) -> Result<(), KillVerbError> {
    let record = context.store.read(id)?.ok_or(KillVerbError::NotRunning)?;
    if target == Target::All {
        return kill_all(&Group::open_remaining(&record.places)?, signal);
    }
    let now = status(&context.store, &record)?;
    let process = record.process.map(alive).transpose()?.flatten().ok_or(KillVerbError::NotRunning)?;
    pidfd_send_signal(process, signal).map_err(KillVerbError::Send)?;
    // A frozen process of cgroup v1 would not get it.
    if signal == Signal::KILL && now == ContainerStatus::Paused {
        Group::open_remaining(&record.places)?.kill_all()?;
    }
    Ok(())
}

fn kill_all(group: &Group, signal: Signal) -> Result<(), KillVerbError> {
    if signal == Signal::KILL {
        return Ok(group.kill_all()?);
    }
    let open = |pid: i32| Some((pid, pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?));
    let opened: Vec<_> = group.processes()?.into_iter().filter_map(open).collect();
    // A number may have gone to a process of somebody else before it was opened. What is listed still is the container's.
    let listed = group.processes()?;
    for (_, pidfd) in opened.into_iter().filter(|(pid, _)| listed.contains(pid)) {
        match pidfd_send_signal(pidfd, signal) {
            // One that has ended meanwhile needs no signal.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(errno) => return Err(KillVerbError::Send(errno)),
        }
    }
    Ok(())
}
