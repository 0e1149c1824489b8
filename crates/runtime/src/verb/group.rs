//! Where a container's group is, and who makes it: the runtime, or systemd for `--systemd-cgroup`.

use std::io;
use std::path::{Path, PathBuf};

use stockade_cgroups::systemd::{
    Manager, Property, Scope, ScopeError, Systemd, SystemdError, Value, majors, properties,
};
use stockade_cgroups::{CALLERS, Group, GroupPath, Layout, Membership, Place};
use stockade_kernel::namespace::Namespaces;
use stockade_kernel::procfs::{Procfs, Subject};

use crate::plan::{Facts, Plan, PlanError, unit_properties};
use crate::stage::Holder;
use crate::store::{Entry, Record, StoreError, UnitRecord};

/// Who makes the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The runtime itself.
    Cgroupfs,
    /// systemd.
    Systemd,
}

/// Why there is no group.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The cgroups of this machine can not be read.
    #[error(transparent)]
    Layout(#[from] stockade_cgroups::LayoutError),
    /// The cgroup's path.
    #[error("linux.cgroupsPath can not be used")]
    Path(#[from] stockade_cgroups::PathError),
    /// With `--systemd-cgroup` it has another form.
    #[error("linux.cgroupsPath can not be used with --systemd-cgroup")]
    Scope(#[from] ScopeError),
    /// The scope's properties.
    #[error("the scope's properties can not be had")]
    Properties(#[source] PlanError),
    /// The limits can not be had.
    #[error("linux.resources can not be had")]
    Limits(#[from] stockade_cgroups::PlanError),
    /// The runtime's own cgroups.
    #[error("cannot find out in which cgroups this process may make others")]
    OwnGroup(#[source] io::Error),
    /// Nothing tells its processes from others.
    #[error(
        "this user may make no cgroup, and without one the processes of a container that has no pid namespace of its own cannot be \
         ended: give it one, or run it as root"
    )]
    Endless,
    /// systemd.
    #[error("systemd can not make the container's cgroup")]
    Systemd(#[from] SystemdError),
    /// The numbers of devices.
    #[error("cannot read /proc/devices")]
    Majors(#[source] io::Error),
    /// The process that systemd is to make the scope around.
    #[error("cannot make the process that the scope is made around")]
    Holder(#[source] io::Error),
    /// The cgroup can not be made.
    #[error("cannot make the container's cgroup")]
    Create(#[from] stockade_cgroups::CreateError),
    /// The container's folder.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A group that is planned, and nothing of it made.
#[derive(Debug)]
pub(super) struct PlannedGroup {
    pub(super) group: stockade_cgroups::Plan,
    unit: Option<Unit>,
}

/// The scope that systemd is to make.
#[derive(Debug)]
struct Unit {
    manager: Manager,
    scope: Scope,
    path: GroupPath,
    properties: Vec<Property>,
    systemd: Systemd,
}

/// Plans the group of the container that `plan` and `facts` are about. systemd is asked where its groups are, and for nothing else.
///
/// # Errors
/// [`GroupError`].
pub(super) fn plan(
    driver: Driver,
    plan: &Plan,
    facts: &Facts,
    annotations: &std::collections::BTreeMap<String, String>,
) -> Result<PlannedGroup, GroupError> {
    match driver {
        Driver::Cgroupfs => by_files(plan, facts),
        Driver::Systemd => by_systemd(plan, facts, annotations),
    }
}

fn by_files(plan: &Plan, facts: &Facts) -> Result<PlannedGroup, GroupError> {
    let path = if plan.cgroup_path.is_empty() { &facts.container_id } else { &plan.cgroup_path };
    if !facts.rootless || path.starts_with('/') {
        let path = GroupPath::parse(path)?;
        let mut group = stockade_cgroups::plan(&layout(&path, facts, plan)?, &path, &plan.limits)?;
        // For an engine in a container: there the top is a group with processes, the container's, to which it was delegated. The machine's own is none.
        group.vacate = Some(PathBuf::new());
        return Ok(PlannedGroup { group, unit: None });
    }
    // Below the group that was delegated to the user, also after its processes were moved aside.
    let own = Procfs::host().and_then(|procfs| Membership::of(&procfs, Subject::Myself));
    let own = own.map_err(GroupError::OwnGroup)?.above(CALLERS);
    let path = GroupPath::new(path, Some(own.clone()))?;
    let layout = layout(&path, facts, plan)?;
    let mut group = stockade_cgroups::plan(&layout, &path, &plan.limits)?;
    group.vacate = layout.unified().and_then(|unified| own.below_mount(unified)).map(Path::to_owned);
    Ok(PlannedGroup { group, unit: None })
}

fn by_systemd(
    plan: &Plan,
    facts: &Facts,
    annotations: &std::collections::BTreeMap<String, String>,
) -> Result<PlannedGroup, GroupError> {
    let manager = match facts.rootless {
        true => Manager::of_user(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).as_deref())?,
        false => Manager::System,
    };
    let name = match plan.cgroup_path.as_str() {
        "" => format!(":stake:{}", facts.container_id),
        path => path.to_owned(),
    };
    let scope = Scope::parse(&name, manager.default_slice())?;
    let asked = unit_properties(annotations).map_err(GroupError::Properties)?;
    let mut systemd = Systemd::connect(&manager)?;
    let path = systemd.group(&scope)?;
    let layout = layout(&path, facts, plan)?;
    let group = stockade_cgroups::plan(&layout, &path, &plan.limits)?.taken_over();
    let description = ("Description".to_owned(), Value::Text(format!("container {}", facts.container_id)));
    let mut all = if asked.iter().any(|(name, _)| name == "Description") { Vec::new() } else { vec![description] };
    all.extend(asked);
    let majors = majors().map_err(GroupError::Majors)?;
    all.extend(properties(&layout, &group, plan.limits.devices.as_ref(), &majors)?);
    Ok(PlannedGroup { group, unit: Some(Unit { manager, scope, path, properties: all, systemd }) })
}

/// The hierarchies that the container is put in; where an ordinary user may use none, none. Its limits then are an error of the next step.
fn layout(path: &GroupPath, facts: &Facts, plan: &Plan) -> Result<Layout, GroupError> {
    let layout = Layout::detect()?;
    if !facts.rootless {
        return Ok(layout);
    }
    let layout = layout.usable_by_caller(path).map_err(GroupError::OwnGroup)?;
    let own_pids = plan.namespaces.new_ones().contains(Namespaces::PID);
    if layout.hierarchies().is_empty() && !own_pids { Err(GroupError::Endless) } else { Ok(layout) }
}

impl PlannedGroup {
    /// Makes the group and writes its limits; who launches a process in it reads them back. The record is saved before anything is made that it has to know. Where there is a holder
    /// the group is there only as long as that is, or another process in it.
    ///
    /// # Errors
    /// [`GroupError`]; what is left behind is in the record.
    pub(super) fn make(self, entry: &mut Entry, record: &mut Record) -> Result<(Group, Option<Holder>), GroupError> {
        let mut holder = None;
        let Some(mut unit) = self.unit else {
            record.made = missing_ancestors(&record.places);
            entry.save(record.clone())?;
            let made = Group::create(self.group);
            if made.as_ref().is_err_and(stockade_cgroups::CreateError::is_of_others) {
                // To remove this container must not end that one.
                record.places.clear();
                entry.save(record.clone())?;
            }
            return Ok((made?, None));
        };
        // Until the scope is there its group may be another container's. A runtime that is killed takes the holder, and so the scope, with it.
        let places = std::mem::take(&mut record.places);
        entry.save(record.clone())?;
        let process = holder.insert(Holder::make().map_err(GroupError::Holder)?);
        unit.systemd.start(&unit.scope, &unit.path, &[process.pid()], &unit.properties)?;
        // Only now it is known which hierarchies are not systemd's.
        record.made = missing_ancestors(&places);
        record.places = places;
        record.unit = Some(UnitRecord { manager: unit.manager, name: unit.scope.name().to_owned() });
        entry.save(record.clone())?;
        Ok((Group::create(self.group)?, holder))
    }
}

/// The ancestors of `places` that are not there, parents before children: those that are made for this container. Another
/// container may use them meanwhile; they are removed only when they are empty.
fn missing_ancestors(places: &[Place]) -> Vec<Place> {
    let mut missing = Vec::new();
    for place in places {
        let mut ancestors: Vec<&Path> = place.path.ancestors().skip(1).collect();
        ancestors.retain(|path| !path.as_os_str().is_empty() && !place.mount.join(path).exists());
        ancestors.reverse();
        missing.extend(ancestors.into_iter().map(|path| Place { path: path.to_owned(), ..place.clone() }));
    }
    missing
}
