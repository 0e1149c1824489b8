//! Steps of a process of ours that shuts itself in before it reads what strangers made.

use std::io;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use rustix::process::{Resource, Rlimit};

/// Changes the root to `tree`, which is mounted over `old`, the present one, and detaches that from the mount namespace, which must be
/// the caller's own. The working directory is the new root.
///
/// # Errors
/// As `pivot_root(2)`, `umount2(2)` and `chroot(2)`; the caller must end then, because the old root may still be in reach.
pub fn change_root(tree: &OwnedFd, old: &OwnedFd) -> Result<(), Errno> {
    rustix::process::fchdir(tree)?;
    match rustix::process::pivot_root(".", ".") {
        Ok(()) => {
            rustix::process::fchdir(old)?;
            rustix::mount::unmount(".", UnmountFlags::DETACH)?;
        }
        // A machine that runs from its initial file system cannot leave that. Without CAP_SYS_ADMIN and CAP_SYS_CHROOT, and
        // without a descriptor of it, it is out of reach all the same.
        Err(Errno::INVAL) => rustix::process::chroot(".")?,
        Err(error) => return Err(error),
    }
    rustix::process::chdir("/")
}

/// Sets both limits of each resource for this process (`setrlimit(2)`), and reads back that they are in force; whether they are.
///
/// # Errors
/// As `setrlimit(2)`; the resources before it keep their new limits.
pub fn limit(limits: &[(Resource, u64)]) -> io::Result<bool> {
    for (resource, most) in limits {
        let limit = Rlimit { current: Some(*most), maximum: Some(*most) };
        rustix::process::setrlimit(*resource, limit)?;
        if rustix::process::getrlimit(*resource) != limit {
            return Ok(false);
        }
    }
    Ok(true)
}
