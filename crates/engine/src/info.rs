//! `info`: the machine, as far as it bears on containers.

use std::path::PathBuf;

use crate::{Engine, pending};

/// The machine and what is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The version of Stockade.
    pub version: String,
    /// The kernel's release.
    pub kernel: String,
    /// The machine's architecture, in the kernel's words.
    pub architecture: String,
    /// Processors that are online.
    pub processors: usize,
    /// Memory in bytes.
    pub memory: u64,
    /// The machine's name.
    pub hostname: String,
    /// 1 or 2.
    pub cgroup_version: u8,
    /// The Linux security modules that are active, in their order; empty if the kernel does not tell.
    pub security_modules: Vec<String>,
    /// `None` if containers are confined by AppArmor, else why not.
    pub apparmor_degradation: Option<String>,
    /// The seccomp actions that the kernel knows.
    pub seccomp_actions: Vec<String>,
    /// Whether containers get a time namespace.
    pub time_namespace: bool,
    /// The OCI runtime.
    pub runtime: PathBuf,
    /// The first line of what it says to `--version`, or why it says nothing.
    pub runtime_version: Result<String, String>,
    /// The data folder.
    pub data: PathBuf,
    /// The exec folder.
    pub exec: PathBuf,
    /// The type of the file system below the data folder, as `statfs(2)` numbers it, in words where it is well known.
    pub data_filesystem: String,
    /// How roots are made: `overlayfs`.
    pub storage: String,
    /// How many containers run.
    pub running: usize,
    /// How many do not.
    pub stopped: usize,
}

/// Why the machine could not be described.
#[derive(Debug, thiserror::Error)]
pub enum InfoError {
    /// The machine's facts.
    #[error(transparent)]
    Machine(#[from] crate::machine::MachineError),
    /// The containers.
    #[error(transparent)]
    List(#[from] crate::ps::ListError),
}

/// Describes the machine.
///
/// # Errors
/// See [`InfoError`]. A runtime that does not answer is none.
pub fn info(engine: &Engine) -> Result<Info, InfoError> {
    pending::body(engine)
}
