//! How often a group ran into its walls, and waiting until it does.

use std::os::fd::AsRawFd;

use rustix::event::{EventfdFlags, PollFd, PollFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use crate::controller::Controllers;
use crate::files::{Directory, FileError};
use crate::group::Group;
use crate::layout::Version;
use crate::stats::{keyed, number, value};

/// Counters since the group was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// How often memory could not be had within the limit. v1 counts each time the limit was met.
    pub oom: u64,
    /// How many processes the OOM killer took.
    pub oom_kill: u64,
    /// How often a fork failed at the limit on tasks.
    pub pids_max: u64,
}

impl Events {
    /// Reads the counters in the groups of the two controllers, as far as they are there.
    pub(crate) fn read(memory: Option<(Version, &Directory)>, pids: Option<&Directory>) -> Result<Self, FileError> {
        let mut events = Self::default();
        match memory {
            Some((Version::V1, directory)) => {
                events.oom = number(directory, "memory.failcnt")?;
                events.oom_kill = value(&keyed(directory, "memory.oom_control")?, "oom_kill");
            }
            Some((Version::V2, directory)) => {
                let map = keyed(directory, "memory.events")?;
                (events.oom, events.oom_kill) = (value(&map, "oom"), value(&map, "oom_kill"));
            }
            None => {}
        }
        if let Some(directory) = pids {
            events.pids_max = value(&keyed(directory, "pids.events")?, "max");
        }
        Ok(events)
    }
}

impl Group {
    /// Reads the counters.
    ///
    /// # Errors
    /// [`FileError`] if a file that is there can not be read.
    pub fn events(&self) -> Result<Events, FileError> {
        let pids = self.directory(Controllers::PIDS).map(|(_, directory)| directory);
        Events::read(self.directory(Controllers::MEMORY), pids)
    }

    /// Begins to watch for want of memory; `None` without the controller.
    ///
    /// # Errors
    /// [`FileError`] if the kernel can not be asked to tell.
    pub fn watch_memory(&self) -> Result<Option<MemoryWatch>, FileError> {
        let Some((version, directory)) = self.directory(Controllers::MEMORY) else { return Ok(None) };
        let directory = directory.open(std::path::Path::new(""))?;
        let watch = match version {
            Version::V1 => MemoryWatch { teller: eventfd(&directory)?, kills: None, directory },
            Version::V2 => {
                let teller = directory.open_for_reading(V2_EVENTS)?;
                // The kernel tells of changes since the file was read.
                let kills = value(&keyed(&directory, V2_EVENTS)?, "oom_kill");
                let mut watch = MemoryWatch { teller, kills: Some(kills), directory };
                watch.happened()?;
                watch
            }
        };
        Ok(Some(watch))
    }
}

const V2_EVENTS: &str = "memory.events";

/// The kernel's word when a group runs out of memory.
#[derive(Debug)]
pub struct MemoryWatch {
    /// v1: an eventfd; v2: `memory.events`.
    teller: OwnedFd,
    directory: Directory,
    /// v2: how many processes were killed, when last looked at.
    kills: Option<u64>,
}

impl MemoryWatch {
    /// What to wait for; then [`MemoryWatch::happened`] is to be asked.
    #[must_use]
    pub fn poll_fd(&self) -> PollFd<'_> {
        let flags = if self.kills.is_none() { PollFlags::IN } else { PollFlags::PRI };
        PollFd::new(&self.teller, flags)
    }

    /// Whether the group has run out of memory since this was asked last: on v1 if its processes could get no more, on v2 if one
    /// of them was killed.
    ///
    /// # Errors
    /// [`FileError`] if the kernel's word can not be read.
    pub fn happened(&mut self) -> Result<bool, FileError> {
        let mut buffer = [0; 512];
        let fail = |errno: Errno| FileError::new("read the events of", self.directory.path(), errno);
        match self.kills {
            None => match rustix::io::read(&self.teller, &mut buffer[..8]) {
                // It also tells of the group's removal.
                Ok(_) => Ok(self.directory.read_if_there("memory.oom_control").is_ok_and(|text| text.is_some())),
                Err(Errno::AGAIN) => Ok(false),
                Err(errno) => Err(fail(errno)),
            },
            Some(before) => {
                let length = match rustix::io::pread(&self.teller, &mut buffer[..], 0) {
                    Ok(length) => length,
                    // The group is gone.
                    Err(Errno::NODEV) => return Ok(false),
                    Err(errno) => return Err(fail(errno)),
                };
                let text = String::from_utf8_lossy(&buffer[..length]);
                let kills =
                    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or(before);
                self.kills = Some(kills);
                Ok(kills > before)
            }
        }
    }
}

/// An eventfd that the v1 memory controller counts up when the group is out of memory (`cgroup-v1/memory.rst`, "OOM Control").
fn eventfd(directory: &Directory) -> Result<OwnedFd, FileError> {
    let control = directory.open_for_reading("memory.oom_control")?;
    let teller = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
    let teller = teller.map_err(|errno| FileError::new("watch", directory.path(), errno))?;
    directory.write("cgroup.event_control", &format!("{} {}", teller.as_raw_fd(), control.as_raw_fd()))?;
    Ok(teller)
}
