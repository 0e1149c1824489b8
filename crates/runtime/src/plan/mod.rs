//! From `config.json` to a [`Plan`]: pure, without touching anything.
//!
//! [`plan()`] checks every property of the runtime specification's Linux configuration and either takes it up in the plan,
//! or refuses it with a [`PlanError`] that names it. What the container will lack without being weaker for it is said in
//! [`Plan::notices`](model::Plan::notices). [`process()`] and [`limits()`] do the same for `exec` and `update`.
//!
//! Where the specification is silent, runc's behaviour is followed, except where a stricter one is safer: a container
//! always has a mount namespace of its own, and a value that its property can not use is an error.

mod device_rules;
mod devices;
mod error;
mod hooks;
mod id_list;
mod maps;
pub mod model;
mod mount_options;
mod mounts;
mod namespaces;
mod net_devices;
mod process;
mod resources;
mod rlimits;
mod rootfs;
mod scheduling;
mod sysctl;
mod unit;

use std::path::PathBuf;

use stockade_capabilities::{Capability, State};
use stockade_cgroups::GroupPath;
use stockade_cgroups::model::Limits;
use stockade_kernel::namespace::Namespaces;
use stockade_kernel::sched::Personality;
use stockade_spec::{Linux, NamespaceType, PersonalityDomain, Spec};

pub use error::PlanError;
pub use maps::IdMaps;
pub use model::Plan;
pub(crate) use mount_options::names as mount_option_names;
pub(crate) use namespaces::flag as namespace_flag;
pub use process::{UserNamespace, process};
pub use resources::limits;
pub(crate) use scheduling::memory_policy_names;
pub use unit::unit_properties;

/// What the caller has found out about the machine and itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The bundle's folder, absolute and without links.
    pub bundle: PathBuf,
    /// The container's id.
    pub container_id: String,
    /// Whether the runtime has no privileges on the host: it is not root, or root of a user namespace only.
    pub rootless: bool,
    /// What a process depends on.
    pub process: ProcessFacts,
    /// The kinds of namespaces that the kernel has.
    pub namespaces: Namespaces,
    /// Those of the configuration's namespace paths that lead to the runtime's own namespace of their type: joining it is
    /// sharing the host's, and nothing of it is changed.
    pub own_namespace_paths: Vec<(NamespaceType, PathBuf)>,
}

/// The part of [`Facts`] that the plan of a process, the container's or one that is added, depends on.
#[derive(Clone, Debug)]
pub struct ProcessFacts {
    /// The runtime's supplementary groups, if its user namespace does not let them be changed (`user_namespaces(7)`, "setgroups").
    pub fixed_groups: Option<Vec<u32>>,
    /// The runtime's own capabilities.
    pub capabilities: State,
    /// The highest capability that the kernel knows.
    pub last_capability: Capability,
}

/// Plans a container.
///
/// # Errors
/// [`PlanError`] for the first property that can not be had, naming it.
pub fn plan(spec: &Spec, facts: &Facts) -> Result<Plan, PlanError> {
    check_version(&spec.oci_version)?;
    let mut notices = Vec::new();
    let linux = spec.linux.as_ref();
    let why = "this runtime makes Linux containers, which need namespaces";
    let linux = linux.ok_or(PlanError::Missing { path: "linux".to_owned(), why })?;
    note_other_platforms(spec, &mut notices);
    refuse_unsupported(linux)?;
    let own = namespaces::check(spec, linux, facts, &mut notices)?;
    let user_namespace = user_namespace(linux, &own);
    let process =
        spec.process.as_ref().map(|process| self::process(process, &facts.process, user_namespace, &mut notices));
    Ok(Plan {
        process: process.transpose()?,
        cgroup_path: cgroup_path(&linux.cgroups_path)?,
        limits: container_limits(linux, facts, &mut notices)?,
        rootfs: rootfs::plan(spec, linux, facts, &own, &mut notices)?,
        hostname: (!spec.hostname.is_empty()).then(|| spec.hostname.clone()),
        domainname: (!spec.domainname.is_empty()).then(|| spec.domainname.clone()),
        sysctls: sysctl::plan(&linux.sysctl, &own, &spec.hostname, &spec.domainname)?,
        net_devices: net_devices::plan(&linux.net_devices, &own)?,
        hooks: hooks::plan(spec.hooks.as_ref())?,
        seccomp: linux.seccomp.clone(),
        personality: personality(linux)?,
        memory_policy: linux.memory_policy.as_ref().map(scheduling::memory_policy).transpose()?,
        namespaces: namespaces::plan(linux, facts, &own)?,
        rootless: facts.rootless,
        notices,
    })
}

/// The maps of an id-mapped mount in the namespaces room's words.
///
/// # Errors
/// [`PlanError`] for ranges that are no map.
pub fn mount_maps(
    uids: &[stockade_spec::IdMapping],
    gids: &[stockade_spec::IdMapping],
) -> Result<stockade_namespaces::IdMaps, PlanError> {
    let users = maps::to_room("uidMappings", uids)?;
    Ok(stockade_namespaces::IdMaps { users, groups: maps::to_room("gidMappings", gids)? })
}

/// `ociVersion` is a semantic version; the rules of this file are those of 1.x.
fn check_version(version: &str) -> Result<(), PlanError> {
    let plain = |number: &str| {
        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) && (number == "0" || !number.starts_with('0'))
    };
    let (core, suffix) = match version.find(['-', '+']) {
        Some(at) => (&version[..at], Some(&version[at + 1..])),
        None => (version, None),
    };
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'+'))
    };
    let numbers: Vec<_> = core.split('.').collect();
    if numbers.len() != 3
        || !numbers.iter().all(|number| plain(number))
        || numbers[0] != "1"
        || !suffix.is_none_or(word)
    {
        return Err(PlanError::invalid("ociVersion", version, "a semantic version 1.x.y"));
    }
    Ok(())
}

/// A Linux runtime ignores what is said for others (`config.md`, "Platform-specific configuration").
fn note_other_platforms(spec: &Spec, notices: &mut Vec<String>) {
    for (name, section) in [
        ("vm", &spec.vm),
        ("windows", &spec.windows),
        ("solaris", &spec.solaris),
        ("zos", &spec.zos),
        ("freebsd", &spec.freebsd),
    ] {
        if section.is_some() {
            notices.push(format!("{name} is ignored: it is for another platform"));
        }
    }
}

/// What this runtime does not carry out.
fn refuse_unsupported(linux: &Linux) -> Result<(), PlanError> {
    if !linux.mount_label.is_empty() {
        let why = "SELinux labels are not applied by this runtime";
        return Err(PlanError::unsupported("linux.mountLabel", &linux.mount_label, why));
    }
    match &linux.intel_rdt {
        None | Some(serde_json::Value::Null) => Ok(()),
        Some(serde_json::Value::Object(section)) if section.is_empty() => Ok(()),
        Some(section) => {
            let why = "this runtime does not use the resctrl file system";
            Err(PlanError::unsupported("linux.intelRdt", section, why))
        }
    }
}

/// In which user namespace the payload will be.
fn user_namespace<'a>(linux: &'a Linux, own: &namespaces::Own) -> UserNamespace<'a> {
    if own.is_new(NamespaceType::User) {
        UserNamespace::Mapped(IdMaps { uids: &linux.uid_mappings, gids: &linux.gid_mappings })
    } else if own.has(NamespaceType::User) {
        UserNamespace::Joined
    } else {
        UserNamespace::Runtimes
    }
}

/// `linux.cgroupsPath`, of a form that the cgroups room takes.
fn cgroup_path(value: &str) -> Result<String, PlanError> {
    if !value.is_empty() {
        let path = || "linux.cgroupsPath".to_owned();
        GroupPath::new(value, None).map_err(|source| PlanError::Cgroup {
            path: path(),
            value: value.to_owned(),
            source,
        })?;
    }
    Ok(value.to_owned())
}

/// Limits, with device rules always, except where only the host's root may attach them.
fn container_limits(linux: &Linux, facts: &Facts, notices: &mut Vec<String>) -> Result<Limits, PlanError> {
    let mut limits = linux.resources.as_ref().map_or_else(|| Ok(Limits::default()), limits)?;
    if !facts.rootless {
        let rules = || device_rules::plan(&[]);
        limits.devices = Some(limits.devices.take().map_or_else(rules, Ok)?);
    } else if limits.devices.take().is_some() {
        notices.push(
            "linux.resources.devices is not in force: without privileges no rules can be set, and no nodes made"
                .to_owned(),
        );
    }
    Ok(limits)
}

/// `linux.personality`.
fn personality(linux: &Linux) -> Result<Option<Personality>, PlanError> {
    let Some(wanted) = &linux.personality else {
        return Ok(None);
    };
    if let Some(flag) = wanted.flags.first() {
        return Err(PlanError::unsupported("linux.personality.flags", flag, "config-linux.md defines no flag"));
    }
    Ok(Some(match wanted.domain {
        PersonalityDomain::Linux => Personality::Linux,
        PersonalityDomain::Linux32 => Personality::Linux32,
    }))
}

#[cfg(test)]
mod tests;
