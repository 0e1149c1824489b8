//! `stop`: asks a container to end, and kills it if it does not.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use stockade_monitor::events::ContainerAction;

use crate::container::ContainerError;
use crate::kill::{KillError, UnknownSignal, parse_signal, stop_by};
use crate::wait::wait_until;
use crate::{ContainerId, Engine};

/// How long a container has to end when nobody says: Docker's 10 seconds.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How a container is stopped; the default is Docker's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// `--signal`; otherwise the container's, otherwise the image's, otherwise SIGTERM.
    pub signal: Option<Signal>,
    /// `--timeout`.
    pub timeout: Timeout,
}

/// How long a container has to end before it is killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timeout {
    /// The container's own (`--stop-timeout`), or [`PATIENCE`].
    #[default]
    Usual,
    /// This long.
    After(Duration),
    /// As long as it takes (`--timeout -1`).
    Never,
}

impl Timeout {
    /// What the container was made with, where nothing else is said.
    fn or_the_containers(self, own: Option<i64>) -> Self {
        match (self, own.map(u64::try_from)) {
            (Self::Usual, Some(Ok(seconds))) => Self::After(Duration::from_secs(seconds)),
            (Self::Usual, Some(Err(_negative))) => Self::Never,
            (said, _) => said,
        }
    }
}

/// Why a container was not stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// It could not be signalled.
    #[error(transparent)]
    Kill(#[from] KillError),
    /// The image names a signal that there is not.
    #[error("the container's stop signal cannot be sent")]
    Signal(#[from] UnknownSignal),
    /// It was killed and does not end.
    #[error("container {} was killed and has not ended", .0.short())]
    DoesNotEnd(ContainerId),
}

/// Stops the container; one that does not run is as good as stopped. It is not started again by its restart policy.
///
/// # Errors
/// See [`StopError`].
pub fn stop(engine: &Engine, id: &ContainerId, how: Stop) -> Result<(), StopError> {
    let view = engine.view(id)?;
    let signal = match (how.signal, view.record.config.stop_signal.as_str()) {
        (Some(signal), _) => signal,
        (None, "") => Signal::TERM,
        (None, name) => parse_signal(name)?,
    };
    if !sent(stop_by(engine, id, signal, "stop"))? {
        return Ok(());
    }
    let deadline = match how.timeout.or_the_containers(view.record.config.stop_timeout) {
        Timeout::Usual => Some(Instant::now() + PATIENCE),
        Timeout::After(patience) => Instant::now().checked_add(patience),
        Timeout::Never => None,
    };
    let ended = ended(engine, id, deadline)?
        || !sent(stop_by(engine, id, Signal::KILL, "stop"))?
        || ended(engine, id, Some(Instant::now() + PATIENCE))?;
    if !ended {
        return Err(StopError::DoesNotEnd(id.clone()));
    }
    engine.happened_to(&view.record, &ContainerAction::Stop);
    Ok(())
}

/// Whether there was somebody to signal.
fn sent(outcome: Result<(), KillError>) -> Result<bool, KillError> {
    match outcome {
        Ok(()) => Ok(true),
        Err(KillError::NotRunning(_) | KillError::Container(ContainerError::Missing(_))) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether it has ended by then; that it removes itself is an end too.
fn ended(engine: &Engine, id: &ContainerId, deadline: Option<Instant>) -> Result<bool, ContainerError> {
    match wait_until(engine, id, deadline) {
        Ok(code) => Ok(code.is_some()),
        Err(ContainerError::Missing(_)) => Ok(true),
        Err(error) => Err(error),
    }
}
