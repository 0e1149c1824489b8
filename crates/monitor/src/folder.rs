//! The container's folder: the order, the state, and a few files of the monitor's own.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use stockade_monitor::health::{self, Health};
use stockade_monitor::order::Order;
use stockade_monitor::state::{Phase, State};
use stockade_monitor::{ORDER, STATE};

/// The most that is read of an order.
const LARGEST_ORDER: u64 = 1 << 20;

/// The folder, by descriptor.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    fd: OwnedFd,
}

/// A folder that can not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// The folder.
    #[error("cannot open the container's folder {}", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The order can not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The order is none.
    #[error("{} is wrong", path.display())]
    Parse {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The order names no runtime.
    #[error("{} names no runtime", .0.display())]
    NoRuntime(PathBuf),
    /// The state can not be recorded.
    #[error("cannot record the container's state in {}", path.display())]
    Record {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Folder {
    /// Opens the folder at `path`, which is taken from the working directory if it is relative.
    ///
    /// # Errors
    /// [`FolderError::Open`].
    pub(crate) fn open(path: &Path) -> Result<Self, FolderError> {
        let fail = |source| FolderError::Open { path: path.to_owned(), source };
        let absolute = std::path::absolute(path).map_err(fail)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, &absolute, flags, Mode::empty()).map_err(|errno| fail(errno.into()))?;
        Ok(Self { path: absolute, fd })
    }

    /// The absolute path of `name` in it; `name` itself if it is absolute.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Reads the order.
    ///
    /// # Errors
    /// [`FolderError::Read`], [`FolderError::Parse`], [`FolderError::NoRuntime`].
    pub(crate) fn order(&self) -> Result<Order, FolderError> {
        let path = self.path(ORDER);
        let mut text = Vec::new();
        let read = self.open_file(Path::new(ORDER), OFlags::RDONLY);
        let read = read.and_then(|file| file.take(LARGEST_ORDER).read_to_end(&mut text));
        read.map_err(|source| FolderError::Read { path: path.clone(), source })?;
        let order: Order =
            serde_json::from_slice(&text).map_err(|source| FolderError::Parse { path: path.clone(), source })?;
        if order.runtime.is_empty() { Err(FolderError::NoRuntime(path)) } else { Ok(order) }
    }

    /// Replaces the recorded state: written beside, renamed, and synchronised if it tells an end. What it says of a container that is
    /// there is worth nothing after a crash of the machine.
    ///
    /// # Errors
    /// [`FolderError::Record`]; the state that was recorded before stays.
    pub(crate) fn record(&self, state: &State) -> Result<(), FolderError> {
        const DRAFT: &str = ".state.json.new";
        let ended = matches!(state.phase, Phase::Exited { .. } | Phase::Failed { .. });
        let write = || {
            let mut file = self.open_file(Path::new(DRAFT), OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC)?;
            file.write_all(&serde_json::to_vec(state)?)?;
            if ended {
                file.sync_all()?;
            }
            rustix::fs::renameat(&self.fd, DRAFT, &self.fd, STATE)?;
            if ended { Ok(rustix::fs::fsync(&self.fd)?) } else { Ok(()) }
        };
        write().map_err(|source| FolderError::Record { path: self.path(STATE), source })
    }

    /// Replaces what is known of the container's health.
    ///
    /// # Errors
    /// As `write(2)` and `renameat(2)`; what was known before stays.
    pub(crate) fn write_health(&self, health: &Health) -> io::Result<()> {
        const DRAFT: &str = ".health.json.new";
        let mut file = self.open_file(Path::new(DRAFT), OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC)?;
        file.write_all(&serde_json::to_vec(health)?)?;
        Ok(rustix::fs::renameat(&self.fd, DRAFT, &self.fd, health::FILE)?)
    }

    /// Opens a regular file of mode 0600, relative to the folder, without following a link or waiting for anybody.
    ///
    /// # Errors
    /// As `openat(2)`; `EINVAL` if it is no regular file.
    pub(crate) fn open_file(&self, name: &Path, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(Errno::INVAL.into());
        }
        Ok(File::from(fd))
    }

    /// Appends `text` to the file `name`, which is made if it is not there.
    ///
    /// # Errors
    /// As [`Folder::open_file`] and `write(2)`; a part may be written.
    pub(crate) fn append(&self, name: &str, text: &[u8]) -> io::Result<()> {
        self.open_file(Path::new(name), OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE)?.write_all(text)
    }

    /// How long the file `name` is; 0 if it is not there.
    ///
    /// # Errors
    /// As `fstatat(2)`.
    pub(crate) fn length(&self, name: &str) -> io::Result<u64> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(stat.st_size as u64),
            Err(Errno::NOENT) => Ok(0),
            Err(errno) => Err(errno.into()),
        }
    }

    /// At most `most` bytes of the file `name` from `start` on; nothing if it is not there.
    ///
    /// # Errors
    /// As [`Folder::open_file`] and `read(2)`.
    pub(crate) fn read_from(&self, name: &str, start: u64, most: u64) -> io::Result<Vec<u8>> {
        let mut file = match self.open_file(Path::new(name), OFlags::RDONLY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result?,
        };
        file.seek(SeekFrom::Start(start))?;
        let mut text = Vec::new();
        file.take(most).read_to_end(&mut text)?;
        Ok(text)
    }

    /// Makes the folder `name` with mode 0700, or empties it of its files if it is there.
    ///
    /// # Errors
    /// As `mkdirat(2)`, `getdents64(2)` and `unlinkat(2)`.
    pub(crate) fn make_empty(&self, name: &str) -> io::Result<()> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        for entry in rustix::fs::Dir::read_from(&folder)? {
            let entry = entry?;
            if ![c".", c".."].contains(&entry.file_name()) {
                rustix::fs::unlinkat(&folder, entry.file_name(), AtFlags::empty())?;
            }
        }
        Ok(())
    }

    /// Removes the file `name`, if it is there.
    ///
    /// # Errors
    /// As `unlinkat(2)`.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
