//! `delete`: removes what is left of a container, and with `--force` the container too.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Signal, pidfd_send_signal};
use stockade_cgroups::systemd::{Systemd, SystemdError};
use stockade_cgroups::{FileError, Group, KillError, Removal, RemoveError, Unused};
use stockade_kernel::chain::chain;
use stockade_spec::{ContainerStatus, Hook, Spec};

use super::Context;
use crate::hook;
use crate::status::{StatusError, alive, status};
use crate::store::{ContainerId, Entry, Record, StoreError};

/// How long a killed process may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a container is still there.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The container's folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its status.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// In runc's words.
    #[error("cannot delete container {id} that is not stopped: {}", status.as_str())]
    NotStopped {
        /// The container.
        id: ContainerId,
        /// Its status.
        status: ContainerStatus,
    },
    /// Something of it could not be removed.
    #[error(transparent)]
    Remove(#[from] LeftError),
}

/// What could not be removed of a container; the rest is, and `delete` can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum LeftError {
    /// Its cgroups can not be opened.
    #[error(transparent)]
    Open(#[from] FileError),
    /// Processes of it.
    #[error("cannot kill the container's processes")]
    Kill(#[from] KillError),
    /// Its first process.
    #[error("the container's first process does not end")]
    DoesNotEnd(#[source] std::io::Error),
    /// The status of that process.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// Its unit.
    #[error("systemd cannot remove the container's scope")]
    Unit(#[source] SystemdError),
    /// Its cgroups.
    #[error(transparent)]
    Groups(#[from] RemoveError),
    /// Its folder.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Removes the container `id`. With `force` a running one is killed, one whose record is damaged is removed as far as it is
/// known, and one that does not exist is as good as removed.
///
/// # Errors
/// [`DeleteError`].
pub fn delete(context: &Context, id: &ContainerId, force: bool) -> Result<(), DeleteError> {
    let entry = match if force { context.store.find_damaged(id) } else { context.store.find(id) } {
        Err(StoreError::Missing(_)) if force => return Ok(()),
        result => result?,
    };
    let now = entry.record().map_or(Ok(ContainerStatus::Creating), |record| status(&context.store, record))?;
    let may = matches!(now, ContainerStatus::Stopped | ContainerStatus::Created) || entry.record().is_none();
    if !force && !may && now != ContainerStatus::Creating {
        return Err(DeleteError::NotStopped { id: id.clone(), status: now });
    }
    Ok(remove_with_hooks(context, entry)?)
}

/// The groups of a container of this process, found while it runs, for [`delete_own`]. What goes wrong here goes wrong again when it
/// is needed, and is told then.
pub(super) fn prepare(record: &Record) -> Option<Removal> {
    record.unit.is_none().then(|| Removal::prepare(&record.places).ok()).flatten()
}

/// Removes the container of this process, by force: its hooks are known, and the kept configuration is not read again.
///
/// # Errors
/// [`DeleteError`].
pub(super) fn delete_own(
    context: &Context,
    id: &ContainerId,
    poststop: &[Hook],
    groups: Option<Removal>,
) -> Result<(), DeleteError> {
    match context.store.find_damaged(id) {
        Err(StoreError::Missing(_)) => Ok(()),
        result => Ok(remove_and_run(context, result?, poststop, groups)?),
    }
}

/// Removes the container, and runs its `poststop` hooks, whose failures are warned of.
pub(super) fn remove_with_hooks(context: &Context, entry: Entry) -> Result<(), LeftError> {
    let poststop = poststop(context, &entry);
    remove_and_run(context, entry, &poststop, None)
}

fn remove_and_run(
    context: &Context,
    entry: Entry,
    poststop: &[Hook],
    groups: Option<Removal>,
) -> Result<(), LeftError> {
    let record = entry.record().cloned();
    remove_with(entry, groups)?;
    if let Some(record) = record {
        for failure in hook::run_all(poststop, &record.state(ContainerStatus::Stopped)) {
            context.log.warn(&chain(&failure));
        }
    }
    Ok(())
}

/// The hooks of the kept configuration. If it is gone or damaged there are none to run, which is said.
fn poststop(context: &Context, entry: &Entry) -> Vec<Hook> {
    let config = match entry.config() {
        Ok(config) => config,
        // `create` was killed before it kept the configuration: it ran no hook either.
        Err(_) if entry.record().is_none() => return Vec::new(),
        Err(error) => {
            context.log.warn(&format!("poststop hooks are not run: {}", chain(&error)));
            return Vec::new();
        }
    };
    match Spec::parse(&config) {
        Ok((spec, _)) => spec.hooks.unwrap_or_default().poststop,
        Err(error) => {
            context.log.warn(&format!("poststop hooks are not run: {}", chain(&error)));
            Vec::new()
        }
    }
}

/// Kills whatever is in the container, and removes its cgroups and its folder, in this order: the folder is what remembers
/// the rest.
pub(super) fn remove(entry: Entry) -> Result<(), LeftError> {
    remove_with(entry, None)
}

/// The same with groups that were found before.
fn remove_with(entry: Entry, groups: Option<Removal>) -> Result<(), LeftError> {
    if let Some(record) = entry.record() {
        let ended = record.process.map(alive).transpose()?.flatten().is_none();
        // Where the first process has ended, mostly nobody is left, and to try that is less work than to look for them.
        if let Some(unit) = &record.unit {
            end(record)?;
            let stopped = Systemd::connect(&unit.manager).and_then(|mut systemd| systemd.stop(&unit.name));
            stopped.map_err(LeftError::Unit)?;
            // What is in hierarchies that systemd does not manage.
            stockade_cgroups::remove(&record.places, &record.made)?;
        } else if ended && unused(groups, record)? == Unused::Yes {
            stockade_cgroups::remove(&[], &record.made)?;
        } else {
            end(record)?;
            stockade_cgroups::remove(&record.places, &record.made)?;
        }
    }
    Ok(entry.remove()?)
}

/// Tries to remove the groups as if nobody were in them.
fn unused(groups: Option<Removal>, record: &Record) -> Result<Unused, FileError> {
    groups.map_or_else(|| Removal::prepare(&record.places), Ok)?.remove_unused()
}

/// Ends the first process and all that is in the cgroup.
pub(super) fn end(record: &Record) -> Result<(), LeftError> {
    let process = record.process.map(alive).transpose()?.flatten();
    if let Some(pidfd) = &process {
        match pidfd_send_signal(pidfd, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(errno) => return Err(LeftError::DoesNotEnd(errno.into())),
        }
    }
    Group::open_remaining(&record.places)?.kill_all()?;
    process.as_ref().map_or(Ok(()), wait_for_end)
}

/// Waits until the process has ended; whoever is its parent reaps it.
fn wait_for_end(pidfd: &OwnedFd) -> Result<(), LeftError> {
    let timeout = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    let mut wait = [PollFd::new(pidfd, PollFlags::IN)];
    match rustix::io::retry_on_intr(|| poll(&mut wait, Some(&timeout))) {
        Ok(0) => Err(LeftError::DoesNotEnd(rustix::io::Errno::TIMEDOUT.into())),
        Ok(_) => Ok(()),
        Err(errno) => Err(LeftError::DoesNotEnd(errno.into())),
    }
}
