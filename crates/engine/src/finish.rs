//! `container-exited`: what a monitor has the command line do once its container has ended.

use crate::rm::RemoveError;
use crate::{ContainerId, Engine, pending};

/// The hidden command that a monitor runs, `stockade --data-root DIR --exec-root DIR [--runtime FILE] container-exited ID`:
/// it is to call [`finish`].
pub const COMMAND: &str = "container-exited";

/// Removes the container if it was asked for with `--rm`. One that is gone already is as good as finished.
///
/// # Errors
/// See [`RemoveError`].
pub fn finish(engine: &Engine, id: &ContainerId) -> Result<(), RemoveError> {
    pending::body((engine, id))
}
