//! `create`: a container from an image, made whole or not at all.

use std::io;
use std::path::PathBuf;

use crate::{ContainerId, ContainerName, Engine, Request, pending};

/// A container that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// What the user should see although it is no error, each one line.
    pub notices: Vec<String>,
}

/// Why there is no container. Nothing is left of it, but layers that were unpacked. Docker's exit code for all of these is 125.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The name is taken.
    #[error("the name {name} is in use by container {}; remove that one or choose another name", id.short())]
    NameInUse {
        /// The name.
        name: ContainerName,
        /// Who has it.
        id: ContainerId,
    },
    /// A file or folder of the engine's.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Makes a container that waits for its start: its folder with the record, the OCI configuration, and the folders of its root.
///
/// # Errors
/// See [`CreateError`].
pub fn create(engine: &Engine, request: &Request) -> Result<Created, CreateError> {
    pending::body((engine, request))
}
