//! `stop`: asks a container to end, and kills it if it does not.

use std::time::Duration;

use rustix::process::Signal;

use crate::kill::KillError;
use crate::wait::WaitError;
use crate::{ContainerId, Engine, pending};

/// How long a container has to end when nobody says: Docker's 10 seconds.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How a container is stopped; the default is Docker's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// `--signal`; otherwise the image's, otherwise SIGTERM.
    pub signal: Option<Signal>,
    /// `--timeout`.
    pub timeout: Timeout,
}

/// How long a container has to end before it is killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timeout {
    /// [`PATIENCE`].
    #[default]
    Usual,
    /// This long.
    After(Duration),
    /// As long as it takes (`--timeout -1`).
    Never,
}

/// Why a container was not stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// It could not be signalled.
    #[error(transparent)]
    Kill(#[from] KillError),
    /// Its end could not be waited for.
    #[error(transparent)]
    Wait(#[from] WaitError),
}

/// Stops the container; one that does not run is as good as stopped.
///
/// # Errors
/// See [`StopError`].
pub fn stop(engine: &Engine, id: &ContainerId, how: Stop) -> Result<(), StopError> {
    pending::body((engine, id, how))
}
