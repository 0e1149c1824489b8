//! The engine's folders, opened and checked.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FlockOperation};
use rustix::io::Errno;
use stockade_kernel::resolve;

use crate::container::ContainerError;
use crate::files::{self, FileError};
use crate::{ContainerId, Places};

/// This machine's containers. Opening it is the first thing that every command does.
///
/// Below the data folder, besides the layers:
/// - `containers/ID`: a container, whole;
/// - `names/NAME`: a symbolic link whose text is the id of the container with that name;
/// - `ids/...`: an empty file whose name says which container has which ids of the host;
/// - `unfinished/ID`: a container that is being made or removed, or was when its command was killed.
#[derive(Clone, Debug)]
pub struct Engine {
    places: Places,
}

/// Why the containers of this machine cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder could not be made, opened or looked at.
    #[error(transparent)]
    Folder(#[from] FileError),
    /// Others than its owner could read or change a folder (CVE-2021-41091).
    #[error("the folder {} has mode {mode:04o}: others must have no access to it; chmod 700 it", path.display())]
    Accessible {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The volumes of a container that is gone.
    #[error("cannot remove what is left of a container")]
    Leftover(#[from] ContainerError),
    /// A path that OCI configurations, which are JSON, cannot hold.
    #[error("the path {0:?} is not text")]
    NotText(PathBuf),
    /// A folder belongs to somebody else.
    #[error("the folder {} belongs to user {owner} instead of {expected}", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it should be.
        expected: u32,
    },
}

impl Engine {
    /// Opens the data and exec folders, making them with mode 0700 where they are missing, and removes what commands that
    /// were killed left half made.
    ///
    /// # Errors
    /// See [`OpenError`]; a folder that others can enter, or that somebody else owns, is refused.
    pub fn open(places: Places) -> Result<Self, OpenError> {
        let all = [&places.data, &places.exec, &places.programs].into_iter().chain(&places.runtime);
        if let Some(path) = all.into_iter().find(|path| path.to_str().is_none()) {
            return Err(OpenError::NotText(path.clone()));
        }
        let data = trusted(&places.data)?;
        let exec = trusted(&places.exec)?;
        let engine = Self { places: Places { data, exec, ..places } };
        for folder in engine.folders() {
            match files::make_folder(&folder) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(FileError::at("make the folder", folder)(errno).into()),
            }
        }
        engine.clear_unfinished()?;
        Ok(engine)
    }

    fn folders(&self) -> [PathBuf; 5] {
        [self.containers(), self.names(), self.id_ranges(), self.unfinished(), self.runtime_root()]
    }

    /// Where everything is: real paths.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The OCI configuration that the container `id` is made from at each start.
    #[must_use]
    pub fn configuration(&self, id: &ContainerId) -> PathBuf {
        self.containers().join(id.as_str()).join(crate::container::CONFIG)
    }

    pub(crate) fn containers(&self) -> PathBuf {
        self.places.data.join("containers")
    }

    pub(crate) fn names(&self) -> PathBuf {
        self.places.data.join("names")
    }

    pub(crate) fn id_ranges(&self) -> PathBuf {
        self.places.data.join("ids")
    }

    pub(crate) fn unfinished(&self) -> PathBuf {
        self.places.data.join("unfinished")
    }

    /// The folder of the OCI runtime's states.
    pub(crate) fn runtime_root(&self) -> PathBuf {
        self.places.exec.join("runtime")
    }

    /// The program `name` of ours.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.places.programs.join(name)
    }

    /// Holds a share of the folder of unfinished containers: as long as somebody does, nothing in it is taken for a leftover.
    pub(crate) fn share_unfinished(&self) -> Result<OwnedFd, FileError> {
        let path = self.unfinished();
        let folder = files::open_folder(&path).map_err(FileError::at("open", &path))?;
        let share = || rustix::fs::flock(&folder, FlockOperation::LockShared);
        rustix::io::retry_on_intr(share).map_err(FileError::at("lock", &path))?;
        Ok(folder)
    }

    /// Removes what killed commands left, unless somebody else is making or removing a container right now: then the next
    /// command does it.
    fn clear_unfinished(&self) -> Result<(), OpenError> {
        let path = self.unfinished();
        let mut names = std::fs::read_dir(&path).map_err(FileError::at("read", &path))?.peekable();
        if names.peek().is_none() {
            return Ok(());
        }
        let folder = files::open_folder(&path).map_err(FileError::at("open", &path))?;
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(()),
            Err(errno) => return Err(FileError::at("lock", &path)(errno).into()),
        }
        for entry in names {
            let name = entry.map_err(FileError::at("read", &path))?.file_name();
            match self.remove_own_volumes(&path.join(&name)) {
                Ok(()) => {}
                // Nobody knows who has them: it stays until that container is removed by force.
                Err(ContainerError::Damaged { .. } | ContainerError::Version { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            resolve::remove_tree(&folder, &name).map_err(FileError::at("remove", path.join(&name)))?;
        }
        self.clear_names()?;
        Ok(self.clear_ids()?)
    }
}

/// The real path of a folder that only we can enter, made if it is missing.
fn trusted(path: &Path) -> Result<PathBuf, OpenError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(FileError::at("make the folder", path))?;
    let path = path.canonicalize().map_err(FileError::at("resolve", path))?;
    let stat = rustix::fs::statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW).map_err(FileError::at("look at", &path))?;
    let (owner, expected) = (stat.st_uid, rustix::process::geteuid().as_raw());
    if owner != expected {
        return Err(OpenError::Foreign { path, owner, expected });
    }
    // 0710, with which the remapped root of a user namespace can pass through, is the most.
    let mode = stat.st_mode & 0o7777;
    if mode & 0o067 != 0 {
        return Err(OpenError::Accessible { path, mode });
    }
    Ok(path)
}

/// Why a text does not tell a container.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Nothing is called so.
    #[error("no such container: {0}")]
    Missing(String),
    /// The beginning of more than one id.
    #[error("{text} is the beginning of more than one container's id, such as {} and {}", first.short(), second.short())]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// One that begins so.
        first: ContainerId,
        /// Another.
        second: ContainerId,
    },
    /// A folder could not be read.
    #[error(transparent)]
    Folder(#[from] FileError),
}

impl Engine {
    /// The container that `text` means: a whole id, a name, or the beginning of one id only, in that order as Docker has it.
    ///
    /// # Errors
    /// See [`FindError`].
    pub fn find(&self, text: &str) -> Result<ContainerId, FindError> {
        let missing = || FindError::Missing(text.to_owned());
        if let Ok(id) = ContainerId::try_from(text.to_owned()) {
            return if self.containers().join(id.as_str()).exists() { Ok(id) } else { Err(missing()) };
        }
        if let Ok(name) = text.parse()
            && let Some(id) = self.named(&name)?
        {
            return Ok(id);
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            return Err(missing());
        }
        let mut found = self.ids()?.into_iter().filter(|id| id.as_str().starts_with(text));
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(id),
            (Some(first), Some(second)) => Err(FindError::Ambiguous { text: text.to_owned(), first, second }),
            (None, _) => Err(missing()),
        }
    }

    /// The ids of all containers, in no order.
    pub(crate) fn ids(&self) -> Result<Vec<ContainerId>, FileError> {
        let path = self.containers();
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(FileError::at("read", &path))? {
            let name = entry.map_err(FileError::at("read", &path))?.file_name();
            // What is no id is no container of ours.
            ids.extend(name.to_str().and_then(|name| ContainerId::try_from(name.to_owned()).ok()));
        }
        Ok(ids)
    }
}

/// What the text of a link is, `None` if there is no link.
pub(crate) fn link_text(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_link(path) {
        Ok(text) => Ok(text.as_os_str().to_str().map(str::to_owned)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// How often a tree is tried again in which a file appeared meanwhile, and how long it is left alone in between.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(5);

/// Removes the tree `name` in `folder`. A monitor that has let go of its container may still write down what troubled it: then the
/// tree is tried again, for a second at most.
pub(crate) fn remove_tree(folder: &OwnedFd, path: &Path, name: &str) -> Result<(), FileError> {
    let mut tries = 0;
    loop {
        match resolve::remove_tree(folder, OsStr::new(name)) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tries < TRIES => {
                tries += 1;
                std::thread::sleep(PAUSE);
            }
            outcome => return outcome.map_err(FileError::at("remove", path.join(name))),
        }
    }
}
