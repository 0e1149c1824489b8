//! One container's folder: opened, locked, and what it says of the container.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use serde::de::DeserializeOwned;
use stockade_monitor::restart::Meddling;
use stockade_monitor::state::{Phase, State as Told};
use stockade_storage::volumes::VolumeError;

use crate::files::{self, FileError};
use crate::freezer;
use crate::happened::note;
use crate::lifecycle::Refused;
use crate::record::{Life, Record, Short, VERSION, Versioned, now};
use crate::runtime::{PATIENCE, RuntimeError};
use crate::{ContainerId, Engine, State};

/// The record's file.
pub(crate) const RECORD: &str = "record.json";
/// The life's file; a container that was never started has none.
pub(crate) const LIFE: &str = "life.json";
/// The OCI configuration.
pub(crate) const CONFIG: &str = "config.json";
/// Locked by those that wait for the end of a container that removes itself.
pub(crate) const WAITERS: &str = "waiters.lock";

/// Made by who stops the container, removed by who starts it. An empty file: a disk that is full has room for it.
const STOPPED: &str = "stopped";
/// The same by who signals it.
const SIGNALLED: &str = "signalled";

/// Locked by who restarts the container: it does not remove itself meanwhile.
pub(crate) const RESTARTING: &str = "restarting.lock";

/// Locked by who changes the OCI configuration of a container that has a monitor.
const CONFIG_LOCK: &str = "config.lock";

/// How long whoever only looks at a container waits for who works on it.
const COURTESY: Duration = Duration::from_secs(2);
/// How long a process may take to die: a bound for what the kernel does in an instant.
const DYING: Duration = Duration::from_secs(2);
/// How often a lock is tried that cannot be waited for without a limit.
const PAUSE: Duration = Duration::from_millis(5);

/// Nothing can be done to it that needs its processes.
#[derive(Debug, thiserror::Error)]
#[error("container {} is not running: it is {state}", id.short())]
pub struct NotRunning {
    /// The container.
    pub id: ContainerId,
    /// Its state.
    pub state: State,
}

/// Why a container's folder cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// It is not there (any more).
    #[error("no such container: {}", .0.short())]
    Missing(ContainerId),
    /// A file or folder of it.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of it is damaged.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        source: serde_json::Error,
    },
    /// A record of another version of Stockade.
    #[error("{} has version {version}, which this version of Stockade does not know", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// The volumes of its own could not be removed.
    #[error("cannot remove the container's volumes")]
    Volumes(#[from] VolumeError),
    /// What it had of networks could not be taken back.
    #[error("cannot take back what container {} had of networks", id.short())]
    Networks {
        /// The container.
        id: ContainerId,
        /// Why not.
        source: Box<crate::network::NetworksError>,
    },
    /// Its files contradict each other.
    #[error("the state of container {} makes no sense", id.short())]
    State {
        /// The container.
        id: ContainerId,
        /// How.
        source: Refused,
    },
    /// The runtime could not remove what a dead monitor left. Its first process was killed.
    #[error("cannot remove what is left of container {}, in {} and its control group", id.short(), state.display())]
    Leftovers {
        /// The container.
        id: ContainerId,
        /// The runtime's folder of it.
        state: PathBuf,
        /// What the runtime said.
        source: RuntimeError,
    },
}

/// A container's folder, opened.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) id: ContainerId,
    pub(crate) path: PathBuf,
    pub(crate) fd: OwnedFd,
}

/// A container's folder, locked: nobody else starts, settles or removes the container meanwhile.
#[derive(Debug)]
pub(crate) struct Locked(pub(crate) Folder);

/// What a container is and where it is in its life.
#[derive(Clone, Debug)]
pub(crate) struct View<R = Record> {
    pub(crate) record: R,
    pub(crate) life: Life,
    /// The host's id of its first process, while it runs.
    pub(crate) pid: Option<i32>,
    /// The monitor, while it lives.
    pub(crate) monitor: Option<i32>,
    /// How many times the monitor has started it again.
    pub(crate) restarts: u32,
    /// Whether it should have a monitor and has none: then the rest of the view is not what is.
    pub(crate) lost: bool,
}

impl Engine {
    /// Opens the folder of the container `id`.
    pub(crate) fn folder(&self, id: &ContainerId) -> Result<Folder, ContainerError> {
        let path = self.containers().join(id.as_str());
        match files::open_folder(&path) {
            Ok(fd) => Ok(Folder { id: id.clone(), path, fd }),
            Err(Errno::NOENT) => Err(ContainerError::Missing(id.clone())),
            Err(errno) => Err(FileError::at("open", path)(errno).into()),
        }
    }

    /// What the container is; if its monitor was killed, what was left of it is removed first and its end written down. Whom or what that
    /// takes long is left to whoever comes next.
    pub(crate) fn view(&self, id: &ContainerId) -> Result<View, ContainerError> {
        self.view_by(id, Instant::now() + COURTESY)
    }

    /// The same until `deadline`.
    pub(crate) fn view_by(&self, id: &ContainerId, deadline: Instant) -> Result<View, ContainerError> {
        let folder = self.folder(id)?;
        let view = folder.view()?;
        if !view.lost {
            return Ok(view);
        }
        // What will be written down is known.
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(folder) = folder.lock_within(left)? else { return lost(view, id) };
        if self.hangs_by(&folder.0, deadline)? { lost(view, id) } else { self.settle(&folder) }
    }

    /// Removes what the runtime still has of a container whose monitor is dead; whether that takes longer than until `deadline`, which is a
    /// warning.
    pub(crate) fn hangs_by(&self, folder: &Folder, deadline: Instant) -> Result<bool, ContainerError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(true);
        }
        folder.wait_for_the_dying()?;
        match self.remove_leftovers_within(folder, left) {
            Err(ContainerError::Leftovers { source: error @ RuntimeError::Hangs { .. }, .. }) => {
                note(format!("what is left of container {} is still there: {error}", folder.id.short()));
                Ok(true)
            }
            removed => removed.map(|()| false),
        }
    }

    /// The same for a folder that is locked already, by whoever cannot go on without.
    pub(crate) fn settle(&self, folder: &Locked) -> Result<View, ContainerError> {
        let folder = &folder.0;
        let mut view = folder.view()?;
        if view.lost {
            // What it started ends with it, and not before it has ended altogether.
            folder.wait_for_the_dying()?;
            self.remove_leftovers(folder)?;
            self.give_back_networks(&folder.id)?;
            view = lost(view, &folder.id)?;
            match folder.write_life(&view.life) {
                // The next command finds the same again, and what frees the disk must not need it.
                Err(ContainerError::File(error)) if error.is_no_room() => {}
                written => written?,
            }
        }
        Ok(view)
    }

    /// Takes back what a container has of networks of which no monitor lives.
    pub(crate) fn give_back_networks(&self, id: &ContainerId) -> Result<(), ContainerError> {
        let released = self.release_networks(id);
        released.map_err(|source| ContainerError::Networks { id: id.clone(), source: Box::new(source) })
    }

    /// Removes what the runtime still has of a container whose monitor is dead. What runs of it is ended in any case.
    pub(crate) fn remove_leftovers(&self, folder: &Folder) -> Result<(), ContainerError> {
        self.remove_leftovers_within(folder, PATIENCE)
    }

    fn remove_leftovers_within(&self, folder: &Folder, patience: Duration) -> Result<(), ContainerError> {
        let id = &folder.id;
        let state = self.runtime_root().join(id.as_str());
        if !state.exists() {
            return Ok(());
        }
        let Err(source) = self.call_runtime_within(id, &["delete", "--force", id.as_str()], patience) else {
            return Ok(());
        };
        folder.kill_first()?;
        Err(ContainerError::Leftovers { id: id.clone(), state, source })
    }
}

/// The container after its monitor was found dead.
fn lost(view: View, id: &ContainerId) -> Result<View, ContainerError> {
    let life = view.life.lost(now()).map_err(|source| ContainerError::State { id: id.clone(), source })?;
    Ok(View { life, pid: None, monitor: None, lost: false, ..view })
}

impl Folder {
    /// The lock, `None` if somebody else has it for so long.
    pub(crate) fn lock_within(self, patience: Duration) -> Result<Option<Locked>, ContainerError> {
        let deadline = Instant::now() + patience;
        loop {
            match rustix::fs::flock(&self.fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return self.locked().map(Some),
                Err(Errno::WOULDBLOCK | Errno::INTR) if Instant::now() < deadline => std::thread::sleep(PAUSE),
                Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(None),
                Err(errno) => return Err(FileError::at("lock", &self.path)(errno).into()),
            }
        }
    }

    /// Waits for the lock.
    pub(crate) fn lock(self) -> Result<Locked, ContainerError> {
        let lock = || rustix::fs::flock(&self.fd, FlockOperation::LockExclusive);
        rustix::io::retry_on_intr(lock).map_err(FileError::at("lock", &self.path))?;
        self.locked()
    }

    /// The lock, `None` if somebody else has it.
    pub(crate) fn try_lock(self) -> Result<Option<Locked>, ContainerError> {
        match rustix::fs::flock(&self.fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => self.locked().map(Some),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(FileError::at("lock", &self.path)(errno).into()),
        }
    }

    /// Whoever had the lock before may have removed the container.
    fn locked(self) -> Result<Locked, ContainerError> {
        let ours = rustix::fs::fstat(&self.fd).map_err(FileError::at("look at", &self.path))?;
        match rustix::fs::stat(&self.path) {
            Ok(stat) if (stat.st_dev, stat.st_ino) == (ours.st_dev, ours.st_ino) => Ok(Locked(self)),
            Ok(_) | Err(Errno::NOENT) => Err(ContainerError::Missing(self.id)),
            Err(errno) => Err(FileError::at("look at", &self.path)(errno).into()),
        }
    }

    /// What its files say now.
    pub(crate) fn view(&self) -> Result<View, ContainerError> {
        // The lock first: what a monitor wrote before it let go of the lock is then read below.
        let lives = self.monitor_lives()?;
        self.view_of(self.record()?, &self.life()?, self.told()?, lives)
    }

    /// What the container is by what its files say, where its monitor's lock was looked at before.
    fn view_of<R>(
        &self,
        record: R,
        written: &Life,
        told: Option<Told>,
        lives: bool,
    ) -> Result<View<R>, ContainerError> {
        let life = written.with(told.as_ref().map(|told| &told.phase));
        let nonsense = |source| ContainerError::State { id: self.id.clone(), source };
        let mut life = life.map_err(nonsense)?;
        let restarts = told.as_ref().map(|told| told.restarts).unwrap_or_default();
        let pid = match &told {
            Some(Told { phase: Phase::Running { pid, .. }, .. }) if life.state == State::Running => Some(*pid),
            _ => None,
        };
        let monitor = told.filter(|_| lives).map(|told| told.monitor);
        let lost = life.needs_monitor() && !lives;
        if let Some(pid) = pid.filter(|_| lives) {
            let frozen = freezer::is_frozen(pid).map_err(FileError::at("see whether it is paused", &self.path))?;
            life = if frozen { life.paused().map_err(nonsense)? } else { life };
        }
        Ok(View { record, life, pid, monitor, restarts, lost })
    }

    /// Where it is in its life once nobody starts it any more, at `deadline` at the latest. One that is being started, or waits to be, is given up
    /// by its monitor, which was told so ([`Self::meddle`]), unless it runs before its monitor hears of it. `None` if that cannot be read.
    pub(crate) fn begun(&self, deadline: Instant) -> Result<Option<State>, ContainerError> {
        loop {
            let state = self.view().ok().map(|view| view.life.state);
            let goes_on = matches!(state, Some(State::Starting | State::Restarting));
            if !goes_on || !self.monitor_lives()? || Instant::now() >= deadline {
                return Ok(state);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The same for who lists many, without the monitor of one that has ended: where the end is written down, or told, neither the
    /// monitor's lock nor what it may still do is looked at.
    pub(crate) fn view_in_short(&self) -> Result<View<Short>, ContainerError> {
        let (record, life) = (self.short_record()?, self.life()?);
        let told = if life.needs_monitor() { self.told()? } else { None };
        let over = told.as_ref().map_or(!life.needs_monitor(), |told| told.phase.is_end());
        if over {
            return self.view_of(record, &life, told, false);
        }
        let lives = self.monitor_lives()?;
        self.view_of(record, &life, self.told()?, lives)
    }

    /// Where it is in its life, as far as the engine has written it down.
    fn life(&self) -> Result<Life, ContainerError> {
        Ok(self.json::<Life>(LIFE)?.unwrap_or_else(Life::new))
    }

    /// What it was made as.
    pub(crate) fn record(&self) -> Result<Record, ContainerError> {
        self.json(RECORD)?.ok_or_else(|| ContainerError::Missing(self.id.clone()))
    }

    /// The same, as far as `ps` shows it.
    pub(crate) fn short_record(&self) -> Result<Short, ContainerError> {
        self.json(RECORD)?.ok_or_else(|| ContainerError::Missing(self.id.clone()))
    }

    /// What its monitors have noted, line by line.
    pub(crate) fn troubles(&self) -> Result<Vec<String>, ContainerError> {
        let text = self.bytes(stockade_monitor::TROUBLES)?;
        Ok(String::from_utf8_lossy(&text.unwrap_or_default()).lines().map(str::to_owned).collect())
    }

    /// What its monitor has written.
    pub(crate) fn told(&self) -> Result<Option<Told>, ContainerError> {
        // A machine that went down before a file was written through leaves nothing of it, or zeros: it had told no end.
        let said = |content: &Vec<u8>| content.iter().any(|byte| *byte != 0);
        self.bytes(stockade_monitor::STATE)?
            .filter(said)
            .map(|content| self.parse(stockade_monitor::STATE, &content))
            .transpose()
    }

    /// Tells the monitor, and whoever brings containers back after a reboot, what somebody does to the container. That the latter cannot be
    /// told is a warning ([`crate::happened::untold`]).
    pub(crate) fn meddle(&self, meddling: Meddling) -> Result<(), FileError> {
        let (mark, signal) = match meddling {
            Meddling::None => return Ok(()),
            Meddling::Signalled => (SIGNALLED, Signal::USR2),
            Meddling::Stopped => (STOPPED, Signal::USR1),
        };
        if let Some(monitor) = self.monitor()? {
            match rustix::process::pidfd_send_signal(&monitor, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(FileError::at("tell the monitor of", &self.path)(errno)),
            }
        }
        // A full disk does not keep anybody from stopping or removing what fills it.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(&self.fd, mark, flags, Mode::RUSR | Mode::WUSR);
        if let Err(errno) = made.and_then(|_file| rustix::fs::fsync(&self.fd)) {
            note(format!(
                "cannot make {}, so that system resume may start it: {errno}",
                self.path.join(mark).display()
            ));
        }
        Ok(())
    }

    /// What somebody has done to the container since it was started.
    pub(crate) fn meddling(&self) -> Meddling {
        let there = |mark| rustix::fs::statat(&self.fd, mark, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        if there(STOPPED) {
            Meddling::Stopped
        } else if there(SIGNALLED) {
            Meddling::Signalled
        } else {
            Meddling::None
        }
    }

    /// Forgets it: the container is started.
    pub(crate) fn forget_meddling(&self) -> Result<(), FileError> {
        for mark in [STOPPED, SIGNALLED] {
            match rustix::fs::unlinkat(&self.fd, mark, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(FileError::at("remove", self.path.join(mark))(errno)),
            }
        }
        Ok(())
    }

    /// Whether a monitor holds its lock.
    pub(crate) fn monitor_lives(&self) -> Result<bool, ContainerError> {
        self.try_share(stockade_monitor::LOCK).map(|free| !free)
    }

    /// Waits until no monitor holds its lock; whether that is so by `deadline`.
    pub(crate) fn wait_for_monitor(&self, deadline: Option<Instant>) -> Result<bool, ContainerError> {
        let Some(deadline) = deadline else {
            let path = self.path.join(stockade_monitor::LOCK);
            if let Some(file) = self.open_lock(stockade_monitor::LOCK)? {
                let share = || rustix::fs::flock(&file, FlockOperation::LockShared);
                rustix::io::retry_on_intr(share).map_err(FileError::at("lock", path))?;
            }
            return Ok(true);
        };
        while self.monitor_lives()? {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(true)
    }

    /// Waits until the process that was the monitor is dead: the kernel lets go of its lock a moment before it ends its children.
    pub(crate) fn wait_for_the_dying(&self) -> Result<(), ContainerError> {
        let Some(monitor) = self.monitor()? else { return Ok(()) };
        let ended = || -> Result<usize, Errno> {
            let limit = Timespec { tv_sec: DYING.as_secs().cast_signed(), tv_nsec: 0 };
            rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&monitor, PollFlags::IN)], Some(&limit)))
        };
        ended().map_err(FileError::at("wait for the monitor of", &self.path))?;
        Ok(())
    }

    /// The process that is the last monitor, or is what is left of it; `None` if it is gone.
    pub(crate) fn monitor(&self) -> Result<Option<OwnedFd>, FileError> {
        let path = self.path.join(stockade_monitor::LOCK);
        let number = self.bytes(stockade_monitor::LOCK)?.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { return Ok(None) };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(FileError::at("open the process named in", path)(errno)),
        };
        // Its number may be another process' by now. A dying process has no words any more.
        let words = match std::fs::read(format!("/proc/{pid}/cmdline")) {
            Ok(words) => words,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => return Ok(None),
            Err(error) => return Err(FileError::at("read the words of the process named in", path)(error)),
        };
        let is_it = words.split(|byte| *byte == 0).nth(1) == Some(self.path.as_os_str().as_encoded_bytes());
        Ok((is_it || words.is_empty()).then_some(pidfd))
    }

    /// Waits until nobody else changes the OCI configuration; nobody does as long as this is held. A monitor that starts its container again must not wait
    /// for the folder's lock, which others hold for long (`export`).
    pub(crate) fn lock_config(&self) -> Result<OwnedFd, ContainerError> {
        let path = self.path.join(CONFIG_LOCK);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.fd, CONFIG_LOCK, flags, Mode::RUSR | Mode::WUSR);
        let file = file.map_err(FileError::at("open", &path))?;
        let lock = || rustix::fs::flock(&file, FlockOperation::LockExclusive);
        rustix::io::retry_on_intr(lock).map_err(FileError::at("lock", &path))?;
        Ok(file)
    }

    /// Whether nobody has the file `name` locked for himself.
    pub(crate) fn try_share(&self, name: &str) -> Result<bool, ContainerError> {
        let Some(file) = self.open_lock(name)? else { return Ok(true) };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(FileError::at("lock", self.path.join(name))(errno).into()),
        }
    }

    fn open_lock(&self, name: &str) -> Result<Option<OwnedFd>, FileError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(FileError::at("open", self.path.join(name))(errno)),
        }
    }

    /// Writes down where it is in its life. The folder is locked.
    pub(crate) fn write_life(&self, life: &Life) -> Result<(), ContainerError> {
        self.write(LIFE, life)
    }

    /// Replaces a file. The folder is locked.
    pub(crate) fn write<T: serde::Serialize>(&self, name: &str, value: &T) -> Result<(), ContainerError> {
        let path = self.path.join(name);
        let text = serde_json::to_vec(value).map_err(std::io::Error::from);
        let written = text.and_then(|text| files::replace(self.fd.as_fd(), name, &text));
        Ok(written.map_err(FileError::at("write", path))?)
    }

    /// A file of ours. Of one of another version nothing but the version is believed.
    fn json<T: DeserializeOwned + Versioned>(&self, name: &str) -> Result<Option<T>, ContainerError> {
        #[derive(serde::Deserialize)]
        struct Version {
            version: u64,
        }
        let Some(content) = self.bytes(name)? else { return Ok(None) };
        let parsed = self.parse::<T>(name, &content);
        let version = match &parsed {
            Ok(value) => value.version().into(),
            Err(_) => serde_json::from_slice(&content).map_or(u64::from(VERSION), |Version { version }| version),
        };
        if version != u64::from(VERSION) {
            return Err(ContainerError::Version { path: self.path.join(name), version });
        }
        parsed.map(Some)
    }

    /// A file as JSON; `None` if it is missing.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ContainerError> {
        self.bytes(name)?.map(|content| self.parse(name, &content)).transpose()
    }

    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, FileError> {
        files::read(self.fd.as_fd(), name).map_err(|error| FileError::at("read", self.path.join(name))(error))
    }

    fn parse<T: DeserializeOwned>(&self, name: &str, content: &[u8]) -> Result<T, ContainerError> {
        serde_json::from_slice(content).map_err(|source| ContainerError::Damaged { path: self.path.join(name), source })
    }
}
