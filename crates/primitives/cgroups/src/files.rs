//! Files and directories of a group, reached through its descriptor: no symbolic link and no other mount on the way.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use stockade_kernel::procfs::{read_all, write_once};

use crate::layout::{Hierarchy, Version};

/// `CGROUP_SUPER_MAGIC` and `CGROUP2_SUPER_MAGIC` of `linux/magic.h`.
const MAGICS: [(Version, u64); 2] = [(Version::V1, 0x0027_e0eb), (Version::V2, 0x6367_7270)];

/// Something done with a file of a group that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was tried.
    pub action: String,
    /// With which file or directory.
    pub path: PathBuf,
    /// The kernel's answer.
    pub source: io::Error,
}

impl FileError {
    /// An error about `path`.
    pub(crate) fn new(action: impl Into<String>, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self { action: action.into(), path: path.into(), source: source.into() }
    }

    /// Whether the kernel answered `errno`.
    pub(crate) fn is(&self, errno: Errno) -> bool {
        self.source.raw_os_error() == Some(errno.raw_os_error())
    }

    /// Whether it is about permission: what a caller without privilege may choose to go on without.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        [Errno::ACCESS, Errno::PERM, Errno::ROFS].iter().any(|errno| self.is(*errno))
    }
}

/// A directory of a hierarchy, with its path for messages.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// The top of `hierarchy`'s mount, which must be a cgroup file system of its version.
    pub(crate) fn top(hierarchy: &Hierarchy) -> Result<Self, FileError> {
        let path = &hierarchy.mount;
        let error = |source: io::Error| FileError::new("open the cgroup hierarchy", path, source);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| error(errno.into()))?;
        let magic = rustix::fs::fstatfs(&fd).map_err(|errno| error(errno.into()))?.f_type as u64;
        match MAGICS.contains(&(hierarchy.version, magic)) {
            true => Ok(Self { fd, path: path.clone() }),
            false => Err(error(Errno::NOTSUP.into())),
        }
    }

    /// The directory `below` this one; an empty path is this one again.
    pub(crate) fn open(&self, below: &Path) -> Result<Self, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let name = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let path = if below.as_os_str().is_empty() { self.path.clone() } else { self.path.join(below) };
        match self.open_at(name, flags) {
            Ok(fd) => Ok(Self { fd, path }),
            Err(source) => Err(FileError::new("open the cgroup", path, source)),
        }
    }

    /// The directory `below` this one; for an empty path this one itself.
    pub(crate) fn at(self, below: &Path) -> Result<Self, FileError> {
        if below.as_os_str().is_empty() { Ok(self) } else { self.open(below) }
    }

    /// Makes the directory `name` here; `false` if it was there.
    pub(crate) fn make(&self, name: &Path) -> Result<bool, FileError> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(FileError::new("make the cgroup", self.path.join(name), errno)),
        }
    }

    /// Opens a file or directory below.
    fn open_at(&self, name: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        Ok(rustix::fs::openat2(&self.fd, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
    }

    /// Opens the file `name` for writing.
    pub(crate) fn open_for_writing(&self, name: &str) -> Result<OwnedFd, FileError> {
        let path = Path::new(name);
        self.open_at(path, OFlags::WRONLY).map_err(|source| FileError::new("open", self.path.join(path), source))
    }

    /// Opens the file `name` for reading.
    pub(crate) fn open_for_reading(&self, name: &str) -> Result<OwnedFd, FileError> {
        let path = Path::new(name);
        self.open_at(path, OFlags::RDONLY).map_err(|source| FileError::new("open", self.path.join(path), source))
    }

    /// Writes `value` to the file `name`.
    pub(crate) fn write(&self, name: &str, value: &str) -> Result<(), FileError> {
        let fail = |source| FileError::new(format!("write {value:?} to"), self.path.join(name), source);
        let file = self.open_at(Path::new(name), OFlags::WRONLY).map_err(fail)?;
        self.write_to(&file, name, value)
    }

    /// Writes `value` to `file`, which [`Directory::open_for_writing`] opened as `name`.
    pub(crate) fn write_to(&self, file: &OwnedFd, name: &str, value: &str) -> Result<(), FileError> {
        let fail = |source| FileError::new(format!("write {value:?} to"), self.path.join(name), source);
        write_once(file.as_fd(), value.as_bytes()).map_err(fail)
    }

    /// The text of the file `name`.
    pub(crate) fn read(&self, name: &str) -> Result<String, FileError> {
        let read = || read_all(self.open_at(Path::new(name), OFlags::RDONLY)?.as_fd());
        match read() {
            Ok(content) => Ok(String::from_utf8_lossy(&content).into_owned()),
            Err(source) => Err(FileError::new("read", self.path.join(name), source)),
        }
    }

    /// The text of the file `name`; `None` if there is no such file.
    pub(crate) fn read_if_there(&self, name: &str) -> Result<Option<String>, FileError> {
        match self.read(name) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.is(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the directory `name` here.
    pub(crate) fn remove(&self, name: &Path) -> rustix::io::Result<()> {
        rustix::fs::unlinkat(&self.fd, name, rustix::fs::AtFlags::REMOVEDIR)
    }

    /// This directory (as the empty path) and all groups below it, parents before their children. Groups that vanish
    /// meanwhile are left out.
    pub(crate) fn subtree(&self) -> Result<Vec<PathBuf>, FileError> {
        let mut found = vec![PathBuf::new()];
        let mut next = 0;
        while let Some(at) = found.get(next).cloned() {
            next += 1;
            let children = match at.as_os_str().is_empty() {
                true => self.children(),
                false => self.open(&at).and_then(|directory| directory.children()),
            };
            match children {
                Ok(names) => found.extend(names.iter().map(|name| at.join(name))),
                Err(error) if error.is(Errno::NOENT) || error.is(Errno::NODEV) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// The names of the groups directly below.
    pub(crate) fn children(&self) -> Result<Vec<PathBuf>, FileError> {
        // The kernel counts groups below as links, two more than there are (`kernfs_refresh_inode`).
        let stat =
            rustix::fs::fstat(&self.fd).map_err(|errno| FileError::new("look at the cgroup", &self.path, errno))?;
        if stat.st_nlink == 2 {
            return Ok(Vec::new());
        }
        let entries = self.entries()?;
        let groups = entries
            .into_iter()
            .filter(|(name, kind)| *kind == FileType::Directory && name.as_os_str() != "." && name.as_os_str() != "..");
        Ok(groups.map(|(name, _)| name).collect())
    }

    /// The names of the group's files.
    pub(crate) fn files(&self) -> Result<Vec<String>, FileError> {
        let files = self.entries()?.into_iter().filter(|(_, kind)| *kind == FileType::RegularFile);
        Ok(files.filter_map(|(name, _)| name.to_str().map(str::to_owned)).collect())
    }

    /// Everything in the directory.
    fn entries(&self) -> Result<Vec<(PathBuf, FileType)>, FileError> {
        let error = |errno: Errno| FileError::new("list the cgroup", &self.path, errno);
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd).map_err(error)? {
            let entry = entry.map_err(error)?;
            entries.push((PathBuf::from(OsStr::from_bytes(entry.file_name().to_bytes())), entry.file_type()));
        }
        Ok(entries)
    }

    /// The path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
