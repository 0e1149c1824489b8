//! Putting the next exec of the calling thread under a profile.

use std::io;

use rustix::io::Errno;
use stockade_kernel::procfs::{Procfs, Subject};

use crate::model::{Confinement, ProfileName};
use crate::observe;

/// AppArmor's own file (Linux 5.8), and the one that it shares with other security modules.
pub(crate) const EXEC: [&str; 2] = ["attr/apparmor/exec", "attr/exec"];

/// The profile could not be put in place.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The kernel refused.
    #[error("cannot put the next exec under the AppArmor profile {profile}")]
    Write {
        /// The profile.
        profile: ProfileName,
        /// Why; `ENOENT` if the profile is not loaded.
        #[source]
        source: io::Error,
    },
    /// The kernel did not tell what it took.
    #[error("cannot read back the AppArmor profile of the next exec")]
    Read(#[source] io::Error),
    /// The kernel has another profile than was written.
    #[error("the next exec would be under {found} and not under the AppArmor profile {profile}")]
    Differs {
        /// The profile.
        profile: ProfileName,
        /// What the kernel has.
        found: String,
    },
}

/// Puts the calling thread's next successful exec under `profile` and reads back that the kernel took it.
///
/// `procfs` must be one that nobody can mount over: a private instance inside a container (CVE-2019-16884, CVE-2025-52881). Do it
/// before `no_new_privs`, which forbids a transition out of a profile, and as late as possible otherwise.
///
/// # Errors
/// See [`ApplyError`]. On [`ApplyError::Differs`] some profile is set for the next exec: do not exec.
pub fn on_exec(procfs: &Procfs, profile: &ProfileName) -> Result<Confinement, ApplyError> {
    let value = format!("exec {profile}");
    let failed = |source| ApplyError::Write { profile: profile.clone(), source };
    match procfs.open(Subject::Myself, EXEC[0], rustix::fs::OFlags::WRONLY) {
        Ok(file) => {
            use rustix::fd::AsFd;
            stockade_kernel::procfs::write_once(file.as_fd(), value.as_bytes()).map_err(failed)?;
        }
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
            procfs.write(Subject::Myself, EXEC[1], value.as_bytes()).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    match observe::next_exec(procfs).map_err(ApplyError::Read)? {
        Some(found) if found.profile == profile.as_str() => Ok(found),
        found => {
            let found = found.map_or_else(|| "no profile".to_owned(), |found| found.to_string());
            Err(ApplyError::Differs { profile: profile.clone(), found })
        }
    }
}
