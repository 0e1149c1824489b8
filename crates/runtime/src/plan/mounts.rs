//! `mounts`: where, what, and with which options.

use std::path::{Component, Path, PathBuf};

use stockade_kernel::mount::{AccessTimes, Attributes};
use stockade_spec::Mount;

use super::error::{absolute, without_nul};
use super::model::{AttributeChange, MountIdMap, MountPlan, MountSource, PropagationChange};
use super::mount_options::{Effect, effect};
use super::{Facts, PlanError, maps};

/// Files in `/proc` over which a file of the host may be bound, because they do not steer confinement: runc's list.
const COVERED_PROC_FILES: [&str; 10] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
];

/// No change.
const UNCHANGED: AttributeChange =
    AttributeChange { set: Attributes::empty(), clear: Attributes::empty(), access_times: None };

/// Plans all mounts; `new_user_namespace`: there are maps for `idmap` without its own.
pub(super) fn plan(
    mounts: &[Mount],
    facts: &Facts,
    new_user_namespace: bool,
    notices: &mut Vec<String>,
) -> Result<Vec<MountPlan>, PlanError> {
    let mut planned = Vec::with_capacity(mounts.len());
    for (index, mount) in mounts.iter().enumerate() {
        planned.push(plan_one(&format!("mounts[{index}]"), mount, facts, new_user_namespace, notices)?);
    }
    Ok(planned)
}

/// What the options of one mount add up to.
struct Options {
    bind: Option<bool>,
    attributes: AttributeChange,
    recursive_attributes: AttributeChange,
    propagation: Vec<PropagationChange>,
    id_map: Option<bool>,
    copy_up: bool,
    flags: Vec<&'static str>,
    data: Vec<(String, Option<String>)>,
}

/// Plans one mount.
fn plan_one(
    path: &str,
    mount: &Mount,
    facts: &Facts,
    new_user_namespace: bool,
    notices: &mut Vec<String>,
) -> Result<MountPlan, PlanError> {
    let destination = clean(&format!("{path}.destination"), &mount.destination)?;
    let options = read_options(&format!("{path}.options"), &mount.options)?;
    let kind = mount.kind.as_deref().unwrap_or_default();
    without_nul(&format!("{path}.type"), kind)?;
    let source = match (options.bind, kind) {
        (Some(recursive), _) => bind(path, mount, facts, recursive, &options, notices)?,
        (None, "bind") => bind(path, mount, facts, false, &options, notices)?,
        (None, "cgroup" | "cgroup2") => cgroup(path, &options)?,
        (None, "") => {
            let why = "a mount without bind or rbind among its options needs a file system type";
            return Err(PlanError::Missing { path: format!("{path}.type"), why });
        }
        (None, kind) => new(path, kind, mount, &options)?,
    };
    check_proc(&format!("{path}.destination"), &destination, &source)?;
    if options.copy_up && !matches!(&source, MountSource::New { kind, .. } if kind == "tmpfs") {
        return Err(PlanError::conflict(
            format!("{path}.options"),
            "tmpcopyup",
            format!("{path}.type"),
            "only a tmpfs",
        ));
    }
    Ok(MountPlan {
        destination,
        id_map: id_map(path, mount, &options, &source, new_user_namespace)?,
        source,
        attributes: options.attributes,
        recursive_attributes: options.recursive_attributes,
        propagation: options.propagation,
        copy_up: options.copy_up,
    })
}

/// The destination below `/`, with `.` and `..` taken away as `filepath.Clean` does; never `/` itself.
pub(super) fn clean(path: &str, destination: &Path) -> Result<PathBuf, PlanError> {
    let mut clean = PathBuf::from("/");
    for component in destination.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    absolute(path, &clean)?;
    if clean.parent().is_none() {
        return Err(PlanError::invalid(path, destination.display(), "a path below /"));
    }
    Ok(clean)
}

/// Adds the options up, in order.
fn read_options(path: &str, list: &[String]) -> Result<Options, PlanError> {
    let mut options = Options {
        bind: None,
        attributes: UNCHANGED,
        recursive_attributes: UNCHANGED,
        propagation: Vec::new(),
        id_map: None,
        copy_up: false,
        flags: Vec::new(),
        data: Vec::new(),
    };
    for option in list {
        without_nul(path, option)?;
        match effect(option) {
            Some(Effect::Refused(why)) => return Err(PlanError::unsupported(path, option, why)),
            Some(effect) => options.add(effect),
            None => options.data.push(data(path, option)?),
        }
    }
    Ok(options)
}

/// An option of the file system: a key alone or with a value.
fn data(path: &str, option: &str) -> Result<(String, Option<String>), PlanError> {
    let (key, value) = option.split_once('=').map_or((option, None), |(key, value)| (key, Some(value.to_owned())));
    if key.is_empty() || key.len() > 255 || key.contains(|letter: char| letter == ',' || letter.is_whitespace()) {
        return Err(PlanError::invalid(path, option, "one option to an entry, NAME or NAME=VALUE"));
    }
    Ok((key.to_owned(), value))
}

impl Options {
    /// Takes the effect of one more option; the later one wins.
    fn add(&mut self, effect: Effect) {
        match effect {
            Effect::Nothing | Effect::Refused(_) => {}
            Effect::Set(attribute) => set(&mut self.attributes, attribute),
            Effect::Clear(attribute) => clear(&mut self.attributes, attribute),
            Effect::Times(mode) => self.attributes.access_times = Some(mode),
            Effect::NotTimes(mode) => exclude(&mut self.attributes, mode),
            Effect::SetAll(attribute) => set(&mut self.recursive_attributes, attribute),
            Effect::ClearAll(attribute) => clear(&mut self.recursive_attributes, attribute),
            Effect::TimesAll(mode) => self.recursive_attributes.access_times = Some(mode),
            Effect::NotTimesAll(mode) => exclude(&mut self.recursive_attributes, mode),
            Effect::Flag(flag) => {
                self.flags.retain(|other| *other != flag);
                self.flags.push(flag);
            }
            Effect::NoFlag(flag) => self.flags.retain(|other| *other != flag),
            Effect::Bind { recursive } => self.bind = Some(recursive || self.bind == Some(true)),
            Effect::Propagate { to, recursive } => self.propagation.push(PropagationChange { to, recursive }),
            Effect::IdMap { recursive } => self.id_map = Some(recursive),
            Effect::CopyUp => self.copy_up = true,
        }
    }
}

/// Sets an attribute.
fn set(change: &mut AttributeChange, attribute: Attributes) {
    change.set |= attribute;
    change.clear -= attribute;
}

/// Clears an attribute.
fn clear(change: &mut AttributeChange, attribute: Attributes) {
    change.clear |= attribute;
    change.set -= attribute;
}

/// Any access time mode but this one; the kernel's default is the relative one.
fn exclude(change: &mut AttributeChange, mode: AccessTimes) {
    match change.access_times {
        Some(now) if now == mode => change.access_times = None,
        None if mode != AccessTimes::Relative => change.access_times = Some(AccessTimes::Relative),
        _ => {}
    }
}

/// A bind mount: a relative source is in the bundle, and there is no file system that could take options.
fn bind(
    path: &str,
    mount: &Mount,
    facts: &Facts,
    recursive: bool,
    options: &Options,
    notices: &mut Vec<String>,
) -> Result<MountSource, PlanError> {
    let why = "a bind mount needs a path of the host";
    let source = mount.source.as_ref().filter(|source| !source.as_os_str().is_empty());
    let source = source.ok_or(PlanError::Missing { path: format!("{path}.source"), why })?;
    let source = facts.bundle.join(source);
    absolute(&format!("{path}.source"), &source)?;
    if let Some((key, value)) = options.data.first() {
        let option = value.as_ref().map_or(key.clone(), |value| format!("{key}={value}"));
        let allowed = "an option of config.md's table: a bind mount has no file system of its own to take others";
        return Err(PlanError::invalid(format!("{path}.options"), option, allowed));
    }
    for flag in &options.flags {
        notices.push(format!("{path}.options: {flag} has no effect on a bind mount"));
    }
    Ok(MountSource::Bind { path: source, recursive })
}

/// The container's cgroups.
fn cgroup(path: &str, options: &Options) -> Result<MountSource, PlanError> {
    let given = options.data.first().map(|(key, _)| key.as_str()).or(options.flags.first().copied());
    match given {
        Some(option) => {
            let allowed = "a mount attribute or a propagation: the host's cgroup mounts keep their own options";
            Err(PlanError::invalid(format!("{path}.options"), option, allowed))
        }
        None => Ok(MountSource::Cgroup { readonly: is_read_only(options) }),
    }
}

/// A new file system.
fn new(path: &str, kind: &str, mount: &Mount, options: &Options) -> Result<MountSource, PlanError> {
    let source = mount.source.as_ref().filter(|source| !source.as_os_str().is_empty());
    let source = source.map_or_else(|| kind.into(), |source| source.clone().into_os_string());
    without_nul(&format!("{path}.source"), &source.to_string_lossy())?;
    let flags = options.flags.iter().map(|flag| ((*flag).to_owned(), None));
    Ok(MountSource::New {
        kind: kind.to_owned(),
        source,
        options: flags.chain(options.data.iter().cloned()).collect(),
        readonly: is_read_only(options),
    })
}

/// Whether `ro` is in force at the end of the options.
fn is_read_only(options: &Options) -> bool {
    options.attributes.set.contains(Attributes::READ_ONLY)
}

/// CVE-2019-16884: what the runtime and the kernel's security modules are steered by is procfs itself and nothing else.
fn check_proc(path: &str, destination: &Path, source: &MountSource) -> Result<(), PlanError> {
    let Ok(below) = destination.strip_prefix("/proc") else {
        return Ok(());
    };
    let allowed = match source {
        // Whether the source is procfs is seen when it is opened.
        MountSource::Bind { .. } if below.as_os_str().is_empty() => return Ok(()),
        MountSource::Bind { .. } if COVERED_PROC_FILES.iter().any(|file| below == Path::new(file)) => return Ok(()),
        MountSource::New { kind, .. } if kind == "proc" && below.as_os_str().is_empty() => return Ok(()),
        _ if below.as_os_str().is_empty() => "mounted with the file system proc",
        _ => "outside of /proc, or one of the files that lxcfs replaces there",
    };
    Err(PlanError::invalid(path, destination.display(), allowed))
}

/// The ids of an id-mapped mount.
fn id_map(
    path: &str,
    mount: &Mount,
    options: &Options,
    source: &MountSource,
    new_user_namespace: bool,
) -> Result<Option<MountIdMap>, PlanError> {
    let (uids, gids) = (&mount.uid_mappings, &mount.gid_mappings);
    maps::to_room(&format!("{path}.uidMappings"), uids)?;
    maps::to_room(&format!("{path}.gidMappings"), gids)?;
    if options.id_map.is_none() && uids.is_empty() && gids.is_empty() {
        return Ok(None);
    }
    if !matches!(source, MountSource::Bind { .. }) {
        let why = "only a bind mount can show other ids";
        return Err(PlanError::conflict(format!("{path}.options"), "idmap", format!("{path}.type"), why));
    }
    let maps = match (uids.is_empty(), gids.is_empty()) {
        (false, false) => Some((uids.clone(), gids.clone())),
        (true, true) if new_user_namespace => None,
        (true, true) => {
            let why = "idmap without maps means those of the container's user namespace, and it has none";
            return Err(PlanError::Missing { path: format!("{path}.uidMappings"), why });
        }
        (true, false) | (false, true) => {
            let name = if uids.is_empty() { "uidMappings" } else { "gidMappings" };
            let why = "user ids and group ids are mapped both or not at all";
            return Err(PlanError::Missing { path: format!("{path}.{name}"), why });
        }
    };
    Ok(Some(MountIdMap { maps, recursive: options.id_map.unwrap_or(false) }))
}
