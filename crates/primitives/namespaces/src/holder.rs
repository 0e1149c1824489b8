//! A user namespace without a process of its own, for mounts that show owners through its maps (`mount_setattr(2)`).

use std::io;

use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use stockade_kernel::clone::{Forked, Request, clone3};
use stockade_kernel::exec::exit_now;
use stockade_kernel::namespace::Namespaces;
use stockade_kernel::procfs::{Procfs, Subject};

use crate::apply::{ApplyError, write_maps};
use crate::plan::IdMaps;

/// Why there is no such namespace.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// Its first process.
    #[error("cannot make a process in a new user namespace")]
    Clone(#[source] io::Error),
    /// Its maps.
    #[error("cannot give the user namespace its maps")]
    Maps(#[from] ApplyError),
    /// Its descriptor.
    #[error("cannot open the new user namespace")]
    Open(#[source] io::Error),
    /// Its first process did not end as it should.
    #[error("cannot wait for the end of the process that held the user namespace")]
    Wait(#[source] io::Error),
}

/// A new user namespace with `maps`, close-on-exec; it exists as long as the descriptor, or a mount that uses it. A process
/// of the caller's made it and is gone when this returns. The caller has one thread and CAP_SETUID and CAP_SETGID.
///
/// # Errors
/// [`HolderError`]; nothing is left behind.
pub fn user_namespace_with(maps: &IdMaps) -> Result<OwnedFd, HolderError> {
    let (wait, release) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| HolderError::Clone(error.into()))?;
    let request = Request { new: Namespaces::USER, ..Request::default() };
    match clone3(&request).map_err(HolderError::Clone)? {
        Forked::Child => {
            // Ends also when the caller dies, as nobody else holds the writing end.
            drop(release);
            let ended = rustix::io::retry_on_intr(|| rustix::io::read(&wait, &mut [0; 1])).is_ok();
            exit_now(u8::from(!ended))
        }
        Forked::Parent { pid, pidfd } => {
            let opened = mapped(Subject::Pid(pid.as_raw_nonzero().get()), maps);
            drop(release);
            let waited = rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED));
            let namespace = opened?;
            waited.map_err(|error| HolderError::Wait(error.into()))?;
            Ok(namespace)
        }
    }
}

/// Writes the maps of `subject` and opens its user namespace.
fn mapped(subject: Subject, maps: &IdMaps) -> Result<OwnedFd, HolderError> {
    let procfs = Procfs::host().map_err(HolderError::Open)?;
    write_maps(&procfs, subject, maps)?;
    procfs.open_namespace(subject, "user").map_err(HolderError::Open)
}
