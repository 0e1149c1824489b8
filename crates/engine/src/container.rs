//! One container's folder: opened, locked, its record read.

use std::io;
use std::path::PathBuf;

use crate::ContainerId;

/// Why a container's folder cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// It is not there (any more).
    #[error("no such container: {}", .0.short())]
    Missing(ContainerId),
    /// A file or folder of it.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of it is damaged.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        source: serde_json::Error,
    },
    /// A record of another version of Stockade.
    #[error("{} has version {version}, which this version of Stockade does not know", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The runtime could not remove what a dead monitor left.
    #[error("cannot remove what is left of container {}: {message}", id.short())]
    Leftovers {
        /// The container.
        id: ContainerId,
        /// What the runtime said.
        message: String,
    },
}
