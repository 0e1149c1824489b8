//! `tmpcopyup`: filling a new file system with what stands where it will be mounted.
//!
//! Both trees are walked by descriptors, no link is followed and no mount is crossed, so that an image can not have a file
//! of another place copied.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid};
use rustix::io::Errno;

use super::Cause;

/// Copies what the folder `from` holds into the folder `to`: folders, regular files and links with their owners and modes.
///
/// # Errors
/// [`Cause`]; [`Cause::Unexpected`] at a device, FIFO or socket. What was copied stays in `to`.
pub(super) fn copy_up(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Cause> {
    let readable = open(from, OsStr::new("."), OFlags::RDONLY | OFlags::DIRECTORY)?;
    for entry in rustix::fs::Dir::read_from(&readable)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            copy_entry(readable.as_fd(), to, name)?;
        }
    }
    Ok(())
}

fn copy_entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr) -> Result<(), Cause> {
    let source = open(from, name, OFlags::PATH | OFlags::NOFOLLOW)?;
    let stat = rustix::fs::fstat(&source)?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            rustix::fs::mkdirat(to, name, Mode::RWXU)?;
            let made = open(to, name, OFlags::RDONLY | OFlags::DIRECTORY)?;
            copy_up(source.as_fd(), made.as_fd())?;
            own(&made, &stat)?;
            rustix::fs::fchmod(&made, mode)?;
        }
        FileType::RegularFile => {
            let content = open(from, name, OFlags::RDONLY | OFlags::NOFOLLOW)?;
            let made = create(to, name)?;
            copy_content(&content, &made)?;
            own(&made, &stat)?;
            rustix::fs::fchmod(&made, mode)?;
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(&source, c"", Vec::new())?;
            rustix::fs::symlinkat(target, to, name)?;
            let (uid, gid) = owner(&stat);
            rustix::fs::chownat(to, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        _ => return Err(Cause::Unexpected("it holds a device, FIFO or socket, which is not copied")),
    }
    Ok(())
}

/// Opens `name` below `folder` without following links or crossing mounts.
fn open(folder: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(folder, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Makes the file `name`, which must not be there.
fn create(folder: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR)
}

fn owner(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

/// Gives `made` the owner of `stat`; to be done before its mode, for it clears set-user-id bits.
fn own(made: &OwnedFd, stat: &Stat) -> Result<(), Errno> {
    let (uid, gid) = owner(stat);
    rustix::fs::fchown(made, uid, gid)
}

fn copy_content(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    while rustix::io::retry_on_intr(|| rustix::fs::sendfile(to, from, None, 1 << 20))? > 0 {}
    Ok(())
}
