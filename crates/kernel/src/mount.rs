//! Changing what a mount allows: `mount_setattr(2)` (Linux 5.12) and `open_tree_attr(2)` (Linux 6.15).
//!
//! The rest of the mount interface is in `rustix::mount`. What mounts there are is told by [`stat`] and, on kernels
//! before 6.8, by [`info`].

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::check;

pub mod info;
pub mod stat;

/// `open_tree_attr(2)`: the same number on every architecture.
const SYS_OPEN_TREE_ATTR: libc::c_long = 467;
/// `MOUNT_ATTR_IDMAP` of `linux/mount.h`.
const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
/// `MOUNT_ATTR__ATIME`: the bits that hold one of the three access time modes.
const MOUNT_ATTR_ATIME: u64 = 0x70;

bitflags::bitflags! {
    /// What a mount forbids: `MOUNT_ATTR_*` of `linux/mount.h`, without access times.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Attributes: u64 {
        /// `ro`.
        const READ_ONLY = 0x1;
        /// `nosuid`.
        const NO_SUID = 0x2;
        /// `nodev`.
        const NO_DEV = 0x4;
        /// `noexec`.
        const NO_EXEC = 0x8;
        /// `nodiratime`.
        const NO_DIR_ATIME = 0x80;
        /// `nosymfollow` (Linux 5.14).
        const NO_SYM_FOLLOW = 0x20_0000;
    }
}

/// When access times are updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessTimes {
    /// `relatime`: the kernel's default.
    Relative,
    /// `noatime`.
    Never,
    /// `strictatime`.
    Strict,
}

impl AccessTimes {
    /// The mode's bits in `MOUNT_ATTR__ATIME`.
    fn bits(self) -> u64 {
        match self {
            AccessTimes::Relative => 0,
            AccessTimes::Never => 0x10,
            AccessTimes::Strict => 0x20,
        }
    }

    /// The mode in `attributes`, `None` for bits that no kernel known here uses.
    fn from_bits(attributes: u64) -> Option<Self> {
        [AccessTimes::Relative, AccessTimes::Never, AccessTimes::Strict]
            .into_iter()
            .find(|mode| mode.bits() == attributes & MOUNT_ATTR_ATIME)
    }
}

/// How mounts below travel between peers (`mount_namespaces(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// `unbindable`.
    Unbindable,
    /// `private`.
    Private,
    /// `slave`.
    Slave,
    /// `shared`.
    Shared,
}

impl Propagation {
    /// The `MS_*` flag.
    fn bits(self) -> u64 {
        match self {
            Propagation::Unbindable => 1 << 17,
            Propagation::Private => 1 << 18,
            Propagation::Slave => 1 << 19,
            Propagation::Shared => 1 << 20,
        }
    }
}

/// A change to a mount; the default changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'fd> {
    /// Attributes to set.
    pub set: Attributes,
    /// Attributes to clear. One that is also in `set` ends up set.
    pub clear: Attributes,
    /// The access time mode to change to.
    pub access_times: Option<AccessTimes>,
    /// The propagation to change to.
    pub propagation: Option<Propagation>,
    /// The user namespace whose maps the mount is to show owners by. The mount must be detached, never mapped before and
    /// of a file system that supports it; the namespace must not be the initial one, and its maps must be written.
    pub id_map: Option<BorrowedFd<'fd>>,
}

/// The kernel's `struct mount_attr` (MOUNT_ATTR_SIZE_VER0).
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

impl Change<'_> {
    /// The form that the kernel takes.
    fn to_kernel(self) -> MountAttr {
        let mut attr = MountAttr {
            set: self.set.bits(),
            clear: self.clear.bits(),
            propagation: self.propagation.map_or(0, Propagation::bits),
            user_namespace: 0,
        };
        if let Some(mode) = self.access_times {
            attr.set |= mode.bits();
            attr.clear |= MOUNT_ATTR_ATIME;
        }
        if let Some(namespace) = self.id_map {
            attr.set |= MOUNT_ATTR_IDMAP;
            attr.user_namespace = namespace.as_raw_fd() as u64;
        }
        attr
    }
}

/// `AT_EMPTY_PATH`, `AT_SYMLINK_NOFOLLOW` and, if asked for, `AT_RECURSIVE`.
fn lookup_flags(path: &CStr, recursive: bool) -> libc::c_int {
    let empty = if path.is_empty() { libc::AT_EMPTY_PATH } else { 0 };
    empty | libc::AT_SYMLINK_NOFOLLOW | if recursive { libc::AT_RECURSIVE } else { 0 }
}

/// Changes the mount at `path` relative to `directory` (the mount of `directory` itself if `path` is empty), and with
/// `recursive` all mounts below. A link at the end of `path` is not followed. All mounts are changed or none.
///
/// # Errors
/// As `mount_setattr(2)`: `EINVAL` if `path` is no mount's root, or an id map that the file system or the mount's state
/// does not allow; `EPERM` for attributes locked by a more privileged mount namespace.
pub fn mount_setattr(directory: impl AsFd, path: &CStr, recursive: bool, change: Change<'_>) -> io::Result<()> {
    let attr = change.to_kernel();
    let flags = lookup_flags(path, recursive);
    let directory = directory.as_fd().as_raw_fd();
    // SAFETY: `path` ends in zero, `attr` has the layout of `struct mount_attr`, and both live through the call.
    check(unsafe {
        libc::syscall(libc::SYS_mount_setattr, directory, path.as_ptr(), flags, &raw const attr, size_of::<MountAttr>())
    })?;
    Ok(())
}

/// A detached copy of the mount at `path` relative to `directory`, with `recursive` of all below it, changed before anyone
/// can use it; unlike [`mount_setattr`], an id-mapped mount can be copied with another map.
///
/// # Errors
/// As `open_tree(2)` and [`mount_setattr`]; `ENOSYS` before Linux 6.15. Nothing is left behind.
pub fn open_tree_attr(directory: impl AsFd, path: &CStr, recursive: bool, change: Change<'_>) -> io::Result<OwnedFd> {
    let attr = change.to_kernel();
    let flags = lookup_flags(path, recursive) | (libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC) as libc::c_int;
    let directory = directory.as_fd().as_raw_fd();
    // SAFETY: as in `mount_setattr`.
    let fd = check(unsafe {
        libc::syscall(SYS_OPEN_TREE_ATTR, directory, path.as_ptr(), flags, &raw const attr, size_of::<MountAttr>())
    })?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::CWD;
    use rustix::io::Errno;
    use rustix::mount::{OpenTreeFlags, open_tree};

    /// A detached copy of `/`, which only root can make.
    fn detached() -> OwnedFd {
        open_tree(CWD, "/", OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC).unwrap()
    }

    #[test]
    fn attributes_are_set_and_cleared() {
        let tree = detached();
        let strict = Attributes::READ_ONLY | Attributes::NO_DEV | Attributes::NO_SYM_FOLLOW;
        let set = Change { set: strict, access_times: Some(AccessTimes::Never), ..Change::default() };
        mount_setattr(&tree, c"", false, set).unwrap();
        let flags = rustix::fs::fstatvfs(&tree).unwrap().f_flag;
        assert!(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY | rustix::fs::StatVfsMountFlags::NODEV));
        assert!(flags.contains(rustix::fs::StatVfsMountFlags::NOATIME));
        let clear = Change { clear: Attributes::READ_ONLY, ..Change::default() };
        mount_setattr(&tree, c"", false, clear).unwrap();
        let flags = rustix::fs::fstatvfs(&tree).unwrap().f_flag;
        assert!(!flags.contains(rustix::fs::StatVfsMountFlags::RDONLY));
        assert!(flags.contains(rustix::fs::StatVfsMountFlags::NODEV));
    }

    #[test]
    fn what_is_no_mount_is_refused() {
        let tree = detached();
        let change = Change { set: Attributes::READ_ONLY, ..Change::default() };
        let error = mount_setattr(&tree, c"etc", false, change).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::INVAL.raw_os_error()));
    }

    #[test]
    fn a_copy_is_changed_before_use() {
        let change =
            Change { set: Attributes::READ_ONLY, propagation: Some(Propagation::Private), ..Change::default() };
        match open_tree_attr(CWD, c"/", true, change) {
            Ok(tree) => {
                let flags = rustix::fs::fstatvfs(&tree).unwrap().f_flag;
                assert!(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY));
            }
            Err(error) => assert_eq!(error.raw_os_error(), Some(Errno::NOSYS.raw_os_error())),
        }
    }
}
