//! Where `cp` reads and writes: Docker's rules for paths, the same on both sides.
//!
//! A path is resolved by the kernel with the side's root for its root, and what comes of it is a descriptor of a directory and at
//! most one name in it. Nobody goes back to the path, so what a container swaps meanwhile leads nowhere else (CVE-2018-15664).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use stockade_kernel::resolve;
use stockade_storage::pack::{Naming, is_the_kernels};

/// The most links that are followed at the end of a destination: as many as the kernel follows.
const MOST_LINKS: usize = 40;

/// A path of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// Absolute; a slash or dot at its end is still there.
    pub(crate) path: PathBuf,
    /// Its last name; `None` for the root.
    pub(crate) name: Option<OsString>,
    /// Whether it ends in `/.`, or is the root: what is in the directory is meant, not the directory.
    pub(crate) contents: bool,
    /// Whether it ends in `/` or `/.`: it can only be a directory.
    pub(crate) directory: bool,
}

impl Given {
    /// Reads `text`, which is relative to `from`.
    pub(crate) fn read(text: &OsStr, from: &Path) -> Self {
        let path = if text.is_empty() { from.to_owned() } else { from.join(text) };
        let bytes = text.as_bytes();
        let dot = bytes == b"." || bytes.ends_with(b"/.");
        let mut names: Vec<&OsStr> = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => names.push(name),
                Component::ParentDir => drop(names.pop()),
                _ => {}
            }
        }
        let name = names.pop().map(OsStr::to_owned);
        let directory = dot || bytes.ends_with(b"/") || bytes == b".." || bytes.ends_with(b"/..");
        Self { contents: dot || name.is_none(), directory: directory || name.is_none(), name, path }
    }
}

/// What is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Its name, `None` if only what is in it is meant.
    pub(crate) name: Option<OsString>,
    pub(crate) is_directory: bool,
}

/// Where it goes.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) directory: OwnedFd,
    /// The name in the directory; `None` if the directory itself is to hold what is in the source.
    pub(crate) name: Option<OsString>,
}

impl Target {
    /// For archives whose names begin with one component, which is not the target's.
    pub(crate) fn naming(&self) -> Naming<'_> {
        self.name.as_deref().map_or(Naming::WithoutFirst, Naming::First)
    }
}

/// Why something cannot be copied to or from a path.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    #[error("no such file or directory: {0:?}")]
    Missing(PathBuf),
    #[error("no such directory: {0:?}")]
    NoDirectory(PathBuf),
    #[error("cannot copy a directory to a file: {0:?}")]
    DirectoryToFile(PathBuf),
    #[error("not a directory: {0:?}")]
    NotDirectory(PathBuf),
    #[error("the destination {0:?} must be a directory or a regular file")]
    Special(PathBuf),
    #[error("{0:?} is a socket, which cannot be copied")]
    Socket(PathBuf),
    #[error("{0:?} is no file on a disk but the kernel's word (procfs, sysfs or the like), which is not copied")]
    Kernels(PathBuf),
    #[error("too many links: {0:?}")]
    Links(PathBuf),
    #[error("cannot open {path:?}")]
    Open { path: PathBuf, source: io::Error },
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn kind(fd: &OwnedFd, path: &Path) -> Result<FileType, PlaceError> {
    let stat = rustix::fs::fstat(fd);
    let stat = stat.map_err(|errno| PlaceError::Open { path: path.to_owned(), source: errno.into() })?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

fn refuse_kernels(fd: &OwnedFd, path: &Path) -> Result<(), PlaceError> {
    match is_the_kernels(fd.as_fd()) {
        Ok(false) => Ok(()),
        Ok(true) => Err(PlaceError::Kernels(path.to_owned())),
        Err(source) => Err(PlaceError::Open { path: path.to_owned(), source }),
    }
}

/// Opens what `given` means (`O_PATH`), a link at its end itself unless `follow` has [`OFlags::empty`] for it.
pub(crate) fn source(root: BorrowedFd<'_>, given: &Given, last: OFlags) -> Result<(OwnedFd, Copied), PlaceError> {
    let path = || given.path.clone();
    let last = if given.directory { OFlags::empty() } else { last };
    let opened = resolve::open_in_root(root, &given.path, OFlags::PATH | last, Mode::empty());
    let opened = opened.map_err(|source| match source {
        source if is(&source, Errno::NOENT) => PlaceError::Missing(path()),
        source if is(&source, Errno::NOTDIR) && given.directory => PlaceError::NotDirectory(path()),
        source => PlaceError::Open { path: path(), source },
    })?;
    refuse_kernels(&opened, &given.path)?;
    let kind = kind(&opened, &given.path)?;
    if kind == FileType::Socket {
        return Err(PlaceError::Socket(path()));
    }
    let name = given.name.clone().filter(|_name| !given.contents);
    Ok((opened, Copied { name, is_directory: kind == FileType::Directory }))
}

/// Where `copied` goes if it is copied to `given`, by Docker's rules: into a directory that is there, in the place of a file, or under
/// a new name in a directory that must be there. A link at the end is followed.
pub(crate) fn target(root: BorrowedFd<'_>, given: &Given, copied: &Copied) -> Result<Target, PlaceError> {
    let mut path = given.path.clone();
    for _ in 0..MOST_LINKS {
        match resolve::open_in_root(root, &path, OFlags::PATH, Mode::empty()) {
            Ok(there) => match kind(&there, &path)? {
                FileType::Directory => {
                    refuse_kernels(&there, &path)?;
                    return Ok(Target { directory: there, name: copied.name.clone() });
                }
                _ if given.directory => return Err(PlaceError::NotDirectory(path)),
                _ if copied.is_directory => return Err(PlaceError::DirectoryToFile(path)),
                FileType::RegularFile => {}
                _ => return Err(PlaceError::Special(path)),
            },
            Err(error) if is(&error, Errno::NOENT) => {
                if given.directory && !copied.is_directory {
                    return Err(PlaceError::NoDirectory(path));
                }
            }
            Err(error) if is(&error, Errno::NOTDIR) => return Err(PlaceError::NotDirectory(path)),
            Err(source) => return Err(PlaceError::Open { path, source }),
        }
        let (above, name) = split(&path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let directory = resolve::open_in_root(root, &above, flags, Mode::empty()).map_err(|source| match source {
            source if is(&source, Errno::NOENT) => PlaceError::NoDirectory(above.clone()),
            source if is(&source, Errno::NOTDIR) => PlaceError::NotDirectory(above.clone()),
            source => PlaceError::Open { path: above.clone(), source },
        })?;
        match rustix::fs::readlinkat(&directory, &name, Vec::new()) {
            Ok(link) => path = above.join(OsStr::from_bytes(link.as_bytes())),
            Err(Errno::INVAL | Errno::NOENT) => {
                refuse_kernels(&directory, &above)?;
                return Ok(Target { directory, name: Some(name) });
            }
            Err(errno) => return Err(PlaceError::Open { path, source: errno.into() }),
        }
    }
    Err(PlaceError::Links(given.path.clone()))
}

/// The directory and the last name, without what `file_name` would clean away wrongly.
fn split(path: &Path) -> Result<(PathBuf, OsString), PlaceError> {
    match (path.parent(), path.file_name()) {
        (Some(above), Some(name)) => Ok((above.to_owned(), name.to_owned())),
        _ => Err(PlaceError::NoDirectory(path.to_owned())),
    }
}

/// The directory that an archive of the user's is put into.
pub(crate) fn directory(root: BorrowedFd<'_>, given: &Given) -> Result<OwnedFd, PlaceError> {
    let any = Copied { name: None, is_directory: true };
    let path = || given.path.clone();
    match resolve::open_in_root(root, &given.path, OFlags::PATH, Mode::empty()) {
        Ok(there) if kind(&there, &given.path)? == FileType::Directory => {
            target(root, given, &any).map(|target| target.directory)
        }
        Ok(_other) => Err(PlaceError::NotDirectory(path())),
        Err(error) if is(&error, Errno::NOENT) => Err(PlaceError::NoDirectory(path())),
        Err(source) => Err(PlaceError::Open { path: path(), source }),
    }
}

#[cfg(test)]
mod tests;
