//! Filling an empty volume with what an image has where it is mounted, once and whole.
//!
//! The copy is made in `NAME/copy.new`, which becomes `NAME/copy` when it is complete and on the disk. From then on whoever comes
//! moves what is in it into `_data`, which is never exchanged: containers may have it mounted. So a kill leaves either nothing
//! that counts, or a copy that the next one goes on moving. All of it is done under a lock of the volume's folder.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use stockade_kernel::resolve;

use super::copy::{CopyError, copy_attributes, copy_tree};
use super::{CONTENT, Share, VolumeName, Volumes};

/// A copy that is being made.
const NEW: &str = "copy.new";
/// A copy that is complete.
const COMPLETE: &str = "copy";
/// In either: the content.
const TREE: &str = "tree";
/// In either: an empty folder with the attributes of the content's root, whose own times change when it is emptied.
const LIKE: &str = "like";

/// Why a volume was not filled. It is as it was, or is filled by the next container that uses it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the volume {name}")]
pub struct FillError {
    action: &'static str,
    name: VolumeName,
    source: io::Error,
}

/// An empty volume that the caller alone may fill. Dropped, it is left empty.
#[derive(Debug)]
pub struct Filling {
    name: VolumeName,
    path: PathBuf,
    /// The volume's folder, locked.
    folder: OwnedFd,
    /// `copy.new/tree` and `copy.new/like`.
    tree: OwnedFd,
    like: OwnedFd,
}

impl Share {
    /// Waits until nobody else fills the volume, goes on with what a killed process left, and prepares to fill it if it is empty;
    /// `None` if it is not.
    ///
    /// # Errors
    /// See [`FillError`].
    pub fn fill(&self, name: &VolumeName) -> Result<Option<Filling>, FillError> {
        let path = self.volumes.folder(name);
        let failed = |action| move |source| FillError { action, name: name.clone(), source };
        let folder = open(rustix::fs::CWD, path.as_os_str()).map_err(failed("open"))?;
        lock(&folder).map_err(failed("lock"))?;
        move_complete(folder.as_fd()).map_err(failed("go on filling"))?;
        if !is_empty(folder.as_fd()).map_err(failed("look into"))? {
            return Ok(None);
        }
        let prepare = || -> io::Result<[OwnedFd; 2]> {
            resolve::remove_tree(&folder, NEW)?;
            rustix::fs::mkdirat(&folder, NEW, Mode::RWXU)?;
            let new = open(folder.as_fd(), OsStr::new(NEW))?;
            let make = |name: &str| -> io::Result<OwnedFd> {
                rustix::fs::mkdirat(&new, name, Mode::RWXU)?;
                open(new.as_fd(), OsStr::new(name))
            };
            Ok([make(TREE)?, make(LIKE)?])
        };
        let [tree, like] = prepare().map_err(failed("prepare to fill"))?;
        Ok(Some(Filling { name: name.clone(), path, folder, tree, like }))
    }
}

impl Volumes {
    /// Goes on with what a process that filled the volume left when it was killed, so that no container sees half of it.
    ///
    /// # Errors
    /// See [`FillError`], also if there is no such volume.
    pub fn settle(&self, name: &VolumeName) -> Result<(), FillError> {
        let failed = |action| move |source| FillError { action, name: name.clone(), source };
        let folder = open(rustix::fs::CWD, self.folder(name).as_os_str()).map_err(failed("open"))?;
        match rustix::fs::statat(&folder, COMPLETE, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            looked => looked.map_err(io::Error::from).map_err(failed("look into"))?,
        };
        lock(&folder).map_err(failed("lock"))?;
        move_complete(folder.as_fd()).map_err(failed("go on filling"))
    }
}

impl Filling {
    /// The volume.
    #[must_use]
    pub fn name(&self) -> &VolumeName {
        &self.name
    }

    /// Its folder, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies what is in `source`, a folder that nobody changes, to where the volume's content is prepared. Needs no path of the
    /// host, and of capabilities those that a file's owner, mode, attributes and content are bound to; a child process can do it
    /// for its parent.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub fn copy(&self, source: BorrowedFd<'_>) -> Result<(), CopyError> {
        copy_tree(source, self.tree.as_fd())?;
        let attributes = copy_attributes(source, self.like.as_fd());
        attributes.map_err(|source| CopyError::Entry { action: "set the attributes of", name: "/".into(), source })
    }

    /// Gives the volume what was copied, for good.
    ///
    /// # Errors
    /// See [`FillError`].
    pub fn finish(self) -> Result<(), FillError> {
        let finish = || -> io::Result<()> {
            rustix::fs::syncfs(&self.tree)?;
            rustix::fs::renameat(&self.folder, NEW, &self.folder, COMPLETE)?;
            move_complete(self.folder.as_fd())
        };
        finish().map_err(|source| FillError { action: "fill", name: self.name.clone(), source })
    }

    /// Leaves the volume empty, because the image has nothing for it.
    ///
    /// # Errors
    /// See [`FillError`].
    pub fn abandon(self) -> Result<(), FillError> {
        let removed = resolve::remove_tree(&self.folder, NEW);
        removed.map_err(|source| FillError { action: "leave empty", name: self.name.clone(), source })
    }
}

/// Waits for the lock of a volume's folder.
fn lock(folder: &OwnedFd) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| rustix::fs::flock(folder, FlockOperation::LockExclusive))?)
}

/// Opens a folder of ours for what is in it.
fn open(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// Whether the volume has no content.
fn is_empty(folder: BorrowedFd<'_>) -> io::Result<bool> {
    let content = open(folder, OsStr::new(CONTENT))?;
    for entry in Dir::new(content)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Moves a complete copy, if there is one, into the content. What a container has put there meanwhile stays as it is.
fn move_complete(folder: BorrowedFd<'_>) -> io::Result<()> {
    let complete = match open(folder, OsStr::new(COMPLETE)) {
        Ok(complete) => complete,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let [tree, like] = [TREE, LIKE].map(|name| open(complete.as_fd(), OsStr::new(name)));
    let content = open(folder, OsStr::new(CONTENT))?;
    let (tree, like) = (tree?, like?);
    // A folder that is changed while it is read may be read again: what is left in the end is there already.
    while move_some(tree.as_fd(), content.as_fd())? {}
    copy_attributes(like.as_fd(), content.as_fd())?;
    // Synchronised before the copy is no more, so that what was moved is in one of the two places.
    rustix::fs::fsync(&content)?;
    // Under a name that does not count, so that a removal that is interrupted is not taken for a copy.
    resolve::remove_tree(folder, NEW)?;
    rustix::fs::renameat(folder, COMPLETE, folder, NEW)?;
    resolve::remove_tree(folder, NEW)
}

/// Moves what is in `tree` to `content`; whether something was moved.
fn move_some(tree: BorrowedFd<'_>, content: BorrowedFd<'_>) -> io::Result<bool> {
    let mut moved = false;
    for entry in Dir::read_from(tree)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        match rustix::fs::renameat_with(tree, name, content, name, RenameFlags::NOREPLACE) {
            Ok(()) => moved = true,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(moved)
}
