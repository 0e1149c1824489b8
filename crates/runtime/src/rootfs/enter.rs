//! Making the root folder a mount of its own, and making it `/`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, UnmountFlags};
use stockade_kernel::mount::stat::same_mount;
use stockade_kernel::mount::{Attributes, Change, Propagation, info, mount_setattr};
use stockade_kernel::procfs::{Procfs, Subject};
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
    /// Makes the folder `path` of the host a mount of its own, with all that is mounted below it, after cutting the
    /// caller's mount namespace off from the host's: nothing that is mounted from now on travels there.
    ///
    /// The caller must be in a mount namespace of the container's. With `tie` [`Propagation::Slave`] what is mounted there on
    /// the host arrives. `given` is a copy that [`detached_root`] made, for a caller that may not walk to the folder: it is
    /// attached there if the caller may, and else on the host's root, where the host's files stay in reach by their paths.
    ///
    /// # Errors
    /// [`RootfsError`] naming the folder: it is missing, no folder, or was replaced meanwhile.
    pub fn prepare(path: &Path, tie: Propagation, given: Option<&OwnedFd>) -> Result<Self, RootfsError> {
        let slave = Change { propagation: Some(Propagation::Slave), ..Change::default() };
        mount_setattr(CWD, c"/", true, slave).map_err(at("cut off the mounts below", Path::new("/")))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = match rustix::fs::open(path, flags, Mode::empty()) {
            Err(Errno::ACCESS) if given.is_some() => rustix::fs::open("/", flags, Mode::empty()),
            opened => opened,
        };
        let folder = folder.map_err(at("use as root file system", path))?;
        let tree = match given {
            Some(tree) => rustix::io::fcntl_dupfd_cloexec(tree, 3).map_err(at("use as root file system", path))?,
            None => mount::copy_of(path, true, tie).map_err(at("use as root file system", path))?,
        };
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

    /// Makes this the root directory of the calling process by `way`, then sets its propagation and, with `readonly`, its
    /// mount read-only. The working directory is `/` afterwards.
    ///
    /// # Errors
    /// [`RootfsError`]; the process may then be in either root and must not go on.
    pub fn enter(self, way: Way, propagation: PropagationChange, readonly: bool) -> Result<Self, RootfsError> {
        let path = self.path.clone();
        let fail = |cause| RootfsError { action: "enter the root file system", object: path.clone(), source: cause };
        match way {
            Way::Pivot => self.pivot().map_err(fail)?,
            Way::Move => self.move_over_host()?,
        }
        self.check_entered().map_err(fail)?;
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
        Ok(())
    }

    /// Moves this over the host's root and changes to it by `chroot(2)`. All that the host has mounted on its root is then
    /// detached: the kernel would take the host's procfs for a proof that the container may mount one without masks.
    fn move_over_host(&self) -> Result<(), RootfsError> {
        let top = Path::new("/");
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let old = rustix::fs::open("/", folder, Mode::empty()).map_err(at("open", top))?;
        let points = mounted_on(old.as_fd()).map_err(at("list the mounts on", top))?;
        let change = || {
            let attach = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
            rustix::mount::move_mount(&self.mount, c"", &old, c"", attach)?;
            rustix::process::fchdir(&self.mount)?;
            rustix::process::chroot(".")?;
            rustix::process::fchdir(&old)
        };
        change().map_err(at("move the root file system over", top))?;
        for point in points.iter().rev() {
            detach_all(old.as_fd(), point).map_err(at("detach what the host has mounted on", point))?;
        }
        rustix::process::chdir("/").map_err(at("change to", top))
    }

    /// Makes sure that `/` is this.
    fn check_entered(&self) -> Result<(), Cause> {
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let here = resolve::open_in_root(CWD, "/", folder, Mode::empty())?;
        if same_mount(here.as_fd(), self.as_fd())? { Ok(()) } else { Err(Cause::Redirected) }
    }
}

/// The folder `path` of the host with all that is mounted below it, attached nowhere, for [`Root::prepare`] in a user namespace
/// whose root need not be let in to where the folder is. `None` if this process may not mount: then the caller there has to.
///
/// # Errors
/// [`RootfsError`] naming the folder.
pub fn detached_root(path: &Path, tie: Propagation) -> Result<Option<OwnedFd>, RootfsError> {
    match mount::copy_of(path, true, tie) {
        Ok(tree) => Ok(Some(tree)),
        Err(Cause::Kernel(error)) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => Ok(None),
        Err(cause) => Err(at("use as root file system", path)(cause)),
    }
}

/// Where something is mounted on the mount of `root`, the caller's root, in the order of mounting.
fn mounted_on(root: BorrowedFd<'_>) -> Result<Vec<PathBuf>, Cause> {
    let text = Procfs::private()?.read(Subject::Myself, "mountinfo")?;
    let id = rustix::fs::statx(root, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id;
    let mounts = info::parse(&text)?;
    let children = mounts.into_iter().filter(|mount| u64::from(mount.parent) == id && u64::from(mount.id) != id);
    Ok(children.map(|mount| PathBuf::from(OsString::from_vec(mount.point))).collect())
}

/// Detaches whatever is mounted at `point` below `root`, the working directory, be it several mounts on top of each other.
fn detach_all(root: BorrowedFd<'_>, point: &Path) -> Result<(), Cause> {
    let below = point.strip_prefix("/").unwrap_or(point);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    while !same_mount(rustix::fs::openat(root, below, flags, Mode::empty())?.as_fd(), root)? {
        rustix::mount::unmount(below, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
    }
    Ok(())
}

/// How a root is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By `pivot_root(2)`: the host's root is gone from the mount namespace.
    Pivot,
    /// By moving it over the host's root, which is all that the kernel allows where that is the initial file system of a
    /// machine that has booted from memory. Weaker: the host's root file system is still below, and who has CAP_SYS_ADMIN
    /// in the container can uncover it.
    Move,
}
