//! `rm`: removes a container and everything of it.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use rustix::process::Signal;
use stockade_monitor::events::ContainerAction;
use stockade_monitor::restart::Meddling;
use stockade_storage::ContainerRoot;

use crate::container::{ContainerError, Folder, Locked, RECORD, WAITERS};
use crate::engine::remove_tree;
use crate::files::FileError;
use crate::lifecycle::{Event, State};
use crate::record::Record;
use crate::volume_mounts::{OWN, PARTS};
use crate::{ContainerId, Engine};

/// How long a container's runtime may take to kill it, and its monitor to end once it was killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the monitor of a killed container may take to end by itself: longer than it waits for a runtime that hangs.
const ENDING: Duration = Duration::from_secs(30);
/// How long those may take that wait for the exit code of a container that removes itself.
const COURTESY: Duration = Duration::from_secs(2);

/// What happens to a container that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// It is refused.
    Refuse,
    /// It is killed first, and a container whose record is damaged is removed too (`--force`).
    Kill,
}

/// What happens to the volumes that nobody gave a name and no other container has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnVolumes {
    /// They stay, unless the container was asked for with `--rm`.
    Keep,
    /// They are removed with the container (`--volumes`).
    Remove,
}

/// Why a container is still there.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// Its networks.
    #[error(transparent)]
    Network(#[from] crate::network::NetworksError),
    /// It runs.
    #[error("cannot remove container {}: container is {state}: {}, or remove it by force", id.short(), first(*state))]
    Running {
        /// The container.
        id: ContainerId,
        /// Its state.
        state: State,
    },
    /// It was killed and does not end.
    #[error("container {} was killed and has not ended", id.short())]
    DoesNotEnd {
        /// The container.
        id: ContainerId,
    },
    /// Its monitor could not be killed.
    #[error("cannot kill the monitor of container {}", id.short())]
    Monitor {
        /// The container.
        id: ContainerId,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// What is to be done first, in Docker's words.
fn first(state: State) -> &'static str {
    if state == State::Paused { "container is paused and must be unpaused first" } else { "stop it first" }
}

/// Removes the container: its folder, name and log, and what the runtime knows of it.
///
/// # Errors
/// See [`RemoveError`]. What is half removed is no container any more, and the next command goes on removing it.
pub fn remove(engine: &Engine, id: &ContainerId, force: Force, own: OwnVolumes) -> Result<(), RemoveError> {
    if force == Force::Kill {
        end(engine, id)?;
    }
    let folder = engine.folder(id)?;
    refuse_what_runs(&folder)?;
    // A monitor that has let go of its lock may have an errand left, for which the container must be there.
    folder.wait_for_the_dying()?;
    remove_ended(engine, id, force, own)
}

/// The same, without waiting for a monitor that waits for the caller.
pub(crate) fn remove_ended(
    engine: &Engine,
    id: &ContainerId,
    force: Force,
    own: OwnVolumes,
) -> Result<(), RemoveError> {
    let folder = engine.folder(id)?.lock()?;
    let view = match engine.settle(&folder) {
        Ok(view) => view,
        // Whoever forces it wants it gone, whatever its files say.
        Err(ContainerError::Damaged { .. } | ContainerError::Version { .. } | ContainerError::State { .. })
            if force == Force::Kill && !folder.0.monitor_lives()? =>
        {
            // The name of a record that cannot be read is free once the folder is gone.
            let record = folder.0.read::<Record>(RECORD).unwrap_or_default();
            return Ok(engine.discard(&folder, record.as_ref(), own)?);
        }
        Err(error) => return Err(error.into()),
    };
    if view.life.state.after(Event::Remove).is_err() {
        return Err(RemoveError::Running { id: id.clone(), state: view.life.state });
    }
    // An ended container's monitor may have an errand left, which the runtime's last words are part of.
    if !folder.0.wait_for_monitor(Some(Instant::now() + PATIENCE))? {
        return Err(RemoveError::DoesNotEnd { id: id.clone() });
    }
    Ok(engine.discard(&folder, Some(&view.record), own)?)
}

/// Refuses a container that has a monitor and needs one, without waiting for whoever starts it. What cannot be read is for who has the lock.
fn refuse_what_runs(folder: &Folder) -> Result<(), RemoveError> {
    match folder.view() {
        Ok(view) if !view.lost && view.life.state.after(Event::Remove).is_err() => {
            Err(RemoveError::Running { id: folder.id.clone(), state: view.life.state })
        }
        _ => Ok(()),
    }
}

/// Ends whatever runs of the container: its first process, and with it all that its monitor and the runtime can reach; where that
/// does not help the monitor, whose place the next command then takes.
fn end(engine: &Engine, id: &ContainerId) -> Result<(), RemoveError> {
    let folder = engine.folder(id)?;
    if !folder.monitor_lives()? {
        return Ok(());
    }
    folder.meddle(Meddling::Stopped).map_err(ContainerError::from)?;
    let state = folder.begun(Instant::now() + PATIENCE)?;
    // Otherwise its monitor has given it up.
    if !matches!(state, Some(State::Starting | State::Restarting)) {
        kill_what_runs(engine, &folder, state)?;
    }
    // What counts is whether its monitor ends.
    if folder.wait_for_monitor(Some(Instant::now() + ENDING))? {
        return Ok(());
    }
    kill_monitor(&folder)?;
    match folder.wait_for_monitor(Some(Instant::now() + PATIENCE))? {
        true => Ok(()),
        false => Err(RemoveError::DoesNotEnd { id: id.clone() }),
    }
}

/// Kills the container by its runtime, and its first process where that does not work.
fn kill_what_runs(engine: &Engine, folder: &Folder, state: Option<State>) -> Result<(), RemoveError> {
    let id = &folder.id;
    engine.asks(id, Signal::KILL, "rm --force");
    let killed = engine.call_runtime_within(id, &["kill", id.as_str(), "KILL"], PATIENCE);
    if killed.is_err() {
        // A refusal may mean that it has ended by itself: then there is nobody.
        folder.kill_first()?;
    }
    if state == Some(State::Paused) && killed.is_ok() {
        // Where the kill has made it go on this is refused.
        drop(engine.call_runtime_within(id, &["resume", id.as_str()], PATIENCE));
    }
    Ok(())
}

/// Kills the container's monitor, if there is one. What the monitor executes dies with it.
fn kill_monitor(folder: &Folder) -> Result<(), RemoveError> {
    let Some(monitor) = folder.monitor().map_err(ContainerError::from)? else { return Ok(()) };
    match rustix::process::pidfd_send_signal(&monitor, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(RemoveError::Monitor { id: folder.id.clone(), source: errno.into() }),
    }
}

impl Engine {
    /// Takes a container that does not run from its place, at once, and then apart.
    pub(crate) fn discard(
        &self,
        folder: &Locked,
        record: Option<&Record>,
        own: OwnVolumes,
    ) -> Result<(), ContainerError> {
        let id = folder.0.id.clone();
        self.remove_leftovers(&folder.0)?;
        self.give_back_networks(&id)?;
        let share = self.share_unfinished()?;
        let removes_itself = record.is_some_and(|record| record.host_config.auto_remove);
        if removes_itself {
            wait_for_waiters(folder)?;
        }
        if own == OwnVolumes::Keep && !removes_itself {
            self.keep_own_volumes(folder)?;
        }
        unmount(&ContainerRoot::at(&folder.0.path).merged)?;
        unmount(&folder.0.path.join(PARTS))?;
        let place = self.unfinished().join(id.as_str());
        let moved = rustix::fs::renameat(CWD, &folder.0.path, CWD, &place);
        moved.map_err(FileError::at("move the folder to", &place))?;
        if let Some(record) = record {
            self.drop_name(&record.name, &id)?;
            self.happened_to(record, &ContainerAction::Destroy);
        }
        self.remove_own_volumes(&place)?;
        remove_tree(&share, &self.unfinished(), id.as_str())?;
        Ok(self.release_ids(&id)?)
    }

    /// Lets the volumes that are the container's own stay when it goes.
    fn keep_own_volumes(&self, folder: &Locked) -> Result<(), ContainerError> {
        match rustix::fs::unlinkat(&folder.0.fd, OWN, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(FileError::at("remove", folder.0.path.join(OWN))(errno).into()),
        }
    }
}

/// Takes what is mounted at `place`, of the container's root and volumes, away in this mount namespace: in a monitor's, whose last
/// errand is executed there. On the host there is nothing to take.
fn unmount(place: &Path) -> Result<(), ContainerError> {
    match rustix::mount::unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        // EINVAL: nothing is mounted there.
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(errno) => Err(FileError::at("unmount", place)(errno).into()),
    }
}

/// Gives those that wait for the container's end a moment to read its exit code, which goes with the folder.
fn wait_for_waiters(folder: &Locked) -> Result<(), ContainerError> {
    let path = folder.0.path.join(WAITERS);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&folder.0.fd, WAITERS, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(FileError::at("open", path)(errno).into()),
    };
    let deadline = Instant::now() + COURTESY;
    while rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
