//! A child process with a mount namespace of its own, in which a container's root is mounted and the host sees nothing of it.

use std::io;
use std::path::PathBuf;

use rustix::fd::{AsFd, OwnedFd};
use rustix::mount::MountPropagationFlags;
use stockade_kernel::clone::{Forked, Request, clone3};
use stockade_kernel::namespace::Namespaces;
use stockade_storage::ContainerRoot;
use stockade_storage::container_root::{Ids, MountError};

use crate::identity::reap;
use crate::idmap::{self, Mappings};

/// Why a root is not mounted in the child.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootError {
    /// Mounts of the host could come and go through it.
    #[error("cannot detach the mount namespace from the host's")]
    Detach(#[source] io::Error),
    /// The ids of a container with a user namespace of its own.
    #[error("cannot make a user namespace for the owners of the image's files")]
    Map(#[source] io::Error),
    /// The overlay.
    #[error(transparent)]
    Mount(#[from] MountError),
}

/// Makes a child that has a mount namespace of its own (`clone3(2)` with `CLONE_NEWNS`); returns twice.
///
/// # Errors
/// As [`clone3`]: `EDEADLK` in a process with threads.
pub(crate) fn fork() -> io::Result<Option<OwnedFd>> {
    match clone3(&Request { new: Namespaces::MOUNT, ..Request::default() })? {
        Forked::Child => Ok(None),
        Forked::Parent { pidfd, .. } => Ok(Some(pidfd)),
    }
}

/// In that child: mounts the container's root on its `merged` folder. What the host mounts and unmounts goes on to be seen here, so
/// that nothing of the host's is kept busy; nothing that is mounted here is seen there. The image's files show the owners of
/// `mappings`.
pub(crate) fn mount_root(root: &ContainerRoot, lowers: &[PathBuf], mappings: Mappings<'_>) -> Result<(), RootError> {
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave).map_err(io::Error::from).map_err(RootError::Detach)?;
    let mappings = if mappings.change_nothing() { Mappings { uids: &[], gids: &[] } } else { mappings };
    let mounted = match idmap::user_namespace_by(mappings).map_err(RootError::Map)? {
        None => root.mount(lowers)?,
        Some((namespace, child)) => {
            let mounted = root.mount_as(lowers, Ids::Mapped(namespace.as_fd()));
            let ended = reap(&child).map_err(RootError::Map);
            let mounted = mounted?;
            ended?;
            mounted
        }
    };
    // The engine is the host's root, for whom nobody but the kernel mounts.
    drop(mounted);
    Ok(())
}
