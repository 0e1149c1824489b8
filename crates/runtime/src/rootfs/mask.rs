//! Paths that the container can not read (masked) or not write (read-only).

use std::cell::Cell;
use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use stockade_kernel::mount::{Attributes, Change, Propagation, mount_setattr};
use stockade_kernel::resolve;

use super::{Cause, Root, RootfsError, attach, mount};

/// What masked paths are covered with: one null device and one empty read-only file system, shared by all of them.
#[derive(Debug)]
pub struct Covers {
    null: Cover,
    empty: Cover,
}

/// A mount that covers any number of paths: itself the first, copies of it the others, because before Linux 6.15 a mount that
/// is attached nowhere can not be copied.
#[derive(Debug)]
struct Cover {
    mount: OwnedFd,
    attached: Cell<bool>,
}

impl Cover {
    /// Takes the detached `mount` and forbids on it what nobody needs of a mask. It is read-only also where it is a null device,
    /// whose mode and owner are nobody's to change through a mask. A device can be written all the same.
    fn new(mount: OwnedFd, more: Attributes) -> Result<Self, Cause> {
        let set = Attributes::READ_ONLY | Attributes::NO_SUID | Attributes::NO_EXEC | more;
        let change = Change { set, ..Change::default() };
        mount_setattr(&mount, c"", false, change)?;
        Ok(Self { mount, attached: Cell::new(false) })
    }

    /// Attaches it at `target`, which `path` resolved to below `base`.
    fn cover(&self, base: BorrowedFd<'_>, target: &OwnedFd, path: &Path) -> Result<(), Cause> {
        if self.attached.replace(true) {
            attach(base, &clone_of(&self.mount, false)?, target, path)
        } else {
            attach(base, &self.mount, target, path)
        }
    }
}

impl Covers {
    /// Prepares them, the null device from what is at `/dev/null` below `root` if that is the character device 1:3, which is looked
    /// at by the descriptor that is then mounted, because what an image calls so is not trusted (CVE-2025-31133). Otherwise it is
    /// the host's: with `CAP_SYS_ADMIN` a container can make a mask writable and change the device's mode, so its own is better.
    /// To be called before the host's root is left.
    ///
    /// # Errors
    /// [`RootfsError`] if the host's `/dev/null` is needed and another thing, or a file system can not be made.
    pub fn prepare(root: &Root) -> Result<Self, RootfsError> {
        let null_path = Path::new("/dev/null");
        let fail = |object: &Path, source| RootfsError { action: "mask with", object: object.to_owned(), source };
        let null = null_device(root, null_path).and_then(|null| Cover::new(null, Attributes::empty()));
        let null = null.map_err(|cause| fail(null_path, cause))?;
        let options = [("size".to_owned(), Some("0".to_owned())), ("nr_inodes".to_owned(), Some("1".to_owned()))];
        let empty = mount::new_file_system("tmpfs", "tmpfs".as_ref(), &options, true)
            .and_then(|empty| Cover::new(empty, Attributes::NO_DEV));
        let empty = empty.map_err(|cause| fail(Path::new("tmpfs"), cause))?;
        Ok(Self { null, empty })
    }
}

impl Root {
    /// Covers `path`, a folder by an empty read-only file system and anything else by the null device. A path that is not
    /// there needs no mask.
    ///
    /// # Errors
    /// [`RootfsError`] naming the path.
    pub fn mask(&self, path: &Path, covers: &Covers) -> Result<(), RootfsError> {
        let masked = self.at_anchor(path, |base, path| mask_below(base, path, covers));
        masked.map_err(|cause| RootfsError { action: "mask", object: path.to_owned(), source: cause })
    }

    /// Makes what is at `path`, with all mounts below it, read-only by a mount of itself on itself. A path that is not
    /// there is left out.
    ///
    /// # Errors
    /// [`RootfsError`] naming the path.
    pub fn make_read_only(&self, path: &Path) -> Result<(), RootfsError> {
        let result = self.at_anchor(path, |base, path| {
            let Some(target) = existing(base, path)? else { return Ok(()) };
            let copy = clone_of(&target, true)?;
            let change = Change { set: Attributes::READ_ONLY, ..Change::default() };
            mount_setattr(&copy, c"", true, change)?;
            attach(base, &copy, &target, path)
        });
        result.map_err(|cause| RootfsError { action: "make read-only", object: path.to_owned(), source: cause })
    }

    /// Makes the mount whose root is at `path` read-only.
    ///
    /// # Errors
    /// [`RootfsError`] naming the path; `EINVAL` if no mount's root is there.
    pub fn remount_read_only(&self, path: &Path) -> Result<(), RootfsError> {
        let change = Change { set: Attributes::READ_ONLY, ..Change::default() };
        let remount = || {
            let target = resolve::open_in_root(self, path, OFlags::PATH, Mode::empty())?;
            mount_setattr(&target, c"", false, change)
        };
        remount().map_err(super::at("make read-only", path))
    }
}

/// A detached mount of the null device at `path` below `root`, or else of the host's, which must be one.
fn null_device(root: &Root, path: &Path) -> Result<OwnedFd, Cause> {
    if let Some(null) = existing(root.as_fd(), path)?
        && resolve::is_character_device(&null, 1, 3)?
    {
        return clone_of(&null, false);
    }
    let null = mount::copy_of(path, false, Propagation::Private)?;
    match resolve::is_character_device(&null, 1, 3)? {
        true => Ok(null),
        false => Err(Cause::Unexpected("it is not the character device 1:3")),
    }
}

/// Covers what is at `path` below `base`, if anything is.
fn mask_below(base: BorrowedFd<'_>, path: &Path, covers: &Covers) -> Result<(), Cause> {
    let Some(target) = existing(base, path)? else { return Ok(()) };
    let folder = FileType::from_raw_mode(rustix::fs::fstat(&target)?.st_mode) == FileType::Directory;
    let cover = if folder { &covers.empty } else { &covers.null };
    cover.cover(base, &target, path)
}

/// What is at `path` below `base`, if anything is.
fn existing(base: BorrowedFd<'_>, path: &Path) -> Result<Option<OwnedFd>, Cause> {
    match resolve::open_in_root(base, path, OFlags::PATH, Mode::empty()) {
        Ok(target) => Ok(Some(target)),
        Err(error) if [Errno::NOENT, Errno::NOTDIR].iter().any(|e| error.raw_os_error() == Some(e.raw_os_error())) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// A detached copy of the mount or of what is at `fd`.
fn clone_of(fd: &OwnedFd, recursive: bool) -> Result<OwnedFd, Cause> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(rustix::mount::open_tree(fd, c"", flags)?)
}
