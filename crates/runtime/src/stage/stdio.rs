//! Standard input, output and error, as the payload gets them from whoever started the runtime.

use std::io;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use stockade_kernel::procfs::Procfs;
use stockade_kernel::resolve;

/// A `/dev/null` in the container that can not take the place of the host's.
#[derive(Debug, thiserror::Error)]
#[error("/dev/null of the container is not the null device")]
struct NotNull;

/// Hands the three streams over to the payload that will run as `uid`.
///
/// The host's null device is replaced by that of the container below `root`: with a descriptor of the host's, root in the
/// container could change its mode and owner for the whole machine. A pipe becomes the user's, as with runc, so that the payload
/// can open `/dev/stdout`; what lies on a file system of the host keeps its owner.
///
/// # Errors
/// As `fstat(2)`, `openat2(2)` and `fchown(2)`; also if the container's null device is needed and is another thing.
pub(super) fn hand_over(procfs: &Procfs, root: impl AsFd, uid: u32) -> io::Result<()> {
    let mut null = None;
    if is_null(rustix::stdio::stdin())? {
        rustix::stdio::dup2_stdin(get_or_open(&mut null, procfs, &root)?)?;
    }
    if is_null(rustix::stdio::stdout())? {
        rustix::stdio::dup2_stdout(get_or_open(&mut null, procfs, &root)?)?;
    }
    if is_null(rustix::stdio::stderr())? {
        rustix::stdio::dup2_stderr(get_or_open(&mut null, procfs, &root)?)?;
    }
    give_pipes(uid)
}

/// Makes `uid` the owner of those of this process's streams that are pipes.
///
/// # Errors
/// As `fstat(2)` and `fchown(2)`, except where the caller has no right to.
pub(super) fn give_pipes(uid: u32) -> io::Result<()> {
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    streams.into_iter().try_for_each(|stream| give_pipe(stream, uid))
}

/// Whether `stream` is the null device (1:3 of `Documentation/admin-guide/devices.txt`).
fn is_null(stream: BorrowedFd<'_>) -> io::Result<bool> {
    resolve::is_character_device(stream, 1, 3)
}

fn get_or_open<'a>(null: &'a mut Option<OwnedFd>, procfs: &Procfs, root: impl AsFd) -> io::Result<&'a OwnedFd> {
    match null {
        Some(opened) => Ok(opened),
        None => Ok(null.insert(open_null(procfs, root)?)),
    }
}

/// Opens the container's null device. What it is becomes known before it is opened: opening a FIFO would wait, and opening
/// another device could do something.
fn open_null(procfs: &Procfs, root: impl AsFd) -> io::Result<OwnedFd> {
    let found = resolve::open_in_root(root, "/dev/null", OFlags::PATH, Mode::empty())?;
    if !is_null(found.as_fd())? {
        return Err(io::Error::other(NotNull));
    }
    procfs.reopen(&found, OFlags::RDWR)
}

/// Makes `uid` the owner of `stream` if it is a pipe.
fn give_pipe(stream: BorrowedFd<'_>, uid: u32) -> io::Result<()> {
    let stat = rustix::fs::fstat(stream)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo || stat.st_uid == uid {
        return Ok(());
    }
    match rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None::<Gid>) {
        // The pipe belongs to a user whom the container's user namespace does not know: the runtime may hand it over from outside.
        Err(Errno::PERM | Errno::INVAL) => Ok(()),
        result => Ok(result?),
    }
}
