//! Volumes: folders that outlive the containers that they are mounted in.
//!
//! `<data>/volumes/NAME/_data` is what containers see, and `volume.json` beside it what is known of the volume. A volume has
//! its name if and only if it is whole: it is made in `volumes/.unfinished`, which no volume can be called, and gets its place
//! by rename; one that is removed is renamed back there first. Whoever makes or removes holds `.unfinished` locked in share,
//! so what is in there while nobody does was left by a process that was killed, and goes when the volumes are opened next.
//!
//! The folder `volumes` itself is the lock between users and removers: who is about to write down that a container has a
//! volume holds it in share ([`Share`]) until that is on the disk, and who looks whether a volume is in use and takes it away
//! holds it alone ([`Alone`]).

mod copy;
mod fill;
mod name;
mod options;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use stockade_kernel::resolve;

pub use copy::CopyError;
pub use fill::{FillError, Filling};
pub use name::{InvalidVolumeName, VolumeName};
pub use options::{Backing, OptionError};

/// The version of `volume.json`.
const VERSION: u32 = 1;
/// What is known of a volume.
const RECORD: &str = "volume.json";
/// What containers see of it.
const CONTENT: &str = "_data";
/// Where volumes are made and taken apart.
const UNFINISHED: &str = ".unfinished";
/// No record is larger.
const LARGEST: u64 = 1 << 20;

/// What is known of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    version: u32,
    /// What it is called.
    pub name: VolumeName,
    /// When it was made: RFC 3339, UTC.
    pub created: String,
    /// For people.
    pub labels: BTreeMap<String, String>,
    /// Docker's options of the driver `local`.
    pub options: BTreeMap<String, String>,
    /// Whether nobody gave it a name: then it goes with its container, if the user says so.
    pub anonymous: bool,
    /// Where it can be used: `local`, this machine.
    scope: Scope,
}

/// Where a volume can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scope {
    /// On this machine.
    Local,
}

impl Volume {
    /// A volume that was made at `created` and has nothing but a name.
    #[must_use]
    pub fn new(name: VolumeName, created: String) -> Self {
        let (labels, options) = (BTreeMap::new(), BTreeMap::new());
        Self { version: VERSION, name, created, labels, options, anonymous: false, scope: Scope::Local }
    }

    /// What its options say of where its content is.
    ///
    /// # Errors
    /// See [`OptionError`]; none for a volume that was made by [`Volumes::create`].
    pub fn backing(&self) -> Result<Backing, OptionError> {
        Backing::of(&self.options)
    }
}

/// Why volumes cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A folder or file of theirs.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A record is damaged.
    #[error("{} is damaged; repair it, or remove the volume", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        source: serde_json::Error,
    },
    /// A record of another version of Stockade.
    #[error("{} is not of the version of volumes that this Stockade knows", .0.display())]
    Version(PathBuf),
    /// There is no such volume.
    #[error("no such volume: {0}")]
    Missing(VolumeName),
    /// Its options.
    #[error(transparent)]
    Options(#[from] OptionError),
}

impl VolumeError {
    /// For `map_err`.
    fn at<E: Into<io::Error>>(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(E) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::File { action, path, source: source.into() }
    }
}

/// The volumes of one data folder.
#[derive(Clone, Debug)]
pub struct Volumes {
    /// `<data>/volumes`.
    path: PathBuf,
}

/// No volume is taken away while this lives.
#[derive(Debug)]
pub struct Share {
    volumes: Volumes,
    _lock: OwnedFd,
}

/// Nobody writes down that a container has a volume while this lives.
#[derive(Debug)]
pub struct Alone {
    volumes: Volumes,
    _lock: OwnedFd,
}

/// A volume that is none any more and of which everything is still there. Dropped, it is taken apart when volumes are opened next.
#[derive(Debug)]
pub struct Doomed {
    unfinished: OwnedFd,
    path: PathBuf,
    name: String,
}

impl Volumes {
    /// Opens the volumes of `data`, making the folders (mode 0700) where they are missing, and removes what was left half made
    /// or half removed, unless somebody is at it right now.
    ///
    /// # Errors
    /// [`VolumeError::File`].
    pub fn open(data: &Path) -> Result<Self, VolumeError> {
        let volumes = Self { path: data.join("volumes") };
        for path in [volumes.path.clone(), volumes.unfinished()] {
            match rustix::fs::mkdirat(CWD, &path, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(VolumeError::at("make the folder", path)(errno)),
            }
        }
        volumes.clear()?;
        Ok(volumes)
    }

    fn unfinished(&self) -> PathBuf {
        self.path.join(UNFINISHED)
    }

    fn folder(&self, name: &VolumeName) -> PathBuf {
        self.path.join(name.as_str())
    }

    /// Where the volume's content is kept, whatever its options say: Docker's mount point.
    #[must_use]
    pub fn mountpoint(&self, name: &VolumeName) -> PathBuf {
        self.folder(name).join(CONTENT)
    }

    /// Removes what killed processes left.
    fn clear(&self) -> Result<(), VolumeError> {
        let path = self.unfinished();
        let mut names = std::fs::read_dir(&path).map_err(VolumeError::at("read", &path))?.peekable();
        if names.peek().is_none() {
            return Ok(());
        }
        let folder = open_folder(&path)?;
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(()),
            Err(errno) => return Err(VolumeError::at("lock", &path)(errno)),
        }
        for entry in names {
            let name = entry.map_err(VolumeError::at("read", &path))?.file_name();
            resolve::remove_tree(&folder, &name).map_err(VolumeError::at("remove", path.join(&name)))?;
        }
        Ok(())
    }

    /// Keeps volumes from being taken away.
    ///
    /// # Errors
    /// [`VolumeError::File`].
    pub fn share(&self) -> Result<Share, VolumeError> {
        Ok(Share { volumes: self.clone(), _lock: locked(&self.path, FlockOperation::LockShared)? })
    }

    /// Waits until nobody holds a share, and keeps everybody from getting one.
    ///
    /// # Errors
    /// [`VolumeError::File`].
    pub fn alone(&self) -> Result<Alone, VolumeError> {
        Ok(Alone { volumes: self.clone(), _lock: locked(&self.path, FlockOperation::LockExclusive)? })
    }

    /// The volume of that name, if there is one.
    ///
    /// # Errors
    /// If its record cannot be read.
    pub fn find(&self, name: &VolumeName) -> Result<Option<Volume>, VolumeError> {
        let path = self.folder(name).join(RECORD);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(file) => std::fs::File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(VolumeError::at("open", path)(errno)),
        };
        let mut text = Vec::new();
        file.take(LARGEST).read_to_end(&mut text).map_err(VolumeError::at("read", &path))?;
        let volume: Volume = match serde_json::from_slice(&text) {
            Ok(volume) => volume,
            Err(source) => return Err(VolumeError::Damaged { path, source }),
        };
        if volume.version != VERSION {
            return Err(VolumeError::Version(path));
        }
        Ok(Some(volume))
    }

    /// All volumes, by name.
    ///
    /// # Errors
    /// If the folder or a record cannot be read.
    pub fn list(&self) -> Result<Vec<Volume>, VolumeError> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(VolumeError::at("read", &self.path))? {
            let name = entry.map_err(VolumeError::at("read", &self.path))?.file_name();
            // What cannot be a volume's name is no volume of ours.
            let name = name.to_str().and_then(|name| name.parse().ok());
            // One that is not there any more was taken away meanwhile.
            found.extend(name.map(|name| self.find(&name)).transpose()?.flatten());
        }
        found.sort_by(|one: &Volume, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// How many bytes the files of the volume have, each once however many names it has. What a container nests deeper than
    /// some hundred folders is not counted.
    ///
    /// # Errors
    /// [`VolumeError::Missing`], or if it cannot be looked at.
    pub fn usage(&self, name: &VolumeName) -> Result<u64, VolumeError> {
        let path = self.mountpoint(name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(folder) => usage::bytes(folder).map_err(VolumeError::at("add up the files of", path)),
            Err(Errno::NOENT) => Err(VolumeError::Missing(name.clone())),
            Err(errno) => Err(VolumeError::at("open", path)(errno)),
        }
    }
}

/// Whether a volume was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was.
    New,
    /// There was one of that name before, which is as it is.
    Existing(Volume),
}

impl Share {
    /// Makes the volume, empty and with mode 0755, unless there is one of that name. Of several that do so at once, one makes it.
    ///
    /// # Errors
    /// [`VolumeError::Options`] before anything is made; [`VolumeError::File`], then nothing is left but what the next opening
    /// removes.
    pub fn create(&self, volume: &Volume) -> Result<Created, VolumeError> {
        volume.backing()?;
        if let Some(existing) = self.volumes.find(&volume.name)? {
            return Ok(Created::Existing(existing));
        }
        let path = self.volumes.unfinished();
        let unfinished = locked(&path, FlockOperation::LockShared)?;
        let random = VolumeName::random().map_err(VolumeError::at("draw a name in", &path))?;
        let making = path.join(random.as_str());
        let made = make(&making, volume).and_then(|()| {
            let place = self.volumes.folder(&volume.name);
            match rustix::fs::renameat_with(CWD, &making, CWD, &place, RenameFlags::NOREPLACE) {
                Ok(()) => Ok(Created::New),
                Err(Errno::EXIST) => match self.volumes.find(&volume.name)? {
                    Some(existing) => Ok(Created::Existing(existing)),
                    None => Err(VolumeError::at("make the folder", &place)(Errno::EXIST)),
                },
                Err(errno) => Err(VolumeError::at("make the folder", &place)(errno)),
            }
        });
        if !matches!(made, Ok(Created::New)) {
            let removed = resolve::remove_tree(&unfinished, random.as_str());
            removed.map_err(VolumeError::at("remove", making))?;
        }
        made
    }
}

/// Makes everything of the volume in the folder `path`, which is not there yet.
fn make(path: &Path, volume: &Volume) -> Result<(), VolumeError> {
    rustix::fs::mkdirat(CWD, path, Mode::RWXU).map_err(VolumeError::at("make the folder", path))?;
    let content = path.join(CONTENT);
    rustix::fs::mkdirat(CWD, &content, Mode::RWXU)
        // Not the mode that the caller's umask leaves.
        .and_then(|()| rustix::fs::chmod(&content, Mode::from_raw_mode(0o755)))
        .map_err(VolumeError::at("make the folder", &content))?;
    let record = path.join(RECORD);
    let write = || -> io::Result<()> {
        let text = serde_json::to_vec(volume)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = std::fs::File::from(rustix::fs::open(&record, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(&text)?;
        file.sync_all()
    };
    write().map_err(VolumeError::at("write", &record))?;
    let folder = open_folder(path)?;
    rustix::fs::fsync(&folder).map_err(VolumeError::at("synchronise", path))
}

impl Alone {
    /// Takes the volume away, at once. Its content is then where no container finds it.
    ///
    /// # Errors
    /// [`VolumeError::Missing`]; [`VolumeError::File`], then it is still there.
    pub fn take_away(&self, name: &VolumeName) -> Result<Doomed, VolumeError> {
        let path = self.volumes.unfinished();
        let unfinished = locked(&path, FlockOperation::LockShared)?;
        let random = VolumeName::random().map_err(VolumeError::at("draw a name in", &path))?;
        let random = random.as_str().to_owned();
        let place = self.volumes.folder(name);
        match rustix::fs::renameat(CWD, &place, CWD, path.join(&random)) {
            Ok(()) => Ok(Doomed { unfinished, path, name: random }),
            Err(Errno::NOENT) => Err(VolumeError::Missing(name.clone())),
            Err(errno) => Err(VolumeError::at("take away", place)(errno)),
        }
    }
}

impl Doomed {
    /// As [`Volumes::usage`].
    ///
    /// # Errors
    /// If it cannot be looked at.
    pub fn usage(&self) -> Result<u64, VolumeError> {
        let path = self.path.join(&self.name).join(CONTENT);
        usage::bytes(open_folder(&path)?).map_err(VolumeError::at("add up the files of", path))
    }

    /// Removes its content, which can take long. Neither links nor mounts are followed.
    ///
    /// # Errors
    /// [`VolumeError::File`]; what is left is removed when volumes are opened next.
    pub fn remove(self) -> Result<(), VolumeError> {
        let removed = resolve::remove_tree(&self.unfinished, OsStr::new(&self.name));
        removed.map_err(VolumeError::at("remove", self.path.join(&self.name)))
    }
}

/// Opens a folder of ours; a link as last name is refused.
fn open_folder(path: &Path) -> Result<OwnedFd, VolumeError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(VolumeError::at("open", path))
}

/// The folder, locked.
fn locked(path: &Path, how: FlockOperation) -> Result<OwnedFd, VolumeError> {
    let folder = open_folder(path)?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(folder.as_fd(), how)).map_err(VolumeError::at("lock", path))?;
    Ok(folder)
}
