//! The limits that hold for a process, read from the kernel: what its own group says, and what really binds it, the
//! least over all its ancestors.

use std::io;
use std::path::{Path, PathBuf};

use stockade_kernel::procfs::{Procfs, Subject};

use crate::controller::Controllers;
use crate::events::Events;
use crate::files::{Directory, FileError};
use crate::layout::{Layout, Version};
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

/// Reads the groups of `pid` and the bounds on it.
///
/// # Errors
/// [`ObserveError`].
pub fn observe(layout: &Layout, procfs: &Procfs, pid: i32) -> Result<Observed, ObserveError> {
    let groups = Membership::of(procfs, Subject::Pid(pid)).map_err(|source| ObserveError::Process { pid, source })?;
    let (mut places, mut readings) = (Vec::new(), Vec::new());
    let (mut processors, mut memory_nodes) = (None, None);
    let (mut memory, mut pids) = (None, None);
    for hierarchy in layout.hierarchies() {
        let Some(path) = groups.below_mount(hierarchy) else { continue };
        places.push(Place::new(hierarchy, path));
        let top = Directory::top(hierarchy)?;
        let group = || top.open(path);
        if hierarchy.controllers.contains(Controllers::CPUSET) {
            // On v2 a group without a list of its own has its parent's.
            let ending = if hierarchy.version == Version::V1 { "" } else { ".effective" };
            let read = |kind: &str| group()?.read_if_there(&format!("cpuset.{kind}{ending}"));
            processors = read("cpus")?.map(|text| text.trim().to_owned());
            memory_nodes = read("mems")?.map(|text| text.trim().to_owned());
        }
        if hierarchy.controllers.contains(Controllers::MEMORY) {
            memory = Some((hierarchy.version, group()?));
        }
        if hierarchy.controllers.contains(Controllers::PIDS) {
            pids = Some(group()?);
        }
        for (controller, legacy, unified) in BOUNDS {
            if hierarchy.controllers.contains(controller) {
                let file = if hierarchy.version == Version::V1 { legacy } else { unified };
                readings.extend(reading(&top, path, file)?);
            }
        }
    }
    let events = Events::read(memory.as_ref().map(|(version, directory)| (*version, directory)), pids.as_ref())?;
    Ok(Observed { places, readings, processors, memory_nodes, events })
}

/// One bound from the group up to the top; `None` if the group has no such file.
fn reading(top: &Directory, path: &Path, file: &'static str) -> Result<Option<Reading>, FileError> {
    let mut found: Option<Reading> = None;
    for at in path.ancestors() {
        let directory = top.open(at)?;
        let Some(bound) = bound(&directory, file)? else {
            // The topmost group has no such file, and no bound; elsewhere its absence means that the controller is not there.
            if found.is_none() && path.as_os_str().is_empty() {
                let (written, effective) = (Max::Unlimited, Max::Unlimited);
                return Ok(Some(Reading { file, written, effective, bound_at: directory.path().to_owned() }));
            }
            continue;
        };
        let here = directory.path().to_owned();
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
