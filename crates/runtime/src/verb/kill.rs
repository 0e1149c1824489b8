//! `kill`: a signal for the container's first process, or for all.

use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use stockade_cgroups::{FileError, Group, KillError};
use stockade_kernel::procfs::{Procfs, Subject};
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
    Send(#[source] Errno),
    /// The first process' namespaces.
    #[error("cannot look at the namespaces of the container's first process")]
    Namespaces(#[source] io::Error),
    /// It was made by a user who may make none.
    #[error("it has no cgroup, which tells all of its processes: leave --all out, and the others end with the first")]
    NoGroup,
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
        if record.places.is_empty() {
            return Err(KillVerbError::NoGroup);
        }
        return kill_all(&Group::open_remaining(&record.places)?, signal);
    }
    let now = status(&context.store, &record)?;
    let process = record.process.map(alive).transpose()?.flatten().ok_or(KillVerbError::NotRunning)?;
    let first = record.process.map_or(0, |process| process.pid);
    let shares = signal == Signal::KILL && shares_pids(first).map_err(KillVerbError::Namespaces)?;
    pidfd_send_signal(process, signal).map_err(KillVerbError::Send)?;
    // A frozen process of cgroup v1 would not get it; and where the first process is not the init of a pid namespace, the others
    // do not end with it (runc's rule).
    if signal == Signal::KILL && (now == ContainerStatus::Paused || shares) {
        Group::open_remaining(&record.places)?.kill_all()?;
    }
    Ok(())
}

/// Whether the process is in the runtime's own pid namespace; one that is gone is in none.
fn shares_pids(pid: i32) -> io::Result<bool> {
    let procfs = Procfs::host()?;
    match procfs.read_link(Subject::Pid(pid), "ns/pid") {
        Ok(theirs) => Ok(theirs == procfs.read_link(Subject::Myself, "ns/pid")?),
        Err(error) if [Errno::NOENT, Errno::SRCH].iter().any(|e| error.raw_os_error() == Some(e.raw_os_error())) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
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
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(KillVerbError::Send(errno)),
        }
    }
    Ok(())
}
