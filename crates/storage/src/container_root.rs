//! A container's writable layer, and the overlay mount that makes its root file system.
//!
//! The mount is made in the mount namespace of the caller, which is to be that of the container's monitor: when the
//! monitor dies, however it dies, the kernel removes the mount with the namespace. So there is no unmount here.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use stockade_kernel::resolve;

use crate::overlay::{self, Overlay};

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

    /// Mounts the overlay of `lowers` (topmost first) and this container's upper folder on `merged`, in the mount
    /// namespace of the caller. The first time the upper folder is made, with the mode and owner of the topmost layer's
    /// root, because those are what the container sees as the mode and owner of `/`.
    ///
    /// # Errors
    /// See [`MountError`]; nothing is left mounted.
    pub fn mount(&self, lowers: &[PathBuf]) -> Result<(), MountError> {
        let layers = lowers.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
        let top = layers.first().ok_or(MountError::NoLayers)?;
        self.make_upper(top).map_err(|source| MountError::Open { path: self.upper.clone(), source })?;
        let [upper, work, target] = [open(&self.upper)?, open(&self.work)?, open(&self.merged)?];
        let overlay = Overlay { lowers: &layers, upper: &upper, work: &work, target: &target };
        overlay::attach(&overlay).map_err(|failure| {
            let (path, source) = (self.upper.clone(), failure.error.into());
            if failure.is_about_upper() {
                return MountError::Upper { path, source };
            }
            MountError::Mount { path: self.merged.clone(), step: failure.step, source }
        })
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

/// Opens a folder of the overlay. A link as last name is refused.
fn open(path: &Path) -> Result<OwnedFd, MountError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|error| MountError::Open { path: path.to_owned(), source: error.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::in_own_mounts;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use stockade_testkit::requires;

    fn layer(place: &Path, name: &str) -> PathBuf {
        let path = place.join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join(name), name).unwrap();
        path
    }

    #[test]
    fn the_container_writes_its_own_layer_only() {
        requires!(root, unshare);
        if !in_own_mounts("container_root::tests::the_container_writes_its_own_layer_only") {
            return;
        }
        // Below /var/lib, where containers are by default, so that its file system is tried too.
        let place = tempfile::tempdir_in("/var/lib").unwrap();
        let lowers = [layer(place.path(), "top"), layer(place.path(), "bottom")];
        std::fs::set_permissions(&lowers[0], PermissionsExt::from_mode(0o1751)).unwrap();
        std::os::unix::fs::chown(&lowers[0], Some(5), Some(6)).unwrap();
        let container = place.path().join("container");
        std::fs::create_dir(&container).unwrap();
        let root = ContainerRoot::create(&container).unwrap();
        root.mount(&lowers).unwrap();
        let metadata = root.merged.metadata().unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o1751, 5, 6));
        assert_eq!(std::fs::read_to_string(root.merged.join("bottom")).unwrap(), "bottom");
        std::fs::write(root.merged.join("top"), "changed").unwrap();
        std::fs::remove_file(root.merged.join("bottom")).unwrap();
        assert_eq!(std::fs::read_to_string(lowers[0].join("top")).unwrap(), "top");
        assert!(lowers[1].join("bottom").exists());
        rustix::mount::unmount(&root.merged, rustix::mount::UnmountFlags::DETACH).unwrap();
        ContainerRoot::remove(&container).unwrap();
        assert_eq!(std::fs::read_dir(&container).unwrap().count(), 0);
        ContainerRoot::remove(&container).unwrap();
        ContainerRoot::remove(&container.join("missing")).unwrap();
    }

    #[test]
    fn a_file_system_that_cannot_is_explained() {
        requires!(root, unshare);
        if !in_own_mounts("container_root::tests::a_file_system_that_cannot_is_explained") {
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let lower = layer(place.path(), "lower");
        let outer = place.path().join("outer");
        std::fs::create_dir(&outer).unwrap();
        let outer = ContainerRoot::create(&outer).unwrap();
        outer.mount(std::slice::from_ref(&lower)).unwrap();
        // On an overlay, where no upper folder can be.
        let inner = ContainerRoot::create(&outer.merged).unwrap();
        let error = inner.mount(&[lower]).unwrap_err();
        assert!(matches!(error, MountError::Upper { .. }), "{error:?}");
        assert!(error.to_string().contains("ext4"), "{error}");
        assert_eq!(std::fs::read_dir(&inner.merged).unwrap().count(), 0);
    }

    #[test]
    fn many_layers_stack() {
        requires!(root, unshare);
        if !in_own_mounts("container_root::tests::many_layers_stack") {
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let lowers: Vec<_> = (0..128).map(|number| layer(place.path(), &format!("a:b,{number}"))).collect();
        let container = place.path().join("container");
        std::fs::create_dir(&container).unwrap();
        let root = ContainerRoot::create(&container).unwrap();
        root.mount(&lowers).unwrap();
        assert_eq!(std::fs::read_dir(&root.merged).unwrap().count(), 128);
        assert!(matches!(root.mount(&[]), Err(MountError::NoLayers)));
    }
}
