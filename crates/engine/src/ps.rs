//! `ps`: the containers in short.

use std::collections::BTreeMap;

use crate::lifecycle::State;
use crate::{ContainerId, ContainerName, Engine, pending};

/// A container in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// The image's name, as it was asked for.
    pub image: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// When it was made: RFC 3339, UTC.
    pub created: String,
    /// Where it is in its life.
    pub state: State,
    /// The host's id of its first process, while it runs.
    pub pid: Option<i32>,
    /// Docker's exit code, once it has ended or failed.
    pub exit_code: Option<u8>,
    /// What went wrong, if something did.
    pub error: Option<String>,
    /// When it was last started.
    pub started: Option<String>,
    /// When it ended.
    pub finished: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Why it could not be read, for a container whose record is damaged: then all but the id is empty.
    pub damaged: Option<String>,
}

/// Which containers are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that run.
    Running,
    /// All.
    All,
}

/// Why containers could not be listed.
#[derive(Debug, thiserror::Error)]
#[error("read the folder {}", path.display())]
pub struct ListError {
    /// The folder.
    pub path: std::path::PathBuf,
    /// What the kernel said.
    pub source: std::io::Error,
}

/// The containers, the newest first. One that lost its monitor is settled on the way; one whose record cannot be read is
/// listed with its id and the reason.
///
/// # Errors
/// If the folder of containers cannot be read.
pub fn list(engine: &Engine, which: Which) -> Result<Vec<Summary>, ListError> {
    pending::body((engine, which))
}
