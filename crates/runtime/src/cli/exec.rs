//! `exec`: its flags, and what it is asked.

use std::path::{Component, Path};

use stockade_kernel::sealed;

use super::container::{CONSOLE, PID_FILE, PRESERVE, preserve};
use super::parse::{Parsed, UsageError};
use super::values::{id, unsigned};
use super::verbs::{HELP, on, with};
use super::{Error, Flag, Globals};
use crate::verb::exec;

pub(super) const FLAGS: &[Flag] = &[
    CONSOLE,
    PID_FILE,
    PRESERVE,
    with("process", Some("p"), "FILE", "file that describes the process, like config.json's process"),
    with("cwd", None, "DIR", "working directory"),
    with("env", Some("e"), "NAME=VALUE", "more of the environment"),
    on("tty", Some("t"), "give it a terminal"),
    with("user", Some("u"), "UID[:GID]", "user and group"),
    with("additional-gids", Some("g"), "GID", "one more group"),
    on("detach", Some("d"), "do not wait"),
    with("process-label", None, "LABEL", "not supported: SELinux"),
    with("apparmor", None, "PROFILE", "AppArmor profile"),
    on("no-new-privs", None, "set no_new_privs"),
    with("cap", Some("c"), "CAPABILITY", "one more capability"),
    with("cgroup", None, "[CONTROLLER,...:]PATH", "an existing cgroup below the container's"),
    on("no-subreaper", None, "accepted"),
    on("ignore-paused", None, "run it in a paused container too: it waits there"),
    HELP,
];

/// `exec`.
pub(super) fn run(globals: &Globals, parsed: &Parsed) -> Result<u8, Error> {
    sealed::ensure()?;
    if parsed.text("process-label").is_some() {
        return Err(Error::Unsupported("--process-label (SELinux)"));
    }
    let Some((container, command)) = parsed.arguments.split_first() else {
        return Err(UsageError::Argument("the container's id is missing".to_owned()).into());
    };
    let process = match (parsed.path("process"), command) {
        (Some(_), [argument, ..]) => {
            return Err(UsageError::Argument(format!("{argument:?} and --process contradict each other")).into());
        }
        (Some(file), []) => exec::Source::File(file),
        (None, []) => return Err(UsageError::Argument("the command to run is missing".to_owned()).into()),
        (None, command) => exec::Source::Changed(Box::new(changes(parsed, command)?)),
    };
    let arguments = exec::Arguments {
        id: id(container)?,
        process,
        console_socket: parsed.path("console-socket"),
        pid_file: parsed.path("pid-file"),
        cgroups: sub_groups(&parsed.values("cgroup"))?,
        detach: parsed.has("detach"),
        ignore_paused: parsed.has("ignore-paused"),
        preserve_fds: preserve(parsed, 0)?,
    };
    exec::exec(&globals.context()?, &arguments).map_err(Error::Exec)
}

/// All of `--cgroup`: a single one may be for all controllers.
fn sub_groups(texts: &[String]) -> Result<Vec<exec::SubGroup>, UsageError> {
    let groups = texts.iter().map(|text| sub_group(text)).collect::<Result<Vec<_>, _>>()?;
    match groups.iter().zip(texts).find(|(group, _)| group.controllers.is_empty() && texts.len() > 1) {
        Some((_, text)) => Err(UsageError::value("cgroup", text, "CONTROLLER:PATH, for there are several")),
        None => Ok(groups),
    }
}

/// `PATH`, or `CONTROLLER,...:PATH` for some hierarchies of cgroup v1.
fn sub_group(text: &str) -> Result<exec::SubGroup, UsageError> {
    let (controllers, path) = text.split_once(':').unwrap_or(("", text));
    let path = Path::new(path.trim_start_matches('/'));
    if !path.components().all(|component| matches!(component, Component::Normal(_))) {
        return Err(UsageError::value("cgroup", text, "a path below the container's cgroup, without `..`"));
    }
    let controllers = controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Ok(exec::SubGroup { controllers, path: path.to_owned() })
}

fn changes(parsed: &Parsed, command: &[String]) -> Result<exec::Changes, UsageError> {
    let user = |text: &str| {
        let wrong = || UsageError::value("user", text, "UID or UID:GID, numbers");
        let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
        let gid = gid.map(|gid| unsigned(gid).ok_or_else(wrong)).transpose()?;
        Ok((unsigned(uid).ok_or_else(wrong)?, gid))
    };
    let group = |text: String| unsigned(&text).ok_or_else(|| UsageError::value("additional-gids", &text, "a number"));
    Ok(exec::Changes {
        args: command.to_vec(),
        cwd: parsed.path("cwd"),
        env: parsed.values("env"),
        terminal: parsed.has("tty"),
        user: parsed.text("user").map(user).transpose()?,
        additional_gids: parsed.values("additional-gids").into_iter().map(group).collect::<Result<_, _>>()?,
        apparmor: parsed.text("apparmor").map(str::to_owned),
        no_new_privileges: parsed.has("no-new-privs"),
        capabilities: parsed.values("cap"),
    })
}
