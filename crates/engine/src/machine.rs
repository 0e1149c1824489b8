//! The facts of this machine that a container's posture depends on.

use std::io;
use std::path::PathBuf;

/// Why the machine could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A file of the kernel's could not be read, or a folder walked.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file of the kernel's says something unknown.
    #[error("{} says {text:?}, which is unknown", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What it says.
        text: String,
    },
    /// The capabilities of this process could not be read.
    #[error("read the capabilities of this process")]
    Capabilities(#[source] io::Error),
    /// AppArmor could not be asked.
    #[error("ask the kernel about AppArmor")]
    AppArmor(#[source] io::Error),
}
