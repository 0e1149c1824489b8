//! What the container's limits did to it: its control groups are looked at when it is made, watched while it runs, and read
//! before the runtime removes them.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use rustix::process::Signal;
use stockade_kernel::chain::chain;
use stockade_monitor::cause::{ASKED, Asked, Cause, Ending, Limit, Memory, Pids};
use stockade_monitor::events::ContainerAction;
use stockade_monitor::group::{Groups, Place, Version};

use crate::life::{Ended, Monitor};

/// The limits of one container.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// Its group, and those above it, each with how often its limit had been in the way before.
    memory: Vec<(Place, u64)>,
    pids: Option<Place>,
    /// Readable when the kernel kills for want of memory.
    alarm: Option<OwnedFd>,
    /// How many such kills were told.
    told: u64,
    /// What the first process was called when it was last looked at.
    process: Option<String>,
}

impl Limits {
    /// Those of the container whose first process is `pid`.
    fn of(pid: i32) -> io::Result<Self> {
        // What is counted where the monitor is too is not the container's.
        let groups = Groups::of(pid)?.apart_from_this_process()?;
        let memory: Vec<(Place, u64)> =
            groups.place("memory").map_or_else(Vec::new, |place| place.and_above().map(with_refusals).collect());
        let alarm = memory.first().map(|(place, _)| alarm(place)).transpose()?;
        Ok(Self { memory, pids: groups.place("pids"), alarm, told: 0, process: None })
    }

    /// What becomes readable when the kernel has killed for want of memory.
    pub(crate) fn alarm(&self) -> Option<&OwnedFd> {
        self.alarm.as_ref()
    }

    fn kills(&self) -> u64 {
        self.memory.first().and_then(|(place, _)| place.oom_kills()).unwrap_or_default()
    }

    fn memory(&self) -> Option<Memory> {
        let (own, _) = self.memory.first()?;
        let in_the_way = self.memory.iter().find(|(place, before)| {
            place.memory_limit().is_some() && place.memory_refusals().unwrap_or_default() > *before
        });
        let killed = self.kills();
        let limit = match in_the_way {
            Some((place, _)) => place.memory_limit().map(|value| (value, place)),
            None if killed == 0 => own.memory_limit().map(|value| (value, own)),
            None => None,
        };
        let limit = limit.map(|(value, place)| Limit { value, group: (place != own).then(|| place.name()) });
        Some(Memory { killed, peak: own.memory_peak(), limit })
    }

    fn pids(&self) -> Option<Pids> {
        let place = self.pids.as_ref()?;
        let refused = place.keyed("pids.events", "max").unwrap_or_default();
        Some(Pids { refused, peak: place.number("pids.peak"), limit: place.number("pids.max") })
    }
}

/// A group with how often its limit was in the way until now.
fn with_refusals(place: Place) -> (Place, u64) {
    let refusals = place.memory_refusals().unwrap_or_default();
    (place, refusals)
}

/// What becomes readable when something happens to the group's memory: an eventfd in the first world (`cgroup.event_control`), a
/// change of `memory.events` in the second.
fn alarm(place: &Place) -> io::Result<OwnedFd> {
    match place.version {
        Version::V1 => {
            let alarm = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            let watched = File::open(place.path.join("memory.oom_control"))?;
            let mut control = File::options().write(true).open(place.path.join("cgroup.event_control"))?;
            // One write: the kernel takes each as a whole.
            control.write_all(format!("{} {}", alarm.as_raw_fd(), watched.as_raw_fd()).as_bytes())?;
            Ok(alarm)
        }
        Version::V2 => {
            let alarm = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            inotify::add_watch(&alarm, place.path.join("memory.events"), WatchFlags::MODIFY)?;
            Ok(alarm)
        }
    }
}

impl Monitor {
    /// The container is made and `pid` its first process: from now on its limits are watched. That they cannot be is a trouble.
    pub(crate) fn watch_limits(&mut self, pid: i32) {
        match Limits::of(pid) {
            Ok(limits) => self.limits = limits,
            Err(error) => self.troubles.note(&self.folder, &format!("the container's limits are not watched: {error}")),
        }
    }

    /// Something happened to its memory.
    pub(crate) fn hear_alarm(&mut self) {
        let Some(alarm) = &self.limits.alarm else { return };
        let mut buffer = [0; 4096];
        while let Ok(length) = rustix::io::retry_on_intr(|| rustix::io::read(alarm, &mut buffer)) {
            if length == 0 {
                break;
            }
        }
        self.tell_kills();
    }

    /// Tells what the kernel has killed for want of memory and is not told yet: an event for all of it.
    fn tell_kills(&mut self) {
        let kills = self.limits.kills();
        if kills > self.limits.told {
            self.limits.told = kills;
            self.happened(&ContainerAction::Oom, &[]);
        }
    }

    /// Looks at what the first process is called, while it is there: also when it has ended and was not waited for.
    pub(crate) fn look_at_first(&mut self) {
        let Some(first) = self.first.as_ref().filter(|first| first.ended.is_none()) else { return };
        if let Ok(name) = std::fs::read_to_string(format!("/proc/{}/comm", first.pid)) {
            self.limits.process = Some(name.trim_end_matches('\n').to_owned());
        }
    }

    /// Why the container ended. Its groups are there still.
    pub(crate) fn cause(&mut self, ended: Ended) -> Cause {
        self.tell_kills();
        let (memory, pids) = (self.limits.memory(), self.limits.pids());
        let asked = self.asked().filter(|asked| self.is_of_this_run(asked));
        let killed = memory.as_ref().is_some_and(|memory| memory.killed > 0);
        let end = match (ended.signal, asked) {
            (None, _) => Ending::Exit,
            (Some(signal), Some(asked)) if asked.signal == signal => {
                Ending::Asked { signal, by: asked.by, pid: asked.pid }
            }
            (Some(signal), _) if signal == Signal::KILL.as_raw() && killed => Ending::OutOfMemory,
            (Some(signal), _) if signal == Signal::SYS.as_raw() => Ending::Seccomp,
            (Some(signal), _) => Ending::Signal { signal },
        };
        self.limits.alarm = None;
        Cause { end, process: self.limits.process.take(), memory, pids }
    }

    fn is_of_this_run(&self, asked: &Asked) -> bool {
        asked.at >= crate::life::rfc3339(self.started)
    }

    /// What the engine has said that it would send.
    fn asked(&mut self) -> Option<Asked> {
        match self.folder.open_file(ASKED.as_ref(), OFlags::RDONLY) {
            Ok(file) => match serde_json::from_reader(file) {
                Ok(asked) => Some(asked),
                Err(error) => {
                    self.troubles.note(&self.folder, &format!("{ASKED} is wrong: {}", chain(&error)));
                    None
                }
            },
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => None,
            Err(error) => {
                self.troubles.note(&self.folder, &format!("cannot read {ASKED}: {error}"));
                None
            }
        }
    }
}
