//! Layers that show other owners: id-mapped mounts (`mount_setattr(2)`, overlayfs on them since Linux 5.19).
//!
//! overlayfs takes its folders from mounts, so each folder becomes a mount of its own, with the map. Kernels before 6.15
//! refuse folders of mounts that are attached nowhere, so they are attached, over one another, for as long as the overlay is
//! made, which keeps private copies of them.

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

/// Mounts of folders with a map, attached at one place over one another.
pub(crate) struct Mapped<'place> {
    place: &'place Path,
    namespace: BorrowedFd<'place>,
    attached: usize,
}

/// Calls `make` with a place for mapped mounts, and takes the mounts away from it again, whatever it returns. `namespace` is a
/// user namespace, not the initial one, with its maps written.
///
/// # Errors
/// That of `make`, or else that of taking the mounts away, as `explained`.
pub(crate) fn with<T, E>(
    place: &Path,
    namespace: BorrowedFd<'_>,
    make: impl FnOnce(&mut Mapped<'_>) -> Result<T, E>,
    explained: impl FnOnce(Failure) -> E,
) -> Result<T, E> {
    let mut mapped = Mapped { place, namespace, attached: 0 };
    let made = make(&mut mapped);
    let detached = mapped.detach().map_err(explained);
    let made = made?;
    detached.map(|()| made)
}

impl Mapped<'_> {
    /// The folder behind `folder` as the root of a mount of its own that shows owners by the map.
    ///
    /// # Errors
    /// The step: `EINVAL` in [`ID_MAP`] where the file system cannot do it.
    pub(crate) fn folder(&mut self, folder: impl AsFd) -> Result<OwnedFd, Failure> {
        let failed = |step| move |error: Errno| Failure { step, error };
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = open_tree(folder.as_fd(), "", flags).map_err(failed("open_tree"))?;
        let change =
            Change { id_map: Some(self.namespace), propagation: Some(Propagation::Private), ..Change::default() };
        mount_setattr(&tree, c"", false, change)
            .map_err(|error| Failure { step: ID_MAP, error: Errno::from_io_error(&error).unwrap_or(Errno::IO) })?;
        // By path, because what is on top at the place is now another mount than before.
        move_mount(&tree, "", CWD, self.place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(failed("move_mount"))?;
        self.attached += 1;
        Ok(tree)
    }

    /// Takes all mounts away from the place; the first error, after all were tried.
    fn detach(&self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        for _ in 0..self.attached {
            let unmounted = unmount(self.place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
            outcome = outcome.and(unmounted.map_err(|error| Failure { step: "unmount", error }));
        }
        outcome
    }
}
