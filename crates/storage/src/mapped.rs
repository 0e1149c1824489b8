//! Layers that show other owners: id-mapped mounts (`mount_setattr(2)`, overlayfs on them since Linux 5.19).
//!
//! overlayfs takes its folders from mounts, so each folder becomes a mount of its own, with the map. Kernels before 6.15
//! refuse folders of mounts that are attached nowhere. For them the mounts are attached, over one another, for as long as the
//! overlay is made, which keeps private copies of them.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount};
use stockade_kernel::mount::{Change, Propagation, mount_setattr};

use crate::overlay::Failure;

/// The step of giving a mount its map.
pub(crate) const ID_MAP: &str = "id map";

/// The folder behind `folder` as the root of a mount of its own, attached nowhere, that shows owners by the map of `namespace`: a
/// user namespace, not the initial one, with its maps written.
///
/// # Errors
/// The step: `EINVAL` in [`ID_MAP`] where the file system cannot do it.
pub(crate) fn shown(folder: impl AsFd, namespace: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(folder, "", flags).map_err(|error| Failure { step: "open_tree", error })?;
    let change = Change { id_map: Some(namespace), propagation: Some(Propagation::Private), ..Change::default() };
    mount_setattr(&tree, c"", false, change)
        .map_err(|error| Failure { step: ID_MAP, error: Errno::from_io_error(&error).unwrap_or(Errno::IO) })?;
    Ok(tree)
}

/// Calls `make` while the mounts `trees` are attached at `place`, and takes them away from it again, whatever it returns.
///
/// # Errors
/// That of `make`, or else that of attaching the mounts or taking them away, as `explained`.
pub(crate) fn while_attached<E>(
    place: &Path,
    trees: &[OwnedFd],
    make: impl FnOnce() -> Result<(), E>,
    explained: impl Fn(Failure) -> E,
) -> Result<(), E> {
    let mut attached = 0;
    let attach = |tree: &OwnedFd| {
        // By path, because what is on top at the place is now another mount than before.
        move_mount(tree, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(|error| explained(Failure { step: "move_mount", error }))?;
        attached += 1;
        Ok(())
    };
    let made = trees.iter().try_for_each(attach).and_then(|()| make());
    let mut detached = Ok(());
    for _ in 0..attached {
        let unmounted = unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        detached = detached.and(unmounted.map_err(|error| explained(Failure { step: "unmount", error })));
    }
    made.and(detached)
}
