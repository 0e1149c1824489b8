//! How often a group ran into its walls.

use crate::controller::Controllers;
use crate::files::FileError;
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

impl Group {
    /// Reads the counters.
    ///
    /// # Errors
    /// [`FileError`] if a file that is there can not be read.
    pub fn events(&self) -> Result<Events, FileError> {
        let mut events = Events::default();
        match self.directory(Controllers::MEMORY) {
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
        if let Some((_, directory)) = self.directory(Controllers::PIDS) {
            events.pids_max = value(&keyed(directory, "pids.events")?, "max");
        }
        Ok(events)
    }
}
