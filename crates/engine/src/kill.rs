//! `kill`: a signal for a container's first process.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use stockade_monitor::events::ContainerAction;
use stockade_monitor::restart::Meddling;

use crate::container::{ContainerError, NotRunning};
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
    #[error(transparent)]
    NotRunning(#[from] NotRunning),
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
/// As in Docker, a signal that may end the container (SIGKILL, its stop signal, or any if it has no stop signal) makes it be started
/// again no more, and makes a paused one go on; one that waits for its restart gets no signal and stays ended, and one that is being started is given up.
///
/// # Errors
/// See [`KillError`].
pub fn kill(engine: &Engine, id: &ContainerId, signal: Signal) -> Result<(), KillError> {
    let view = engine.view(id)?;
    let stop_signal = view.record.config.stop_signal.as_str();
    let ends = signal == Signal::KILL || stop_signal.is_empty() || parse_signal(stop_signal) == Ok(signal);
    if ends {
        stop_by(engine, id, signal, "kill")?;
    } else {
        send(engine, id, signal, Meddling::Signalled, "kill")?;
    }
    if signal == Signal::KILL {
        match wait_until(engine, id, Some(Instant::now() + PATIENCE)) {
            // That it removes itself is an end too.
            Ok(_) | Err(ContainerError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Sends it for the command `by`, so that the container ends. One that is being started, or started again, is given up by its monitor; where it is
/// past what that can stop it is signalled once it runs.
pub(crate) fn stop_by(engine: &Engine, id: &ContainerId, signal: Signal, by: &str) -> Result<(), KillError> {
    if !matches!(send(engine, id, signal, Meddling::Stopped, by)?, State::Starting | State::Restarting) {
        return Ok(());
    }
    let begun = engine.folder(id).and_then(|folder| folder.begun(Instant::now() + PATIENCE));
    match begun {
        Ok(Some(State::Running)) => send(engine, id, signal, Meddling::Stopped, by).map(drop),
        // One that removes itself is gone with its start.
        Ok(_) | Err(ContainerError::Missing(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Sends it for the command `by` and does not wait; who starts the container, or starts it again, heeds `meddling`. The state that it was found in:
/// one that is about to run gets no signal, and is no error where it is to be stopped, or is started again.
pub(crate) fn send(
    engine: &Engine,
    id: &ContainerId,
    signal: Signal,
    meddling: Meddling,
    by: &str,
) -> Result<State, KillError> {
    let view = engine.view(id)?;
    let state = view.life.state;
    let not_running = |state| KillError::from(NotRunning { id: id.clone(), state });
    if !state.is_up() && (state, meddling) != (State::Starting, Meddling::Stopped) {
        return Err(not_running(state));
    }
    engine.folder(id)?.meddle(meddling).map_err(ContainerError::from)?;
    engine.asks(id, signal, by);
    // Before it is sent: what dies of it must not be told of first.
    engine.happened(about(&view.record, &ContainerAction::Kill).with("signal", signal.as_raw().to_string()));
    if matches!(state, State::Starting | State::Restarting) {
        return Ok(state);
    }
    let sent = engine.call_runtime(id, &["kill", id.as_str(), &signal.as_raw().to_string()]);
    let failed = |source| KillError::Runtime { id: id.clone(), source };
    sent.or_else(|source| match engine.view(id)?.life.state {
        state if state.is_up() => Err(failed(source)),
        // It has ended meanwhile.
        state => Err(not_running(state)),
    })?;
    if state == State::Paused && meddling == Meddling::Stopped {
        let resumed = engine.call_runtime(id, &["resume", id.as_str()]);
        resumed.or_else(|source| match engine.view(id)?.life.state {
            State::Paused => Err(failed(source)),
            // It goes on, or has ended.
            _ => Ok(()),
        })?;
    }
    Ok(state)
}
