//! Owner, mode, time and extended attributes of what was made, through its descriptor.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use stockade_kernel::resolve;

use super::{UnpackError, failed, is_no_directory, shown};
use crate::Privilege;
use crate::tar::Entry;

/// The access control list that what is made in a directory gets.
const DEFAULT_ACL: &str = "system.posix_acl_default";

/// What becomes of an extended attribute of an entry.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It is set.
    Set,
    /// It says something of another machine, and is left out.
    LeftOut,
    /// It would steer overlayfs, or whoever trusts that only the administrator can set it.
    Refused,
}

/// The fate of the attribute `name`; what is not known is refused.
fn fate(name: &[u8]) -> Fate {
    let starts = |prefix: &str| name.starts_with(prefix.as_bytes());
    match name {
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => Fate::Set,
        _ if starts("user.overlay.") => Fate::Refused,
        _ if starts("user.") => Fate::Set,
        _ if starts("security.") || starts("com.apple.") => Fate::LeftOut,
        _ => Fate::Refused,
    }
}

/// Sets owner, mode and extended attributes of a file or directory, in the order in which none takes away another: a
/// change of owner clears set-user-id bits and `security.capability`.
pub(super) fn set_all(fd: BorrowedFd<'_>, entry: &Entry, privilege: Privilege) -> Result<(), UnpackError> {
    set_owner(fd, entry, privilege)?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(entry.mode)).map_err(failed(entry, "set its mode"))?;
    for (name, value) in &entry.xattrs {
        match fate(name) {
            Fate::LeftOut => {}
            Fate::Set => rustix::fs::fsetxattr(fd, &name[..], value, XattrFlags::empty())
                .map_err(failed(entry, "set an extended attribute"))?,
            Fate::Refused => return Err(UnpackError::Attribute { entry: shown(&entry.path), name: shown(name) }),
        }
    }
    Ok(())
}

/// Sets the owner and group, of a link itself where `fd` is one.
pub(super) fn set_owner(fd: BorrowedFd<'_>, entry: &Entry, privilege: Privilege) -> Result<(), UnpackError> {
    if privilege == Privilege::SingleId {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    match rustix::fs::chownat(fd, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH) {
        Err(Errno::INVAL) if privilege == Privilege::UserNamespace => {
            Err(UnpackError::Owner { entry: shown(&entry.path), uid: entry.uid, gid: entry.gid })
        }
        set => set.map_err(failed(entry, "set its owner")),
    }
}

/// Whether what is made in the directory will get an access control list.
pub(super) fn sets_default_acl(entry: &Entry) -> bool {
    entry.xattrs.iter().any(|(name, _)| name == DEFAULT_ACL.as_bytes())
}

/// Whether what is made in `directory` gets an access control list, or might.
pub(super) fn has_default_acl(directory: BorrowedFd<'_>) -> bool {
    let mut nothing = [0; 0];
    let answer = rustix::fs::fgetxattr(directory, DEFAULT_ACL, &mut nothing);
    !matches!(answer, Err(Errno::NODATA | Errno::OPNOTSUPP))
}

/// Sets the time of the last change, and the same as time of the last access.
pub(super) fn set_time(fd: BorrowedFd<'_>, (seconds, nanoseconds): (i64, u32)) -> io::Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(fd, "", &times, AtFlags::EMPTY_PATH)?)
}

/// Makes the directories at these paths in the layer `root` hide what the layers below have in them, by the mark of `privilege`. One
/// that is not there has nothing to hide.
///
/// # Errors
/// As `openat2(2)` and `fsetxattr(2)`; the first ones may be set.
pub(crate) fn set_opaque<'a>(
    root: BorrowedFd<'_>,
    paths: impl Iterator<Item = &'a Path>,
    privilege: Privilege,
) -> io::Result<()> {
    for path in paths {
        match resolve::open_in_root(root, Path::new("/").join(path), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
        {
            Ok(directory) => rustix::fs::fsetxattr(&directory, privilege.opaque(), b"y", XattrFlags::empty())?,
            Err(error) if is_no_directory(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether `directory` was made to hide everything below it, with `privilege`.
///
/// # Errors
/// As `fgetxattr(2)`, but that there is no such attribute.
pub(crate) fn is_opaque(directory: BorrowedFd<'_>, privilege: Privilege) -> io::Result<bool> {
    let mut value = [0; 1];
    match rustix::fs::fgetxattr(directory, privilege.opaque(), &mut value) {
        Ok(_) => Ok(value == *b"y"),
        Err(Errno::NODATA) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_attributes_are_set() {
        for name in ["security.capability", "user.mime", "system.posix_acl_access"] {
            assert_eq!(fate(name.as_bytes()), Fate::Set, "{name}");
        }
        for name in ["security.selinux", "security.ima", "security.apparmor"] {
            assert_eq!(fate(name.as_bytes()), Fate::LeftOut, "{name}");
        }
        for name in
            ["trusted.overlay.opaque", "trusted.overlay.redirect", "user.overlay.metacopy", "trusted.x", "x", ""]
        {
            assert_eq!(fate(name.as_bytes()), Fate::Refused, "{name}");
        }
    }
}
