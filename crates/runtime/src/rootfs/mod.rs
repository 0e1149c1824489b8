//! The container's root file system: mounted in its own mount namespace, by descriptors only.
//!
//! Every source becomes a *detached* mount first (`open_tree(2)` with OPEN_TREE_CLONE, or `fsmount(2)`), gets its
//! attributes while nobody can see it, and is then attached at a descriptor that `openat2(2)` resolved inside the
//! root ([`stockade_kernel::resolve`]). No path is resolved twice, so whoever shares a volume with the container and
//! swaps folders for links finds nothing to race (CVE-2021-30465, CVE-2025-31133, CVE-2025-52565). After each attachment
//! the destination is resolved once more and must lead to the mount that was just made.
//!
//! All of it happens in the container's mount namespace: when the process dies, the kernel removes it.

mod anchors;
mod copy_up;
pub mod devices;
mod enter;
pub mod mask;
pub mod model;
mod mount;

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use stockade_kernel::mount::stat::same_mount;
use stockade_kernel::resolve;

pub use enter::{Root, Way, detached_root};
pub use mount::detached_bind;

/// What could not be done to the root file system. Whatever was mounted before goes with the mount namespace.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", object.display())]
pub struct RootfsError {
    /// What was attempted.
    pub action: &'static str,
    /// On which path, as the container sees it, or of the host for a source.
    pub object: PathBuf,
    /// Why.
    #[source]
    pub source: Cause,
}

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] io::Error),
    /// The kernel refused a file system and said why.
    #[error("{message}")]
    FileSystem {
        /// The kernel's own words.
        message: String,
        /// Its errno.
        #[source]
        source: io::Error,
    },
    /// The destination leads elsewhere than a moment ago: somebody changes the root file system meanwhile.
    #[error("it leads to another place than a moment ago: another process is changing this root file system")]
    Redirected,
    /// What stands at the path is not what it must be.
    #[error("{0}")]
    Unexpected(&'static str),
}

impl From<rustix::io::Errno> for Cause {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Kernel(errno.into())
    }
}

/// For `map_err`: names what was attempted on what.
fn at<C: Into<Cause>>(action: &'static str, object: &Path) -> impl FnOnce(C) -> RootfsError {
    move |cause| RootfsError { action, object: object.to_owned(), source: cause.into() }
}

/// Attaches the detached mount `tree` at `target`, an `O_PATH` descriptor that `destination` resolved to inside `root`, and
/// makes sure that `destination` leads to it now.
fn attach(root: BorrowedFd<'_>, tree: &OwnedFd, target: &OwnedFd, destination: &Path) -> Result<(), Cause> {
    use rustix::mount::MoveMountFlags;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, c"", target, c"", flags)?;
    let there = resolve::open_in_root(root, destination, OFlags::PATH, Mode::empty())?;
    if same_mount(there.as_fd(), tree.as_fd())? { Ok(()) } else { Err(Cause::Redirected) }
}
