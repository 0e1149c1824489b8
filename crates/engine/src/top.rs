//! `top`: the processes of a container, as `ps(1)` of the host shows them.

use crate::container::{ContainerError, NotRunning};
use crate::runtime::RuntimeError;
use crate::{ContainerId, Engine};

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// It does not run.
    #[error(transparent)]
    NotRunning(#[from] NotRunning),
    /// The runtime, or `ps`, whose options they are.
    #[error("cannot list the processes of container {}", id.short())]
    Runtime {
        /// The container.
        id: ContainerId,
        /// Why.
        source: RuntimeError,
    },
}

/// What `ps(1)` with `options` says of the container's processes: its head and a line for each, with the host's ids. Without options it
/// is `ps -ef`.
///
/// # Errors
/// See [`TopError`].
pub fn top(engine: &Engine, id: &ContainerId, options: &[String]) -> Result<String, TopError> {
    let state = engine.view(id)?.life.state;
    if !state.is_up() {
        return Err(NotRunning { id: id.clone(), state }.into());
    }
    let words: Vec<&str> = ["ps", id.as_str()].into_iter().chain(options.iter().map(String::as_str)).collect();
    engine.ask_runtime(id, &words).map_err(|source| TopError::Runtime { id: id.clone(), source })
}
