//! `wait`: the exit code of a container, when it ends.

use std::time::Instant;

use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::container::{ContainerError, WAITERS};
use crate::files::FileError;
use crate::{ContainerId, Engine};

/// Why the end was not waited for.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
}

/// Waits until the container does not run, and returns its last exit code; 0 for one that was never started.
///
/// # Errors
/// See [`WaitError`].
pub fn wait(engine: &Engine, id: &ContainerId) -> Result<u8, WaitError> {
    Ok(wait_until(engine, id, None)?.unwrap_or_default())
}

/// The same, until `deadline`; `None` if it still runs then.
pub(crate) fn wait_until(
    engine: &Engine,
    id: &ContainerId,
    deadline: Option<Instant>,
) -> Result<Option<u8>, ContainerError> {
    let folder = engine.folder(id)?;
    let path = folder.path.join(WAITERS);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&folder.fd, WAITERS, flags, Mode::RUSR | Mode::WUSR);
    let file = file.map_err(FileError::at("open", &path))?;
    // Held until the code is read: whoever removes a container that removes itself waits a moment for it.
    let share = || rustix::fs::flock(&file, FlockOperation::LockShared);
    rustix::io::retry_on_intr(share).map_err(FileError::at("lock", &path))?;
    if !folder.wait_for_monitor(deadline)? {
        return Ok(None);
    }
    let view = folder.view()?;
    let view = if view.lost { engine.view(id)? } else { view };
    Ok(Some(view.life.end.map(|end| end.code).unwrap_or_default()))
}
