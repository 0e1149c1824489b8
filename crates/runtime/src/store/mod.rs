//! What the runtime remembers of its containers: a folder for each, below its root folder (`--root`).
//!
//! Making the folder reserves the id. It holds `state.json` (the [`Record`]), the container's `config.json` as it was at
//! `create`, and `start.sock` while the container waits for its start. A command that changes a container holds an exclusive
//! lock on the folder (`flock(2)`), which the kernel lets go of however the command ends. Records are replaced by rename, so
//! that a reader sees a whole one, and readers need no lock. They are not synced: the root folder is on a file system that
//! does not outlive the machine, as the containers do not.

mod id;
mod record;

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use stockade_kernel::procfs::read_all;
use stockade_kernel::resolve;

pub use id::{ContainerId, InvalidId};
pub use record::{ProcessRecord, Record, UnitRecord};

/// The record's file.
const RECORD: &str = "state.json";
/// The configuration's file.
const CONFIG: &str = "config.json";

/// What could not be done in the root folder.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The id is taken. In runc's words.
    #[error("container with given ID already exists: {0}")]
    Exists(ContainerId),
    /// There is none of this id. In runc's words, which engines look for.
    #[error("container does not exist: {0}")]
    Missing(ContainerId),
    /// The root folder can not be used.
    #[error("cannot use {} as the root folder for containers' states", path.display())]
    Root {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of a container can not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A record is damaged.
    #[error("{} is damaged: remove the container with delete --force", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
}

/// The root folder.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    folder: OwnedFd,
}

/// A container's folder, locked for as long as the value lives.
#[derive(Debug)]
pub struct Entry {
    id: ContainerId,
    path: PathBuf,
    root: OwnedFd,
    folder: OwnedFd,
    record: Option<Record>,
}

impl Store {
    /// Opens the root folder `path`, making it (0700) with its parents if it is missing.
    ///
    /// # Errors
    /// [`StoreError::Root`]; also if others than its owner could write in it, or its owner is another user.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let fail = |source| StoreError::Root { path: path.to_owned(), source };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(CWD, path, flags, Mode::empty());
        let folder = match open() {
            Err(Errno::NOENT) => {
                use std::os::unix::fs::DirBuilderExt;
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail)?;
                open()
            }
            result => result,
        };
        let folder = folder.map_err(|errno| fail(errno.into()))?;
        let stat = rustix::fs::fstat(&folder).map_err(|errno| fail(errno.into()))?;
        if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o022 != 0 {
            return Err(fail(io::Error::other("it must belong to this user, and nobody else may write in it")));
        }
        Ok(Self { path: path.to_owned(), folder })
    }

    /// The folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes `id` for a new container: its folder is there and locked, without a record.
    ///
    /// # Errors
    /// [`StoreError::Exists`]; [`StoreError::File`].
    pub fn reserve(&self, id: &ContainerId) -> Result<Entry, StoreError> {
        match rustix::fs::mkdirat(&self.folder, id.as_str(), Mode::RWXU) {
            Ok(()) => self.lock(id),
            Err(Errno::EXIST) => Err(StoreError::Exists(id.clone())),
            Err(errno) => Err(self.file("make the folder", id, errno.into())),
        }
    }

    /// The container `id`, locked; waits while another command works on it.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Damaged`], see [`Store::find_damaged`].
    pub fn find(&self, id: &ContainerId) -> Result<Entry, StoreError> {
        let mut entry = self.lock(id)?;
        entry.record = self.read(id)?;
        Ok(entry)
    }

    /// As [`Store::find`], taking a damaged record for a missing one: to remove what is left of a container.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::File`].
    pub fn find_damaged(&self, id: &ContainerId) -> Result<Entry, StoreError> {
        let mut entry = self.lock(id)?;
        entry.record = match self.read(id) {
            Err(StoreError::Damaged { .. }) => None,
            result => result?,
        };
        Ok(entry)
    }

    /// The record of `id` without waiting for anyone; `None`: the container is being made, or what is left of it has none.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::Damaged`].
    pub fn read(&self, id: &ContainerId) -> Result<Option<Record>, StoreError> {
        let folder = self.open_folder(id)?;
        let path = self.path.join(id.as_str()).join(RECORD);
        match read_file(folder.as_fd(), RECORD) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|source| StoreError::Damaged { path, source }),
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => Ok(None),
            Err(source) => Err(StoreError::File { action: "read", path, source }),
        }
    }

    /// Whether `id` waits for its start.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::File`].
    pub fn waits_for_start(&self, id: &ContainerId) -> Result<bool, StoreError> {
        let folder = self.open_folder(id)?;
        let waits = crate::stage::is_waited_at(folder.as_fd());
        waits.map_err(|source| self.file("look who waits in", id, source))
    }

    /// The ids of all containers, sorted.
    ///
    /// # Errors
    /// [`StoreError::Root`].
    pub fn ids(&self) -> Result<Vec<ContainerId>, StoreError> {
        let fail = |errno: Errno| StoreError::Root { path: self.path.clone(), source: errno.into() };
        let mut ids = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = std::ffi::OsStr::from_bytes(entry.file_name().to_bytes());
            // Files of the runtime's own, such as the cache of filters, begin with a dot and are no folders of containers.
            if let Some(Ok(id)) = name.to_str().filter(|name| !name.starts_with('.')).map(str::parse) {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }

    fn open_folder(&self, id: &ContainerId) -> Result<OwnedFd, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        match resolve::open_no_links(&self.folder, id.as_str(), flags, Mode::empty()) {
            Ok(folder) => Ok(folder),
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
                Err(StoreError::Missing(id.clone()))
            }
            Err(source) => Err(self.file("open", id, source)),
        }
    }

    fn lock(&self, id: &ContainerId) -> Result<Entry, StoreError> {
        let folder = self.open_folder(id)?;
        let locked = rustix::io::retry_on_intr(|| rustix::fs::flock(&folder, FlockOperation::LockExclusive));
        locked.map_err(|errno| self.file("lock", id, errno.into()))?;
        let stat = rustix::fs::fstat(&folder).map_err(|errno| self.file("look at", id, errno.into()))?;
        // It was removed while we waited.
        if stat.st_nlink == 0 {
            return Err(StoreError::Missing(id.clone()));
        }
        let root = rustix::io::fcntl_dupfd_cloexec(&self.folder, 3);
        let root = root.map_err(|errno| self.file("open", id, errno.into()))?;
        Ok(Entry { id: id.clone(), path: self.path.join(id.as_str()), root, folder, record: None })
    }

    fn file(&self, action: &'static str, id: &ContainerId, source: io::Error) -> StoreError {
        StoreError::File { action, path: self.path.join(id.as_str()), source }
    }
}

impl Entry {
    /// The id.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// The record, if one was written.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// [`StoreError::File`]; the old record is still there.
    pub fn save(&mut self, record: Record) -> Result<(), StoreError> {
        let text = serde_json::to_vec(&record).map_err(|error| self.fail("write", RECORD, error.into()))?;
        self.write(RECORD, &text)?;
        self.record = Some(record);
        Ok(())
    }

    /// Keeps the configuration as it is now: `exec` and `delete` go by it whatever becomes of the bundle.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn save_config(&self, text: &[u8]) -> Result<(), StoreError> {
        self.write(CONFIG, text)
    }

    /// The configuration.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn config(&self) -> Result<Vec<u8>, StoreError> {
        read_file(self.folder(), CONFIG).map_err(|source| self.fail("read", CONFIG, source))
    }

    /// Removes the folder: the id is free again.
    ///
    /// # Errors
    /// [`StoreError::File`]; what is left can be removed by trying again.
    pub fn remove(self) -> Result<(), StoreError> {
        let removed = resolve::remove_tree(&self.root, self.id.as_str());
        removed.map_err(|source| StoreError::File { action: "remove", path: self.path, source })
    }

    /// Lets go of the lock's descriptor in a process made by `clone3(2)`, without unlocking: its maker still holds it.
    ///
    /// # Errors
    /// As `open(2)` and `dup3(2)`.
    pub fn forget_in_child(&mut self) -> io::Result<()> {
        let nothing = rustix::fs::openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::dup3(&nothing, &mut self.folder, rustix::io::DupFlags::CLOEXEC)?;
        Ok(())
    }

    /// Writes `name` beside its place and renames it there.
    fn write(&self, name: &str, text: &[u8]) -> Result<(), StoreError> {
        let draft = format!(".{name}.new");
        let write = || {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&self.folder, &draft, flags, Mode::RUSR | Mode::WUSR)?;
            std::fs::File::from(file).write_all(text)?;
            rustix::fs::renameat(&self.folder, &draft, &self.folder, name)?;
            io::Result::Ok(())
        };
        write().map_err(|source| self.fail("write", name, source))
    }

    fn fail(&self, action: &'static str, name: &str, source: io::Error) -> StoreError {
        StoreError::File { action, path: self.path.join(name), source }
    }
}

/// The whole of a small file.
fn read_file(folder: BorrowedFd<'_>, name: &str) -> io::Result<Vec<u8>> {
    let file = resolve::open_no_links(folder, name, OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty())?;
    read_all(file.as_fd())
}

#[cfg(test)]
mod tests;
