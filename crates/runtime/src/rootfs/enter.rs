//! Making the root folder a mount of its own, and making it `/`.

use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MoveMountFlags, UnmountFlags};
use stockade_kernel::mount::stat::same_mount;
use stockade_kernel::mount::{Attributes, Change, Propagation, mount_setattr};
use stockade_kernel::resolve;

use super::anchors::Anchors;
use super::model::PropagationChange;
use super::{Cause, RootfsError, at, mount};

/// The container's root file system while it is put together: a mount of its own in the caller's mount namespace.
#[derive(Debug)]
pub struct Root {
    mount: OwnedFd,
    path: PathBuf,
    pub(super) anchors: Anchors,
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }
}

impl Root {
    /// Makes the folder `path` of the host a private mount of its own, with all that is mounted below it, after cutting the
    /// caller's mount namespace off from the host's: nothing that is mounted from now on travels there.
    ///
    /// The caller must be in a mount namespace of the container's.
    ///
    /// # Errors
    /// [`RootfsError`] naming the folder: it is missing, no folder, or was replaced meanwhile.
    pub fn prepare(path: &Path) -> Result<Self, RootfsError> {
        let slave = Change { propagation: Some(Propagation::Slave), ..Change::default() };
        mount_setattr(CWD, c"/", true, slave).map_err(at("cut off the mounts below", Path::new("/")))?;
        let fail = |cause| RootfsError { action: "use as root file system", object: path.to_owned(), source: cause };
        let tree = mount::copy_of(path, true).map_err(fail)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(at("use as root file system", path))?;
        let attach = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        rustix::mount::move_mount(&tree, c"", &folder, c"", attach).map_err(at("use as root file system", path))?;
        Ok(Self { mount: tree, path: path.to_owned(), anchors: Anchors::default() })
    }

    /// Makes the folder `path`, with its parents, where it is missing: a payload's working directory.
    ///
    /// # Errors
    /// [`RootfsError`] naming it.
    pub fn make_folder(&self, path: &Path) -> Result<(), RootfsError> {
        resolve::make_directories(self, path, Mode::from_raw_mode(0o755)).map_err(at("make the folder", path))?;
        Ok(())
    }

    /// Makes this the root directory of the calling process and detaches the host's, then sets its propagation and, with
    /// `readonly`, its mount read-only. The working directory is `/` afterwards.
    ///
    /// # Errors
    /// [`RootfsError`]; the process may then be in either root and must not go on.
    pub fn enter(self, propagation: PropagationChange, readonly: bool) -> Result<Self, RootfsError> {
        let path = self.path.clone();
        self.pivot().map_err(|cause| RootfsError {
            action: "enter the root file system",
            object: path.clone(),
            source: cause,
        })?;
        let change = Change { propagation: Some(propagation.to), ..Change::default() };
        mount_setattr(&self.mount, c"", propagation.recursive, change)
            .map_err(at("change the propagation of", &path))?;
        if readonly {
            let change = Change { set: Attributes::READ_ONLY, ..Change::default() };
            mount_setattr(&self.mount, c"", false, change).map_err(at("make read-only", &path))?;
        }
        Ok(self)
    }

    /// `pivot_root(2)` with both places the same, which needs no folder in the image: the old root ends up on top, is
    /// reached by the descriptor taken before, and is detached.
    fn pivot(&self) -> Result<(), Cause> {
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let old = rustix::fs::open("/", folder, Mode::empty())?;
        rustix::process::fchdir(&self.mount)?;
        rustix::process::pivot_root(".", ".")?;
        rustix::process::fchdir(&old)?;
        rustix::mount::unmount(".", UnmountFlags::DETACH)?;
        rustix::process::chdir("/")?;
        let here = resolve::open_in_root(CWD, "/", folder, Mode::empty())?;
        if same_mount(here.as_fd(), self.as_fd())? { Ok(()) } else { Err(Cause::Redirected) }
    }
}
