//! From limits to what will be made and written: a pure function, tried on any layout without touching it.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::controller::Controllers;
use crate::controllers;
use crate::layout::{Hierarchy, Kind, Layout, Version};
use crate::model::{DeviceRules, LimitError, Limits};
use crate::path::GroupPath;
use crate::place::Place;
use crate::write::Write;

/// What [`Group::create`](crate::Group::create) will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The groups to make, one in each hierarchy.
    pub groups: Vec<PlannedGroup>,
    /// The rules for an eBPF program on the cgroup2 group, where there is no v1 devices hierarchy.
    pub device_program: Option<DeviceRules>,
    /// What was asked and will not be in force, to be shown to the user.
    pub degradations: Vec<Degradation>,
    /// Whether an update must not go below the present use of memory.
    pub check_memory_use: bool,
    /// Who makes the group.
    pub origin: Origin,
    /// A cgroup2 group, relative to its mount, that is the caller's own and delegated to it: where controllers are given to groups below it,
    /// its processes are moved to [`CALLERS`] below it first, because the kernel lets it have either.
    pub vacate: Option<PathBuf>,
}

/// The group that takes the processes of a delegated one.
pub const CALLERS: &str = "stockade-callers";

/// Who makes a group before limits are written to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// This room. One that is there already is taken only if it is empty and not frozen.
    #[default]
    Ours,
    /// systemd, around a process that holds it ([`crate::systemd`]): what is there is taken as it is, and controllers are enabled only
    /// where a limit needs them. Hierarchies that systemd does not manage get a group of ours under the same path.
    Systemd,
}

/// A group to make in one hierarchy and what to write in it, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedGroup {
    /// The hierarchy.
    pub hierarchy: Hierarchy,
    /// The group, relative to the hierarchy's mount.
    pub path: PathBuf,
    /// The controllers that limits need here: on v2 it is an error if an ancestor can not enable one of them.
    pub needed: Controllers,
    /// The controllers to enable on v2 for the group and its siblings where the kernel lets us: all on a v2 machine, as
    /// other runtimes do; on a hybrid one, where v2 has next to none, only those needed.
    pub enable: Controllers,
    /// The files to write.
    pub writes: Vec<Write>,
}

/// Something asked that will not be in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degradation {
    /// What was asked.
    pub asked: Cow<'static, str>,
    /// Why it can not be had.
    pub why: Cow<'static, str>,
}

impl Plan {
    /// The plan for a group that systemd has made.
    #[must_use]
    pub fn taken_over(mut self) -> Self {
        self.origin = Origin::Systemd;
        for group in &mut self.groups {
            group.enable = group.needed;
        }
        self
    }

    /// Where the groups will be: to be saved before they are made, so that a crash leaves nothing unknown.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        self.groups.iter().map(|group| Place::new(&group.hierarchy, &group.path)).collect()
    }
}

impl std::fmt::Display for Degradation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} is not in force: {}", self.asked, self.why)
    }
}

/// Decides what to make and write for `limits` in the group `path` of `layout`.
///
/// # Errors
/// [`PlanError`]: the limits contradict each other, or the layout can not express one of them.
pub fn plan(layout: &Layout, path: &GroupPath, limits: &Limits) -> Result<Plan, PlanError> {
    let below = |hierarchy: &Hierarchy| {
        let hidden = || PlanError::OwnGroupHidden { hierarchy: hierarchy.label(), mount: hierarchy.mount.clone() };
        path.below_mount(hierarchy).ok_or_else(hidden)
    };
    let paths = layout.hierarchies().iter().map(below).collect::<Result<_, _>>()?;
    plan_at(layout, paths, limits)
}

/// As [`plan`], with the group's path in each hierarchy of the layout.
pub(crate) fn plan_at(layout: &Layout, paths: Vec<PathBuf>, limits: &Limits) -> Result<Plan, PlanError> {
    limits.check()?;
    let group = |(hierarchy, path): (&Hierarchy, PathBuf)| PlannedGroup {
        hierarchy: hierarchy.clone(),
        path,
        needed: Controllers::empty(),
        enable: Controllers::empty(),
        writes: Vec::new(),
    };
    let groups = layout.hierarchies().iter().zip(paths).map(group).collect();
    let plan = Plan {
        groups,
        device_program: None,
        degradations: Vec::new(),
        check_memory_use: false,
        origin: Origin::Ours,
        vacate: None,
    };
    let mut draft = Draft { layout, plan };
    controllers::write_all(&mut draft, limits)?;
    let unified = layout.kind() == Kind::Unified;
    for group in draft.plan.groups.iter_mut().filter(|group| group.hierarchy.version == Version::V2) {
        group.enable = if unified { group.hierarchy.controllers } else { group.needed };
    }
    Ok(draft.plan)
}

/// A plan in the making, as the controllers' files see it.
pub(crate) struct Draft<'a> {
    layout: &'a Layout,
    plan: Plan,
}

impl Draft<'_> {
    /// The interface under which `controller` (one) is reached.
    ///
    /// # Errors
    /// [`PlanError::NoController`], naming the limit `asked`.
    pub(crate) fn version(&self, controller: Controllers, asked: &'static str) -> Result<Version, PlanError> {
        match self.layout.home(controller) {
            Some(home) => Ok(home.version),
            None => Err(PlanError::NoController { controller, asked, kind: self.layout.kind() }),
        }
    }

    /// Adds a write for `controller`, whose presence [`Draft::version`] has shown.
    pub(crate) fn write(&mut self, controller: Controllers, write: Write) {
        let home = self.layout.home_index(controller);
        if let Some(group) = home.and_then(|index| self.plan.groups.get_mut(index)) {
            group.needed |= controller;
            group.writes.push(write);
        }
    }

    /// Adds a write to the cgroup2 group that needs no controller.
    pub(crate) fn write_unified(&mut self, write: Write) {
        if let Some(group) = self.plan.groups.iter_mut().find(|group| group.hierarchy.version == Version::V2) {
            group.writes.push(write);
        }
    }

    /// What is to be written to the cgroup2 group so far.
    pub(crate) fn unified_writes(&self) -> impl Iterator<Item = &Write> {
        let unified = self.plan.groups.iter().filter(|group| group.hierarchy.version == Version::V2);
        unified.flat_map(|group| &group.writes)
    }

    /// Records what will not be in force.
    pub(crate) fn degrade(&mut self, asked: &'static str, why: &'static str) {
        self.plan.degradations.push(Degradation { asked: asked.into(), why: why.into() });
    }

    /// The arrangement of the layout.
    pub(crate) fn kind(&self) -> Kind {
        self.layout.kind()
    }

    /// Whether there is a cgroup2 hierarchy.
    pub(crate) fn has_unified(&self) -> bool {
        self.layout.unified().is_some()
    }

    /// Asks for an eBPF device program.
    pub(crate) fn device_program(&mut self, rules: DeviceRules) {
        self.plan.device_program = Some(rules);
    }

    /// Asks for the memory check before an update.
    pub(crate) fn check_memory_use(&mut self) {
        self.plan.check_memory_use = true;
    }
}

/// Why limits can not be had in a layout.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The limits contradict each other.
    #[error(transparent)]
    Limits(#[from] LimitError),
    /// The controller is not there.
    #[error("{asked} needs the cgroup controller {controller}, which this machine ({kind}) does not offer")]
    NoController {
        /// The controller.
        controller: Controllers,
        /// The limit.
        asked: &'static str,
        /// The arrangement.
        kind: Kind,
    },
    /// The interface has nothing for it.
    #[error("{asked} can not be expressed: {why}")]
    Inexpressible {
        /// The limit.
        asked: Cow<'static, str>,
        /// The reason.
        why: &'static str,
    },
    /// A file is given verbatim and by a property, and not the same.
    #[error("unified {key:?} is {value:?}, and {property} means {other:?} in the same file: leave one of them out")]
    Repeated {
        /// The file.
        key: String,
        /// What `unified` says.
        value: String,
        /// The property.
        property: &'static str,
        /// What is written for that.
        other: String,
    },
    /// The group that a relative path is below is outside of the mount.
    #[error("the caller's own cgroup in {hierarchy} is not below {}; give an absolute cgroup path", mount.display())]
    OwnGroupHidden {
        /// The hierarchy.
        hierarchy: String,
        /// Its mount.
        mount: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Cpu, CpuPeriod, CpuQuota, CpuShares, IoWeight, Max, Memory, Network, Swappiness, UnifiedValue};

    /// A cgroup v2 machine with every controller.
    fn unified() -> Layout {
        let controllers = Controllers::CPU | Controllers::MEMORY | Controllers::PIDS | Controllers::BLOCK_IO;
        let hierarchy = Hierarchy {
            version: Version::V2,
            controllers,
            name: None,
            mount: PathBuf::from("/sys/fs/cgroup"),
            root: PathBuf::from("/"),
        };
        Layout::from_hierarchies(vec![hierarchy])
    }

    /// The planned writes, as `FILE VALUE`.
    fn writes(limits: &Limits) -> Vec<String> {
        let path = GroupPath::new("/docker/3f", None).unwrap();
        let plan = plan(&unified(), &path, limits).unwrap();
        plan.groups[0].writes.iter().map(|write| format!("{} {}", write.file, write.value)).collect()
    }

    #[test]
    fn limits_in_the_words_of_v2() {
        let memory = |limit, swap| Limits {
            memory: Memory { limit: Some(limit), swap, ..Memory::default() },
            ..Limits::default()
        };
        assert_eq!(writes(&memory(Max::At(100), Some(Max::At(300)))), ["memory.max 100", "memory.swap.max 200"]);
        assert_eq!(writes(&memory(Max::Unlimited, None)), ["memory.max max", "memory.swap.max max"]);
        let quota = Some(CpuQuota::new(150_000).unwrap());
        let (shares, period) = (Some(CpuShares::new(1024).unwrap()), Some(CpuPeriod::new(100_000).unwrap()));
        let cpu = Cpu { quota, period, shares, ..Cpu::default() };
        assert_eq!(writes(&Limits { cpu, ..Limits::default() }), ["cpu.weight 100", "cpu.max 150000 100000"]);
        let mut limits = Limits { pids: Some(Max::At(0)), ..Limits::default() };
        limits.block_io.weight = Some(IoWeight::new(1000).unwrap());
        limits.unified = vec![UnifiedValue::new("memory.high", "5").unwrap()];
        assert_eq!(writes(&limits), ["pids.max 1", "io.bfq.weight 1000", "memory.high 5"]);
    }

    #[test]
    fn what_v2_lacks_is_told() {
        let path = GroupPath::new("/x", None).unwrap();
        let asked = |limits| plan(&unified(), &path, &limits);
        let memory = Memory { swappiness: Some(Swappiness::new(1).unwrap()), ..Memory::default() };
        let kernel = Memory { kernel: Some(Max::At(1)), ..Memory::default() };
        for memory in [memory, kernel] {
            let plan = asked(Limits { memory, ..Limits::default() }).unwrap();
            assert_eq!(plan.degradations.len(), 1, "{memory:?}");
            assert!(plan.groups[0].writes.is_empty());
        }
        let twice = |value: &str| {
            let unified = vec![UnifiedValue::new("pids.max", value).unwrap()];
            asked(Limits { pids: Some(Max::At(5)), unified, ..Limits::default() })
        };
        // The same twice is no contradiction: engines say swap in both ways.
        assert_eq!(twice("5").unwrap().groups[0].writes.len(), 2);
        let refused = twice("6").unwrap_err().to_string();
        assert!(["pids.max", "\"6\"", "pids.limit", "\"5\""].iter().all(|word| refused.contains(word)), "{refused}");
        let network = Network { class_id: Some(1), ..Network::default() };
        let cpu = Cpu { realtime_runtime: Some(1), ..Cpu::default() };
        assert!(asked(Limits { network, ..Limits::default() }).is_err());
        assert!(asked(Limits { cpu, ..Limits::default() }).is_err());
        assert!(
            asked(Limits { unified: vec![UnifiedValue::new("hugetlb.2MB.max", "0").unwrap()], ..Limits::default() })
                .is_err()
        );
    }
}
