//! `kill`: a signal for a container's first process.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use stockade_monitor::events::ContainerAction;

use crate::container::ContainerError;
use crate::happened::about;
use crate::lifecycle::State;
use crate::runtime::RuntimeError;
use crate::wait::wait_until;
use crate::{ContainerId, Engine};

/// How long a killed container is waited for: Docker's 10 seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a signal was not sent.
#[derive(Debug, thiserror::Error)]
pub enum KillError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// It does not run.
    #[error("container {} is not running: it is {state}", id.short())]
    NotRunning {
        /// The container.
        id: ContainerId,
        /// Its state.
        state: State,
    },
    /// The runtime did not send it.
    #[error("cannot signal container {}", id.short())]
    Runtime {
        /// The container.
        id: ContainerId,
        /// Why.
        source: RuntimeError,
    },
}

/// A text that is no signal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid signal: {0}")]
pub struct UnknownSignal(pub String);

/// The signal that `text` names: with or without `SIG`, in either case, a number, `RTMIN+n` or `RTMAX-n`.
///
/// # Errors
/// [`UnknownSignal`].
pub fn parse_signal(text: &str) -> Result<Signal, UnknownSignal> {
    stockade_kernel::signal::by_name(text).ok_or_else(|| UnknownSignal(text.to_owned()))
}

/// Sends the signal to the container's first process. After SIGKILL its end is waited for, at most ten seconds.
///
/// # Errors
/// See [`KillError`].
pub fn kill(engine: &Engine, id: &ContainerId, signal: Signal) -> Result<(), KillError> {
    send(engine, id, signal, "kill")?;
    if signal == Signal::KILL {
        match wait_until(engine, id, Some(Instant::now() + PATIENCE)) {
            // That it removes itself is an end too.
            Ok(_) | Err(ContainerError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Sends it for the command `by` and does not wait.
pub(crate) fn send(engine: &Engine, id: &ContainerId, signal: Signal, by: &str) -> Result<(), KillError> {
    let view = engine.view(id)?;
    let state = view.life.state;
    let not_running = |state| KillError::NotRunning { id: id.clone(), state };
    if state != State::Running {
        return Err(not_running(state));
    }
    engine.asks(id, signal, by);
    // Before it is sent: what dies of it must not be told of first.
    engine.happened(about(&view.record, &ContainerAction::Kill).with("signal", signal.as_raw().to_string()));
    let sent = engine.call_runtime(id, &["kill", id.as_str(), &signal.as_raw().to_string()]);
    sent.or_else(|source| match engine.view(id)?.life.state {
        State::Running => Err(KillError::Runtime { id: id.clone(), source }),
        // It has ended meanwhile.
        state => Err(not_running(state)),
    })
}
