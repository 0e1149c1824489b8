//! Where a container is in its life, as the kernel and its folder tell.

use std::io;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use stockade_cgroups::{FileError, FreezeError, Group};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_spec::ContainerStatus;

use crate::store::{ProcessRecord, Record, Store, StoreError};

/// A status that can not be told.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The kernel does not tell of the process.
    #[error("cannot look at the process {pid}")]
    Process {
        /// Its id.
        pid: i32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The cgroup can not be opened.
    #[error(transparent)]
    Group(#[from] FileError),
    /// The freezer can not be read.
    #[error(transparent)]
    Freezer(#[from] FreezeError),
    /// The container's folder.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The status of the container that `record` tells of.
///
/// # Errors
/// [`StatusError`].
pub fn status(store: &Store, record: &Record) -> Result<ContainerStatus, StatusError> {
    let Some(process) = record.process else { return Ok(ContainerStatus::Creating) };
    if alive(process)?.is_none() {
        return Ok(ContainerStatus::Stopped);
    }
    if Group::open_remaining(&record.places)?.frozen()? {
        return Ok(ContainerStatus::Paused);
    }
    match store.waits_for_start(&record.id) {
        Ok(true) => Ok(ContainerStatus::Created),
        Ok(false) => Ok(ContainerStatus::Running),
        // It was deleted in this moment.
        Err(StoreError::Missing(_)) => Ok(ContainerStatus::Stopped),
        Err(error) => Err(error.into()),
    }
}

/// The process, if it has not ended and its number has not gone to another one.
///
/// # Errors
/// [`StatusError::Process`].
pub fn alive(process: ProcessRecord) -> Result<Option<OwnedFd>, StatusError> {
    let fail = |source| StatusError::Process { pid: process.pid, source };
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(None) };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        // EINVAL: the number is a thread's now.
        Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
        Err(errno) => return Err(fail(errno.into())),
    };
    // Read after the descriptor was opened: it is of the process that has this number since then.
    let stat = Procfs::host().and_then(|procfs| procfs.read(Subject::Pid(process.pid), "stat"));
    let stat = match stat {
        Ok(stat) => String::from_utf8_lossy(&stat).into_owned(),
        Err(error) if [Errno::NOENT, Errno::SRCH].iter().any(|e| error.raw_os_error() == Some(e.raw_os_error())) => {
            return Ok(None);
        }
        Err(error) => return Err(fail(error)),
    };
    // proc_pid_stat(5): the name ends with the last parenthesis; then the state (field 3), and field 22.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_ascii_whitespace().collect()).unwrap_or_default();
    let (Some(state), Some(start)) = (fields.first(), fields.get(19)) else {
        return Err(fail(Errno::BADMSG.into()));
    };
    let same = start.parse() == Ok(process.start_time);
    Ok((same && !matches!(*state, "Z" | "X" | "x")).then_some(pidfd))
}
