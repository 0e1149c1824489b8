//! `restart`: [`stop`](fn@crate::stop) and then [`start`](fn@crate::start).

use rustix::fs::{FlockOperation, Mode, OFlags};
use stockade_monitor::events::ContainerAction;

use crate::container::{ContainerError, RESTARTING};
use crate::files::FileError;
use crate::network::NetworksError;
use crate::start::StartError;
use crate::stop::{Stop, StopError};
use crate::{ContainerId, Engine};

/// Why a container was not restarted.
#[derive(Debug, thiserror::Error)]
pub enum RestartError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// It was not stopped, and goes on.
    #[error(transparent)]
    Stop(#[from] StopError),
    /// It was stopped and did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The same, and what it had of networks could not be given back.
    #[error(transparent)]
    Network(#[from] NetworksError),
}

/// Stops the container, if it runs, and starts it. One that removes itself when it ends does not do so in between, and what it has of networks,
/// addresses and ports, stays its own.
///
/// # Errors
/// See [`RestartError`].
pub fn restart(engine: &Engine, id: &ContainerId, how: Stop) -> Result<(), RestartError> {
    let folder = engine.folder(id)?;
    let path = folder.path.join(RESTARTING);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&folder.fd, RESTARTING, flags, Mode::RUSR | Mode::WUSR);
    let file = file.map_err(FileError::at("open", &path)).map_err(ContainerError::from)?;
    let lock = || rustix::fs::flock(&file, FlockOperation::LockExclusive);
    rustix::io::retry_on_intr(lock).map_err(FileError::at("lock", &path)).map_err(ContainerError::from)?;
    crate::stop(engine, id, how)?;
    if let Err(error) = crate::start(engine, id) {
        // What its monitor has left to it.
        engine.release_networks_of(&engine.folder(id)?.lock()?)?;
        return Err(error.into());
    }
    if let Ok(view) = engine.view(id) {
        engine.happened_to(&view.record, &ContainerAction::Restart);
    }
    Ok(())
}
