//! `process`: the payload, and what `exec` adds.

use std::ffi::OsString;

use stockade_capabilities::{CapSet, Capability, Sets, Which};
use stockade_spec::{Capabilities, Process, User};

use super::error::{absolute, without_nul};
use super::hooks::environment;
use super::maps::{IdMaps, holds};
use super::model::ProcessPlan;
use super::{PlanError, ProcessFacts, rlimits, scheduling};

/// The most supplementary groups (`NGROUPS_MAX`, Linux 2.6.4).
const MOST_GROUPS: usize = 65_536;

/// In which user namespace the process will be.
#[derive(Clone, Copy, Debug)]
pub enum UserNamespace<'a> {
    /// The runtime's own: it can give no capability that it lacks.
    Runtimes,
    /// Another, of which the maps are known.
    Mapped(IdMaps<'a>),
    /// Another, joined by its path; only the kernel knows its maps.
    Joined,
}

/// Plans a process; what it will lack is added to `notices`.
///
/// # Errors
/// [`PlanError`] with a path that begins with `process`.
pub fn process(
    process: &Process,
    facts: &ProcessFacts,
    user_namespace: UserNamespace<'_>,
    notices: &mut Vec<String>,
) -> Result<ProcessPlan, PlanError> {
    absolute("process.cwd", &process.cwd)?;
    check_texts(process)?;
    // A Linux runtime ignores what is said for others, as `plan::note_other_platforms` does.
    for (path, value) in
        [("process.commandLine", &process.command_line), ("process.user.username", &process.user.username)]
    {
        if value.is_some() {
            notices.push(format!("{path} is ignored: it is for another platform"));
        }
    }
    check_user(&process.user, user_namespace)?;
    let capabilities = process.capabilities.as_ref().map(|wanted| sets(wanted, facts, user_namespace, notices));
    let oom_score_adj = process.oom_score_adj;
    if let Some(score) = oom_score_adj.filter(|score| !(-1000..=1000).contains(score)) {
        return Err(PlanError::invalid("process.oomScoreAdj", score, "-1000 to 1000"));
    }
    let size = process.console_size.map(|size| (size.height, size.width));
    Ok(ProcessPlan {
        args: process.args.iter().map(OsString::from).collect(),
        env: process.env.iter().map(OsString::from).collect(),
        cwd: process.cwd.clone(),
        terminal: process.terminal.then_some(size),
        uid: process.user.uid,
        gid: process.user.gid,
        groups: match (&facts.fixed_groups, user_namespace) {
            (Some(fixed), UserNamespace::Runtimes) => fixed_groups(&process.user, fixed, notices)?,
            _ => process.user.additional_gids.clone(),
        },
        umask: process.user.umask.unwrap_or(0o022),
        capabilities: capabilities.transpose()?,
        no_new_privileges: process.no_new_privileges,
        apparmor: (!process.apparmor_profile.is_empty()).then(|| process.apparmor_profile.clone()),
        rlimits: rlimits::plan(&process.rlimits)?,
        oom_score_adj,
        scheduler: process.scheduler.as_ref().map(scheduling::scheduler).transpose()?,
        io_priority: process.io_priority.as_ref().map(scheduling::io_priority).transpose()?,
        affinity: process.exec_cpu_affinity.as_ref().map_or(Ok((None, None)), scheduling::affinity)?,
    })
}

/// Arguments, environment and labels.
fn check_texts(process: &Process) -> Result<(), PlanError> {
    if process.args.first().is_none_or(String::is_empty) {
        let why = "the first argument is the program to execute";
        return Err(PlanError::Missing { path: "process.args".to_owned(), why });
    }
    for (index, argument) in process.args.iter().enumerate() {
        without_nul(&format!("process.args[{index}]"), argument)?;
    }
    environment("process.env", &process.env)?;
    if !process.selinux_label.is_empty() {
        let why = "SELinux labels are not applied by this runtime";
        return Err(PlanError::unsupported("process.selinuxLabel", &process.selinux_label, why));
    }
    if process.apparmor_profile.chars().any(char::is_control) {
        let allowed = "a profile's name without control characters";
        return Err(PlanError::invalid("process.apparmorProfile", &process.apparmor_profile, allowed));
    }
    Ok(())
}

/// The groups that stay although others were asked for, or none: more than the own group cannot be had.
fn fixed_groups(user: &User, fixed: &[u32], notices: &mut Vec<String>) -> Result<Vec<u32>, PlanError> {
    if let Some(other) = user.additional_gids.iter().find(|gid| **gid != user.gid && !fixed.contains(gid)) {
        let allowed = "the groups of the runtime, which its user namespace lets nobody change";
        return Err(PlanError::invalid("process.user.additionalGids", other, allowed));
    }
    if !fixed.is_empty() {
        notices.push("the process keeps the runtime's groups, which its user namespace lets nobody leave".to_owned());
    }
    Ok(fixed.to_vec())
}

/// Ids that exist, and that the user namespace maps.
fn check_user(user: &User, namespace: UserNamespace<'_>) -> Result<(), PlanError> {
    if user.additional_gids.len() > MOST_GROUPS {
        let count = format!("{} groups", user.additional_gids.len());
        return Err(PlanError::invalid("process.user.additionalGids", count, "at most 65536 groups"));
    }
    if let Some(umask) = user.umask.filter(|umask| *umask > 0o777) {
        return Err(PlanError::invalid("process.user.umask", umask, "0 to 511 (0777)"));
    }
    let uids = std::iter::once(("process.user.uid".to_owned(), user.uid, true));
    let gids = std::iter::once(("process.user.gid".to_owned(), user.gid, false));
    let groups = user.additional_gids.iter().enumerate();
    let groups = groups.map(|(index, gid)| (format!("process.user.additionalGids[{index}]"), *gid, false));
    for (path, id, is_user) in uids.chain(gids).chain(groups) {
        if id == u32::MAX {
            return Err(PlanError::invalid(path, id, "at most 4294967294: the last number means no id"));
        }
        let UserNamespace::Mapped(maps) = namespace else {
            continue;
        };
        let (name, map) = if is_user { ("linux.uidMappings", maps.uids) } else { ("linux.gidMappings", maps.gids) };
        if !holds(map, id) {
            let other = format!("{name} ({})", super::maps::show(map));
            return Err(PlanError::conflict(path, id, other, "the container's user namespace does not map this id"));
        }
    }
    Ok(())
}

/// The five sets. What the kernel does not know, or the runtime does not have and so can not give, is left out and said.
fn sets(
    wanted: &Capabilities,
    facts: &ProcessFacts,
    namespace: UserNamespace<'_>,
    notices: &mut Vec<String>,
) -> Result<Sets, PlanError> {
    let all = CapSet::up_to(facts.last_capability);
    let read = |field: &str, names: &[String]| {
        let mut set = CapSet::EMPTY;
        for (index, name) in names.iter().enumerate() {
            let path = || format!("process.capabilities.{field}[{index}]");
            // `ALL` is a word of engines' flags; in a configuration it is no capability.
            let one = name.parse::<Capability>().map_err(|source| PlanError::Capability { path: path(), source })?;
            set = set | CapSet::from(one);
        }
        Ok(set)
    };
    let asked = Sets {
        effective: read("effective", &wanted.effective)?,
        permitted: read("permitted", &wanted.permitted)?,
        inheritable: read("inheritable", &wanted.inheritable)?,
        bounding: read("bounding", &wanted.bounding)?,
        ambient: read("ambient", &wanted.ambient)?,
    };
    subset("effective", asked.effective, "permitted", asked.permitted)?;
    // `runc spec` and older engines write ambient ones that no kernel gives; the process has fewer then, not more.
    let ambient = asked.ambient & asked.permitted & asked.inheritable;
    if ambient != asked.ambient {
        notices.push(format!(
            "process.capabilities.ambient: without {}, since what is ambient must be permitted and inheritable too",
            asked.ambient - ambient
        ));
    }
    let own = &facts.capabilities.sets;
    let (permitted, bounding) = match namespace {
        UserNamespace::Runtimes => (own.permitted & all, own.bounding & all),
        // Whoever makes or enters a user namespace has all capabilities in it (user_namespaces(7)).
        UserNamespace::Mapped(_) | UserNamespace::Joined => (all, all),
    };
    for which in Which::ALL {
        let missing = asked.get(which) - if which == Which::Bounding { bounding } else { permitted };
        if !missing.is_empty() {
            notices.push(format!(
                "process.capabilities.{which}: without {missing}, which this kernel or the runtime itself does not have"
            ));
        }
    }
    Ok(Sets {
        effective: asked.effective & permitted,
        permitted: asked.permitted & permitted,
        inheritable: asked.inheritable & permitted,
        bounding: asked.bounding & bounding,
        ambient: ambient & permitted,
    })
}

/// The kernel's own rule, said before it is broken.
fn subset(name: &str, set: CapSet, wider_name: &str, wider: CapSet) -> Result<(), PlanError> {
    let extra = set - wider;
    if extra.is_empty() {
        return Ok(());
    }
    let other = format!("process.capabilities.{wider_name} ({wider})");
    let why = format!("{name} capabilities must be {wider_name} too");
    Err(PlanError::conflict(format!("process.capabilities.{name}"), extra, other, why))
}
