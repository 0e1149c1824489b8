//! A container's writable layer, and the overlay mount that makes its root file system.
//!
//! The mount is made in the mount namespace of the caller, which is to be that of the container's monitor: when the
//! monitor dies, however it dies, the kernel removes the mount with the namespace. So there is no unmount here.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;
use stockade_kernel::resolve;

mod fuse;

use crate::Privilege;
use crate::mapped;
use crate::overlay::{self, Failure, Overlay};

/// The folders of a container's root file system, all in the container's own folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRoot {
    /// What the container changed. It appears at the first mount.
    pub upper: PathBuf,
    /// overlayfs's own folder, on the file system of `upper`.
    pub work: PathBuf,
    /// Where the root file system is mounted.
    pub merged: PathBuf,
}

/// Why a container's folders could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A folder could not be made.
    #[error("make the container's folder {path}")]
    Make {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A folder could not be removed, at least not all of it.
    #[error("remove the container's folder {path}")]
    Remove {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Why a root file system could not be mounted. Nothing is left mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// No layers: overlayfs needs one at least.
    #[error("the image has no layers to mount")]
    NoLayers,
    /// A folder of the overlay could not be opened or made.
    #[error("open {path} for the container's root")]
    Open {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file system under the upper folder cannot hold one.
    #[error(
        "the file system of {path} cannot hold the writable layer of an overlay (it may be an overlay itself, or NFS); \
         put the data directory on ext4, xfs, btrfs or tmpfs"
    )]
    Upper {
        /// The upper folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel does not let this user mount overlays, and nothing else that could is installed.
    #[error(
        "this kernel lets only the host's root mount overlays here ({source}); use Linux 5.11 or later (6.6 for a data directory on \
         tmpfs) and a data directory with user extended attributes, or install fuse-overlayfs"
    )]
    Unprivileged {
        /// What the kernel said.
        source: io::Error,
    },
    /// fuse-overlayfs, which mounts what the kernel does not.
    #[error("mount the container's root by {}: {how}", program.display())]
    Fuse {
        /// The program.
        program: PathBuf,
        /// What it came to.
        how: String,
    },
    /// The file system of the layers cannot show other owners, or the user namespace is the initial one.
    #[error(
        "the file system of the layers below {path} cannot map owners for a user namespace of the container's own; put the \
         data directory on ext4, xfs or btrfs (tmpfs from Linux 6.3), or share the host's user namespace"
    )]
    IdMap {
        /// The container's upper folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A step of the mount failed.
    #[error("mount the container's root on {path}: {step}")]
    Mount {
        /// The mount point.
        path: PathBuf,
        /// The option or the system call.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Whose ids the files of a root file system have. All mounts of one container have the same.
#[derive(Clone, Copy, Debug)]
pub enum Ids<'fd> {
    /// Those on the disk: for a container in the host's user namespace.
    Host,
    /// Those of the layers are ids in this user namespace, whose maps must be written: what belongs to uid 0 in a layer
    /// belongs to root of a container in it. What the container writes is on the disk under the ids that the host knows its
    /// users by, so that no program that it makes is ever set-user-id to the host's root. Needs Linux 5.19.
    Mapped(BorrowedFd<'fd>),
}

impl ContainerRoot {
    /// The folders' places below `container_dir`; touches nothing.
    #[must_use]
    pub fn at(container_dir: &Path) -> Self {
        let below = |name| container_dir.join(name);
        Self { upper: below("upper"), work: below("work"), merged: below("merged") }
    }

    /// Makes the folders below `container_dir`, which must exist, be reachable by root alone and have none of them.
    ///
    /// # Errors
    /// If a folder cannot be made; [`ContainerRoot::remove`] takes away those that were.
    pub fn create(container_dir: &Path) -> Result<Self, FolderError> {
        let root = Self::at(container_dir);
        for path in [&root.work, &root.merged] {
            let made = std::fs::DirBuilder::new().mode(0o700).create(path);
            made.map_err(|source| FolderError::Make { path: path.clone(), source })?;
        }
        Ok(root)
    }

    /// [`ContainerRoot::mount_as`] with the owners as they are on the disk.
    ///
    /// # Errors
    /// See [`MountError`]; nothing is left mounted.
    pub fn mount(&self, lowers: &[PathBuf]) -> Result<MountedBy, MountError> {
        self.mount_as(lowers, Ids::Host)
    }

    /// Mounts the overlay of `lowers` (topmost first) and this container's upper folder on `merged`, in the mount
    /// namespace of the caller. The first time the upper folder is made, with the mode and owner of the topmost layer's
    /// root, because those are what the container sees as the mode and owner of `/`.
    ///
    /// In a user namespace where the kernel does not mount it, it is mounted by `fuse-overlayfs`, if that is there: a process that dies
    /// with the calling one.
    ///
    /// # Errors
    /// See [`MountError`]; nothing is left mounted.
    pub fn mount_as(&self, lowers: &[PathBuf], ids: Ids<'_>) -> Result<MountedBy, MountError> {
        let privilege = Privilege::here().map_err(|source| MountError::Open { path: self.upper.clone(), source })?;
        let made = self.mount_by_kernel(lowers, ids, privilege);
        match (made, ids) {
            (Err(error), Ids::Host) if privilege != Privilege::Host => match refusal(error) {
                Ok(source) => fuse::mount(self, lowers, source),
                Err(error) => Err(error),
            },
            (made, _) => made.map(|()| MountedBy::Kernel),
        }
    }

    fn mount_by_kernel(&self, lowers: &[PathBuf], ids: Ids<'_>, privilege: Privilege) -> Result<(), MountError> {
        let layers = lowers.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
        let [work, target] = [open(&self.work)?, open(&self.merged)?];
        let explained = |failure: Failure| self.explained(&failure);
        match ids {
            Ids::Host => self.attach(&layers, &work, &target, privilege),
            Ids::Mapped(namespace) => {
                let shown = layers.iter().map(|layer| mapped::shown(layer, namespace).map_err(explained));
                let lowers = shown.collect::<Result<Vec<_>, _>>()?;
                let make = || self.attach(&lowers, &work, &target, privilege);
                match make() {
                    // `work` is where nobody looks in this mount namespace; overlayfs was given the folder below.
                    Err(MountError::Mount { source, .. } | MountError::Upper { source, .. }) if is_invalid(&source) => {
                        mapped::while_attached(&self.work, &lowers, make, explained)
                    }
                    made => made,
                }
            }
        }
    }

    fn attach(
        &self,
        lowers: &[OwnedFd],
        work: &OwnedFd,
        target: &OwnedFd,
        privilege: Privilege,
    ) -> Result<(), MountError> {
        let top = lowers.first().ok_or(MountError::NoLayers)?;
        self.make_upper(top).map_err(|source| MountError::Open { path: self.upper.clone(), source })?;
        let upper = open(&self.upper)?;
        if privilege != Privilege::Host {
            // Without them overlayfs would go on, and fail when a directory is replaced.
            takes_marks(work).map_err(|source| MountError::Upper { path: self.upper.clone(), source })?;
        }
        let overlay = Overlay { lowers, upper: &upper, work, target, privilege };
        overlay::attach(&overlay).map_err(|failure| self.explained(&failure))
    }

    /// What a failure means for the user.
    fn explained(&self, failure: &Failure) -> MountError {
        let (path, source) = (self.upper.clone(), failure.error.into());
        match failure.step {
            mapped::ID_MAP => MountError::IdMap { path, source },
            _ if failure.is_about_upper() => MountError::Upper { path, source },
            step => MountError::Mount { path: self.merged.clone(), step, source },
        }
    }

    /// Makes the upper folder like `top`, whole or not at all: it is renamed into its place.
    fn make_upper(&self, top: &OwnedFd) -> io::Result<()> {
        if self.upper.symlink_metadata().is_ok() {
            return Ok(());
        }
        let stat = rustix::fs::fstat(top)?;
        let new = self.upper.with_extension("new");
        match std::fs::DirBuilder::new().mode(0o700).create(&new) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        rustix::fs::chownat(CWD, &new, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
        rustix::fs::chmod(&new, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
        std::fs::rename(&new, &self.upper)
    }

    /// Removes everything below `container_dir` that belongs to the root file system, and nothing else. It must not be
    /// mounted any more in the caller's mount namespace. What is missing is no error.
    ///
    /// # Errors
    /// The first folder that could not be removed; the others are removed all the same.
    pub fn remove(container_dir: &Path) -> Result<(), FolderError> {
        let parent = match rustix::fs::open(container_dir, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
            Ok(parent) => parent,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(FolderError::Remove { path: container_dir.to_owned(), source: error.into() }),
        };
        let mut outcome = Ok(());
        for name in ["merged", "upper.new", "upper", "work"] {
            if let Err(source) = resolve::remove_tree(&parent, OsStr::new(name)) {
                outcome = outcome.and(Err(FolderError::Remove { path: container_dir.join(name), source }));
            }
        }
        outcome
    }
}

/// Who mounted a root file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountedBy {
    /// overlayfs.
    Kernel,
    /// This program, which runs for as long as the caller does: slower, and more that is trusted with what the container writes.
    Fuse(PathBuf),
}

/// Whether the file system of `folder` keeps overlayfs's marks of user namespaces.
fn takes_marks(folder: &OwnedFd) -> io::Result<()> {
    const PROBE: &str = "user.overlay.probe";
    rustix::fs::fsetxattr(folder, PROBE, b"y", XattrFlags::empty())?;
    Ok(rustix::fs::fremovexattr(folder, PROBE)?)
}

/// What the kernel said where it does not mount overlays for this user, or not on this file system; any other error comes back.
fn refusal(error: MountError) -> Result<io::Error, MountError> {
    match error {
        MountError::Upper { source, .. } => Ok(source),
        MountError::Mount { source, step: "fsopen" | "options" | "create" | "mount", .. } => Ok(source),
        other => Err(other),
    }
}

/// What kernels say of a mount that they do not take.
fn is_invalid(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::INVAL.raw_os_error())
}

/// Opens a folder of the overlay. A link as last name is refused.
fn open(path: &Path) -> Result<OwnedFd, MountError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|error| MountError::Open { path: path.to_owned(), source: error.into() })
}

#[cfg(test)]
mod tests;
