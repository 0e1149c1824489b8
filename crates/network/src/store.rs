//! What is remembered: networks on the disk, and who has which address of them while it runs.
//!
//! `<data>/networks/ID/network.json` is a network, whole: it is made in `networks/.unfinished` and gets its place by rename; one that is
//! removed is renamed back there first. `<exec>/networks/ID/CONTAINER,ADDRESS,...` is an endpoint. Its file's name says which
//! addresses are taken, so that they are taken and given back at one instant. The exec folder is gone after a reboot, as are all
//! containers that ran.
//!
//! Two locks (`flock(2)`): whoever makes or removes a network holds the folder `networks` alone, and whoever makes an endpoint in
//! share, so that no network goes meanwhile. Endpoints of one network change under the lock of that network's folder below
//! `<exec>/networks`.

mod endpoints;
mod files;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FlockOperation, RenameFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use stockade_kernel::resolve;

use crate::addresses::AddressError;
use crate::model::{Network, NetworkId, NetworkName};

pub use endpoints::{Lease, Wish};

/// The version of `network.json`.
const VERSION: u32 = 1;
/// What is known of a network.
const RECORD: &str = "network.json";
/// Where networks are made and taken apart.
const UNFINISHED: &str = ".unfinished";
/// Locked by whoever makes the machine's rules what the endpoints say.
const RULES: &str = ".rules";

/// Why networks cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
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
    #[error("{} is damaged; repair or remove it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        source: serde_json::Error,
    },
    /// A record of another version of Stockade.
    #[error("{} is not of the version of networks that this Stockade knows", .0.display())]
    Version(PathBuf),
    /// There is no such network (any more).
    #[error("network {0} not found")]
    Missing(String),
    /// An address.
    #[error("cannot give container {} an address of network {network}", container.get(..12).unwrap_or(container))]
    Address {
        /// The network.
        network: NetworkName,
        /// The container's id.
        container: String,
        /// Why not.
        source: AddressError,
    },
    /// An address of a version that the network has not.
    #[error("network {network} has no {family} addresses")]
    NoFamily {
        /// The network.
        network: NetworkName,
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
}

impl StoreError {
    /// For `map_err`.
    pub(crate) fn at<E: Into<io::Error>>(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(E) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::File { action, path, source: source.into() }
    }
}

/// A network as it is written down.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    network: Network,
}

/// The networks of one data folder.
#[derive(Clone, Debug)]
pub struct Networks {
    /// `<data>/networks`.
    path: PathBuf,
    /// `<exec>/networks`.
    live: PathBuf,
}

/// No network is removed while this lives.
#[derive(Debug)]
pub struct Share {
    networks: Networks,
    _lock: OwnedFd,
}

/// Nobody else makes or removes a network, or makes an endpoint, while this lives.
#[derive(Debug)]
pub struct Alone {
    networks: Networks,
    _lock: OwnedFd,
}

impl Networks {
    /// Opens the networks, making the folders (mode 0700) where they are missing, and removes what was left half made or half
    /// removed, unless somebody is at it right now.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn open(data: &Path, exec: &Path) -> Result<Self, StoreError> {
        let networks = Self { path: data.join("networks"), live: exec.join("networks") };
        let unfinished = networks.path.join(UNFINISHED);
        for path in [&networks.path, &unfinished, &networks.live] {
            files::make_folder(path)?;
        }
        networks.clear(&unfinished)?;
        Ok(networks)
    }

    /// The same, but nothing is made where there never was a network.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn existing(data: &Path, exec: &Path) -> Result<Option<Self>, StoreError> {
        let path = data.join("networks");
        match path.symlink_metadata() {
            Ok(_) => Self::open(data, exec).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::at("read", &path)(error)),
        }
    }

    /// Removes what killed processes left.
    fn clear(&self, unfinished: &Path) -> Result<(), StoreError> {
        let mut names = std::fs::read_dir(unfinished).map_err(StoreError::at("read", unfinished))?.peekable();
        if names.peek().is_none() {
            return Ok(());
        }
        let folder = files::open_folder(&self.path)?;
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(()),
            Err(errno) => return Err(StoreError::at("lock", &self.path)(errno)),
        }
        let inside = files::open_folder(unfinished)?;
        for entry in names {
            let name = entry.map_err(StoreError::at("read", unfinished))?.file_name();
            resolve::remove_tree(&inside, &name).map_err(StoreError::at("remove", unfinished.join(&name)))?;
        }
        Ok(())
    }

    fn folder(&self, id: &NetworkId) -> PathBuf {
        self.path.join(id.as_str())
    }

    /// Keeps networks from being removed.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn share(&self) -> Result<Share, StoreError> {
        Ok(Share { networks: self.clone(), _lock: files::locked(&self.path, FlockOperation::LockShared)? })
    }

    /// Waits until nobody makes an endpoint, and keeps everybody from it.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn alone(&self) -> Result<Alone, StoreError> {
        Ok(Alone { networks: self.clone(), _lock: files::locked(&self.path, FlockOperation::LockExclusive)? })
    }

    /// The lock of the machine's rules: whoever has changed endpoints takes it, reads them all, and makes the rules say the same.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn rules(&self) -> Result<OwnedFd, StoreError> {
        let path = self.live.join(RULES);
        files::make_folder(&path)?;
        files::locked(&path, FlockOperation::LockExclusive)
    }

    /// The network with that id, if there is one.
    ///
    /// # Errors
    /// If its record cannot be read.
    pub fn find(&self, id: &NetworkId) -> Result<Option<Network>, StoreError> {
        let path = self.folder(id).join(RECORD);
        let Some(text) = files::read(&path)? else { return Ok(None) };
        match serde_json::from_slice::<Written>(&text) {
            Ok(written) if written.version == VERSION => Ok(Some(written.network)),
            Ok(_) => Err(StoreError::Version(path)),
            Err(source) => Err(StoreError::Damaged { path, source }),
        }
    }

    /// All networks, by name.
    ///
    /// # Errors
    /// If the folder or a record cannot be read.
    pub fn list(&self) -> Result<Vec<Network>, StoreError> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(StoreError::at("read", &self.path))? {
            let name = entry.map_err(StoreError::at("read", &self.path))?.file_name();
            // What cannot be an id is no network of ours.
            let id = name.to_str().and_then(|name| name.parse().ok());
            // One that is not there any more was removed meanwhile.
            found.extend(id.map(|id| self.find(&id)).transpose()?.flatten());
        }
        found.sort_by(|one: &Network, other| one.name.cmp(&other.name));
        Ok(found)
    }
}

impl Alone {
    /// Writes the network down: from then on it is there. That its name and its addresses are free was seen under this lock.
    ///
    /// # Errors
    /// [`StoreError::File`]; then nothing is left but what the next opening removes.
    pub fn create(&self, network: &Network) -> Result<(), StoreError> {
        let making = self.networks.path.join(UNFINISHED).join(network.id.as_str());
        files::make_folder(&making)?;
        let path = making.join(RECORD);
        let written = Written { version: VERSION, network: network.clone() };
        let text = serde_json::to_vec(&written).map_err(io::Error::from).map_err(StoreError::at("write", &path))?;
        files::write_new(&path, &text)?;
        let folder = files::open_folder(&making)?;
        rustix::fs::fsync(&folder).map_err(StoreError::at("synchronise", &making))?;
        let place = self.networks.folder(&network.id);
        let moved = rustix::fs::renameat_with(CWD, &making, CWD, &place, RenameFlags::NOREPLACE);
        moved.map_err(StoreError::at("make the folder", place))
    }

    /// Removes the network, of which no endpoint is left, as was seen under this lock.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; [`StoreError::File`], then it may be gone, and what is left is removed when networks are opened next.
    pub fn remove(&self, id: &NetworkId) -> Result<(), StoreError> {
        let unfinished = self.networks.path.join(UNFINISHED);
        let place = self.networks.folder(id);
        match rustix::fs::renameat(CWD, &place, CWD, unfinished.join(id.as_str())) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Err(StoreError::Missing(id.short().to_owned())),
            Err(errno) => return Err(StoreError::at("take away", place)(errno)),
        }
        for (folder, path) in [
            (unfinished.as_path(), unfinished.join(id.as_str())),
            (&self.networks.live, self.networks.live.join(id.as_str())),
        ] {
            match resolve::remove_tree(files::open_folder(folder)?, id.as_str()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::at("remove", path)(error)),
            }
        }
        Ok(())
    }
}
