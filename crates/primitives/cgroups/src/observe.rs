//! The limits that hold for a process, read from the kernel: what its own group says, and what really binds it, the
//! least over all its ancestors.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use stockade_kernel::procfs::{Procfs, Subject};

use crate::controller::Controllers;
use crate::device_filter::{self, DeviceFilter};
use crate::events::Events;
use crate::files::{Directory, FileError};
use crate::layout::{Hierarchy, Layout, Version};
use crate::membership::Membership;
use crate::model::Max;
use crate::place::Place;
use crate::write::read_bound;

/// A bound as written in a group, and in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The file.
    pub file: &'static str,
    /// What the process' own group says.
    pub written: Max,
    /// The least over that group and all its ancestors that the mount shows.
    pub effective: Max,
    /// The directory of the group that sets the effective bound.
    pub bound_at: PathBuf,
}

/// The groups of a process and the bounds on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its groups, in each hierarchy whose mount shows them.
    pub places: Vec<Place>,
    /// The bounds: on tasks, on memory, on swap (v1: memory and swap together) in bytes, and on processor time in
    /// microseconds per second. Those whose controller is not there are missing.
    pub readings: Vec<Reading>,
    /// The processors that it may use, as `cpuset(7)` writes lists; missing without the controller.
    pub processors: Option<String>,
    /// The memory nodes that it may use.
    pub memory_nodes: Option<String>,
    /// How often its group ran into its walls.
    pub events: Events,
}

/// Why the limits of a process are not known.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// Its groups could not be read.
    #[error("cannot read the cgroups of process {pid}")]
    Process {
        /// The process.
        pid: i32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The files of each bound, on v1 and v2.
const BOUNDS: [(Controllers, &str, &str); 4] = [
    (Controllers::PIDS, "pids.max", "pids.max"),
    (Controllers::MEMORY, "memory.limit_in_bytes", "memory.max"),
    (Controllers::MEMORY, "memory.memsw.limit_in_bytes", "memory.swap.max"),
    (Controllers::CPU, "cpu.cfs_quota_us", "cpu.max"),
];

/// The controllers of which anything is read.
const READ: Controllers =
    Controllers::PIDS.union(Controllers::MEMORY).union(Controllers::CPU).union(Controllers::CPUSET);

/// Reads the groups of `pid` and the bounds on it.
///
/// # Errors
/// [`ObserveError`].
pub fn observe(layout: &Layout, procfs: &Procfs, pid: i32) -> Result<Observed, ObserveError> {
    Observer::new(layout.clone()).observe(procfs, pid)
}

/// Looks at many processes in one go: hierarchies are opened once, and what groups above several of them say is read once.
#[derive(Debug)]
pub struct Observer {
    layout: Layout,
    tops: RefCell<BTreeMap<PathBuf, Rc<Directory>>>,
    /// What a group says, by its directory and the file.
    bounds: RefCell<BTreeMap<(PathBuf, &'static str), Option<Max>>>,
}

impl Observer {
    /// Of the groups that `layout` shows.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self { layout, tops: RefCell::default(), bounds: RefCell::default() }
    }

    /// What decides about device nodes for `pid`.
    ///
    /// # Errors
    /// [`ObserveError`]; of programs also if the caller may not read them (`bpf(2)`).
    pub fn device_filter(&self, procfs: &Procfs, pid: i32) -> Result<DeviceFilter, ObserveError> {
        device_filter::of(&self.layout, procfs, pid, |hierarchy| self.top(hierarchy))
    }

    /// Reads the groups of `pid` and the bounds on it.
    ///
    /// # Errors
    /// [`ObserveError`].
    pub fn observe(&self, procfs: &Procfs, pid: i32) -> Result<Observed, ObserveError> {
        let groups =
            Membership::of(procfs, Subject::Pid(pid)).map_err(|source| ObserveError::Process { pid, source })?;
        let (mut places, mut readings) = (Vec::new(), Vec::new());
        let (mut processors, mut memory_nodes) = (None, None);
        let (mut memory, mut pids) = (None, None);
        for hierarchy in self.layout.hierarchies() {
            let Some(path) = groups.below_mount(hierarchy) else { continue };
            places.push(Place::new(hierarchy, path));
            if !hierarchy.controllers.intersects(READ) {
                continue;
            }
            let top = self.top(hierarchy)?;
            let group = Rc::new(top.open(path)?);
            if hierarchy.controllers.contains(Controllers::CPUSET) {
                // On v2 a group without a list of its own has its parent's.
                let ending = if hierarchy.version == Version::V1 { "" } else { ".effective" };
                let read = |kind: &str| group.read_if_there(&format!("cpuset.{kind}{ending}"));
                processors = read("cpus")?.map(|text| text.trim().to_owned());
                memory_nodes = read("mems")?.map(|text| text.trim().to_owned());
            }
            if hierarchy.controllers.contains(Controllers::MEMORY) {
                memory = Some((hierarchy.version, Rc::clone(&group)));
            }
            if hierarchy.controllers.contains(Controllers::PIDS) {
                pids = Some(Rc::clone(&group));
            }
            for (controller, legacy, unified) in BOUNDS {
                if hierarchy.controllers.contains(controller) {
                    let file = if hierarchy.version == Version::V1 { legacy } else { unified };
                    readings.extend(self.reading(&top, &group, path, file)?);
                }
            }
        }
        let memory = memory.as_ref().map(|(version, directory)| (*version, directory.as_ref()));
        let events = Events::read(memory, pids.as_deref())?;
        Ok(Observed { places, readings, processors, memory_nodes, events })
    }

    /// The top of a hierarchy.
    fn top(&self, hierarchy: &Hierarchy) -> Result<Rc<Directory>, FileError> {
        if let Some(known) = self.tops.borrow().get(&hierarchy.mount) {
            return Ok(Rc::clone(known));
        }
        let top = Rc::new(Directory::top(hierarchy)?);
        self.tops.borrow_mut().insert(hierarchy.mount.clone(), Rc::clone(&top));
        Ok(top)
    }

    /// One bound from `group` up to the top; `None` if the group has no such file.
    fn reading(
        &self,
        top: &Directory,
        group: &Directory,
        path: &Path,
        file: &'static str,
    ) -> Result<Option<Reading>, FileError> {
        let mut found: Option<Reading> = None;
        for at in path.ancestors() {
            let here = if at.as_os_str().is_empty() { top.path().to_owned() } else { top.path().join(at) };
            // What is above may be above others of those that are looked at.
            let known = self.bounds.borrow().get(&(here.clone(), file)).copied();
            let said = match known {
                Some(said) => said,
                None if at == path => bound(group, file)?,
                None => bound(&top.open(at)?, file)?,
            };
            self.bounds.borrow_mut().entry((here.clone(), file)).or_insert(said);
            let Some(bound) = said else {
                // The topmost group has no such file, and no bound; elsewhere its absence means that the controller is not there.
                if found.is_none() && path.as_os_str().is_empty() {
                    let (written, effective) = (Max::Unlimited, Max::Unlimited);
                    return Ok(Some(Reading { file, written, effective, bound_at: here }));
                }
                continue;
            };
            match &mut found {
                None if at == path => found = Some(Reading { file, written: bound, effective: bound, bound_at: here }),
                None => return Ok(None),
                Some(reading) if reading.effective.least(bound) != reading.effective => {
                    (reading.effective, reading.bound_at) = (bound, here);
                }
                Some(_) => {}
            }
        }
        Ok(found)
    }
}

/// The bound in one group; quotas are brought to microseconds per second.
fn bound(directory: &Directory, file: &str) -> Result<Option<Max>, FileError> {
    let Some(text) = directory.read_if_there(file)? else { return Ok(None) };
    let (quota, period) = match file {
        "cpu.max" => {
            let mut words = text.split_ascii_whitespace();
            (words.next().unwrap_or_default().to_owned(), words.next().and_then(|word| word.parse().ok()))
        }
        "cpu.cfs_quota_us" => (text, directory.read("cpu.cfs_period_us")?.trim().parse::<u64>().ok()),
        _ => return Ok(read_bound(&text)),
    };
    Ok(match (read_bound(&quota), period.filter(|&period| period > 0)) {
        (Some(Max::At(quota)), Some(period)) => Some(Max::At(quota.saturating_mul(1_000_000) / period)),
        (bound, _) => bound,
    })
}
