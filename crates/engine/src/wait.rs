//! `wait`: the exit code of a container, when it ends.

use std::time::Instant;

use rustix::fs::{FlockOperation, Mode, OFlags};
use stockade_monitor::restart::RestartPolicy;

use crate::container::{ContainerError, WAITERS};
use crate::files::FileError;
use crate::lifecycle::State;
use crate::watch::Watch;
use crate::{ContainerId, Engine};

/// Why the end was not waited for.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
}

/// Waits until the container's program ends, and returns its exit code; that of the last run for one that does not run, and 0 for one
/// that was never started. That its restart policy starts it again does not matter, as in Docker.
///
/// # Errors
/// See [`WaitError`].
pub fn wait(engine: &Engine, id: &ContainerId) -> Result<u8, WaitError> {
    let before = engine.view(id)?;
    if before.record.host_config.restart_policy.policy() == RestartPolicy::No {
        return Ok(wait_until(engine, id, None)?.unwrap_or_default());
    }
    let folder = engine.folder(id)?;
    // Watched before it is looked at: nothing is missed in between.
    let mut watch = Watch::new(&folder).map_err(FileError::at("watch", &folder.path)).map_err(ContainerError::from)?;
    loop {
        let now = engine.view(id)?;
        if now.life.state == State::Restarting && now.restarts > before.restarts {
            return Ok(now.life.end.map(|end| end.code).unwrap_or_default());
        }
        // Its monitor has written the end down, or never will, and is about to go.
        if !now.life.needs_monitor() {
            return Ok(wait_until(engine, id, None)?.unwrap_or_default());
        }
        let waited = watch.wait(None, None).map_err(FileError::at("watch", &folder.path));
        waited.map_err(ContainerError::from)?;
    }
}

/// Waits until nobody is at the container any more, until `deadline`; the last exit code, `None` if it still runs then.
pub(crate) fn wait_until(
    engine: &Engine,
    id: &ContainerId,
    deadline: Option<Instant>,
) -> Result<Option<u8>, ContainerError> {
    let folder = engine.folder(id)?;
    let path = folder.path.join(WAITERS);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&folder.fd, WAITERS, flags, Mode::RUSR | Mode::WUSR)
        .map_err(FileError::at("open", &path))
    {
        Ok(file) => Some(file),
        // Whoever waits on a full disk may find no code where the container removes itself.
        Err(error) if error.is_no_room() => None,
        Err(error) => return Err(error.into()),
    };
    // Held until the code is read: whoever removes a container that removes itself waits a moment for it.
    if let Some(file) = &file {
        let share = || rustix::fs::flock(file, FlockOperation::LockShared);
        rustix::io::retry_on_intr(share).map_err(FileError::at("lock", &path))?;
    }
    if !folder.wait_for_monitor(deadline)? {
        return Ok(None);
    }
    let view = folder.view()?;
    let view = if view.lost { engine.view(id)? } else { view };
    Ok(Some(view.life.end.map(|end| end.code).unwrap_or_default()))
}
