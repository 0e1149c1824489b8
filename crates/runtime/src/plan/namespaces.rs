//! `linux.namespaces` and what depends on them: id maps, clock offsets, names.

use stockade_kernel::namespace::Namespaces;
use stockade_namespaces::{Clock, IdMaps, Request, TimeOffsets};
use stockade_spec::{Linux, Namespace, NamespaceType, Spec};

use super::error::absolute;
use super::{Facts, PlanError, maps};

/// Which namespaces the container does not share with the runtime.
pub(super) struct Own {
    /// Made for it.
    new: Vec<NamespaceType>,
    /// Joined.
    joined: Vec<NamespaceType>,
}

impl Own {
    /// Whether the container has this namespace for itself, new or joined.
    pub(super) fn has(&self, kind: NamespaceType) -> bool {
        self.is_new(kind) || self.joined.contains(&kind)
    }

    /// Whether this namespace is made for the container.
    pub(super) fn is_new(&self, kind: NamespaceType) -> bool {
        self.new.contains(&kind)
    }

    /// These as new ones.
    #[cfg(test)]
    pub(super) fn of(new: &[NamespaceType]) -> Self {
        Self { new: new.to_vec(), joined: Vec::new() }
    }
}

/// The kernel's flag.
pub(crate) fn flag(kind: NamespaceType) -> Namespaces {
    match kind {
        NamespaceType::Pid => Namespaces::PID,
        NamespaceType::Network => Namespaces::NET,
        NamespaceType::Mount => Namespaces::MOUNT,
        NamespaceType::Ipc => Namespaces::IPC,
        NamespaceType::Uts => Namespaces::UTS,
        NamespaceType::User => Namespaces::USER,
        NamespaceType::Cgroup => Namespaces::CGROUP,
        NamespaceType::Time => Namespaces::TIME,
    }
}

/// Checks `linux.namespaces` and all that needs one.
pub(super) fn check(spec: &Spec, linux: &Linux, facts: &Facts, notices: &mut Vec<String>) -> Result<Own, PlanError> {
    let own = check_list(&linux.namespaces, facts)?;
    if !own.is_new(NamespaceType::Mount) {
        let why = "a new mount namespace is needed: without it the container's mounts would be the host's";
        return Err(PlanError::Missing { path: "linux.namespaces".to_owned(), why });
    }
    check_maps(linux, &own, notices)?;
    check_offsets(linux, &own)?;
    for (path, name) in [("hostname", &spec.hostname), ("domainname", &spec.domainname)] {
        if name.is_empty() {
            continue;
        }
        if !own.has(NamespaceType::Uts) {
            let why = "the host's would be changed; it needs a uts namespace of the container's own";
            return Err(PlanError::conflict(path, name, "linux.namespaces", why));
        }
        if name.len() > 64 || name.chars().any(char::is_control) {
            return Err(PlanError::invalid(path, name, "at most 64 bytes without control characters"));
        }
    }
    Ok(own)
}

/// Each type at most once, by an absolute path, and known to the kernel.
fn check_list(namespaces: &[Namespace], facts: &Facts) -> Result<Own, PlanError> {
    let mut own = Own { new: Vec::new(), joined: Vec::new() };
    for (index, namespace) in namespaces.iter().enumerate() {
        let path = |field| format!("linux.namespaces[{index}].{field}");
        let kind = namespace.kind;
        if let Some(first) = namespaces.iter().take(index).position(|other| other.kind == kind) {
            let other = format!("linux.namespaces[{first}].type");
            return Err(PlanError::conflict(path("type"), kind.word(), other, "each type can be given once"));
        }
        if !facts.namespaces.contains(flag(kind)) {
            return Err(PlanError::unsupported(path("type"), kind.word(), "this kernel has no such namespaces"));
        }
        if namespace.path.as_os_str().is_empty() {
            own.new.push(kind);
            continue;
        }
        absolute(&path("path"), &namespace.path)?;
        if kind == NamespaceType::Mount {
            let why = "the root is prepared in a new mount namespace, never in one that others use";
            return Err(PlanError::unsupported(path("path"), namespace.path.display(), why));
        }
        if !is_the_runtimes(facts, namespace) {
            own.joined.push(kind);
        }
    }
    Ok(own)
}

/// Whether the path leads to the runtime's own namespace of the type.
fn is_the_runtimes(facts: &Facts, namespace: &Namespace) -> bool {
    facts.own_namespace_paths.iter().any(|(kind, path)| *kind == namespace.kind && *path == namespace.path)
}

/// Maps need a user namespace and it needs them.
fn check_maps(linux: &Linux, own: &Own, notices: &mut Vec<String>) -> Result<(), PlanError> {
    for (path, list) in [("linux.uidMappings", &linux.uid_mappings), ("linux.gidMappings", &linux.gid_mappings)] {
        maps::to_room(path, list)?;
        let (new, joined) = (own.is_new(NamespaceType::User), own.joined.contains(&NamespaceType::User));
        if list.is_empty() && new {
            let why = "a new user namespace needs a map; without one every id in it is the overflow id";
            return Err(PlanError::Missing { path: path.to_owned(), why });
        }
        if !list.is_empty() && !new {
            if !joined {
                let why = "maps need a user namespace";
                return Err(PlanError::conflict(path, maps::show(list), "linux.namespaces", why));
            }
            notices.push(format!("{path} is not written: the joined user namespace has maps of its own"));
        }
    }
    Ok(())
}

/// Offsets are written to a time namespace before anyone is in it.
fn check_offsets(linux: &Linux, own: &Own) -> Result<(), PlanError> {
    for (clock, offset) in &linux.time_offsets {
        let path = format!("linux.timeOffsets[{clock:?}]");
        if !own.is_new(NamespaceType::Time) {
            let why = "offsets need a new time namespace";
            return Err(PlanError::conflict(path, offset.secs, "linux.namespaces", why));
        }
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(PlanError::invalid(path, clock, "the clock monotonic or boottime"));
        }
        if offset.nanosecs >= 1_000_000_000 {
            return Err(PlanError::invalid(format!("{path}.nanosecs"), offset.nanosecs, "below 1000000000"));
        }
    }
    Ok(())
}

/// The plan in the namespaces room's words, once [`check`] has found nothing against it. A path to the runtime's own
/// namespace means sharing it, and the maps of a joined user namespace are its own.
pub(super) fn plan(linux: &Linux, facts: &Facts, own: &Own) -> Result<stockade_namespaces::Plan, PlanError> {
    let apart = |namespace: &&Namespace| !is_the_runtimes(facts, namespace);
    let request = |namespace: &Namespace| Request {
        kind: flag(namespace.kind),
        path: (!namespace.path.as_os_str().is_empty()).then(|| namespace.path.clone()),
    };
    let maps = if own.is_new(NamespaceType::User) {
        let users = maps::to_room("linux.uidMappings", &linux.uid_mappings)?;
        IdMaps { users, groups: maps::to_room("linux.gidMappings", &linux.gid_mappings)? }
    } else {
        IdMaps::default()
    };
    let clock = |name: &str| {
        let offset = linux.time_offsets.get(name).copied().unwrap_or_default();
        Clock { seconds: offset.secs, nanoseconds: offset.nanosecs }
    };
    let offsets = TimeOffsets { monotonic: clock("monotonic"), boottime: clock("boottime") };
    let offsets = (!linux.time_offsets.is_empty()).then_some(offsets);
    let path = || "linux.namespaces".to_owned();
    stockade_namespaces::Plan::new(linux.namespaces.iter().filter(apart).map(request), maps, offsets)
        .map_err(|source| PlanError::Namespaces { path: path(), source })
}
