//! Owner, mode, time and extended attributes of what was made, through its descriptor.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};

use super::{UnpackError, failed, shown};
use crate::tar::Entry;

/// How overlayfs marks a directory that hides what is below it.
const OPAQUE: &str = "trusted.overlay.opaque";

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
pub(super) fn set_all(fd: BorrowedFd<'_>, entry: &Entry) -> Result<(), UnpackError> {
    set_owner(fd, entry).map_err(failed(entry, "set its owner"))?;
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
pub(super) fn set_owner(fd: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    Ok(rustix::fs::chownat(fd, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?)
}

/// Sets the mode of what was opened with `O_PATH`, for which the kernel has a call since 6.6 only; procfs's name for the
/// descriptor leads to it and nothing else. It must not be a link.
pub(super) fn set_mode_of_path(fd: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
    let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(rustix::fs::chmod(name, Mode::from_raw_mode(entry.mode))?)
}

/// Sets the time of the last change, and the same as time of the last access.
pub(super) fn set_time(fd: BorrowedFd<'_>, (seconds, nanoseconds): (i64, u32)) -> io::Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(fd, "", &times, AtFlags::EMPTY_PATH)?)
}

/// Makes a directory hide what the layers below have in it.
pub(super) fn set_opaque(directory: BorrowedFd<'_>, entry: &Entry) -> Result<(), UnpackError> {
    rustix::fs::fsetxattr(directory, OPAQUE, b"y", XattrFlags::empty())
        .map_err(failed(entry, "make the directory opaque"))
}

/// Whether `directory` was made to hide everything below it.
///
/// # Errors
/// As `fgetxattr(2)`, but that there is no such attribute.
pub(crate) fn is_opaque(directory: BorrowedFd<'_>) -> io::Result<bool> {
    let mut value = [0; 1];
    match rustix::fs::fgetxattr(directory, OPAQUE, &mut value) {
        Ok(_) => Ok(value == *b"y"),
        Err(rustix::io::Errno::NODATA) => Ok(false),
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
