//! The verbs' flags, and how they become what the verbs are asked.

use std::path::PathBuf;

use stockade_kernel::sealed;

use super::help::print;
use super::parse::{Parsed, UsageError};
use super::update;
use super::values::{id, interval, number, only_id, signal};
use super::{Error, Flag, Globals, Verb};
use crate::rootfs::Way;
use crate::stage::Keyring;
use crate::verb::{create, delete, events, exec, features, freeze, kill, list, ps, run, spec, start, state};

pub(super) const fn on(name: &'static str, short: Option<&'static str>, help: &'static str) -> Flag {
    Flag { name, short, value: None, help }
}

pub(super) const fn with(
    name: &'static str,
    short: Option<&'static str>,
    value: &'static str,
    help: &'static str,
) -> Flag {
    Flag { name, short, value: Some(value), help }
}

pub(super) const HELP: Flag = on("help", Some("h"), "print this help");
const BUNDLE: Flag = with("bundle", Some("b"), "DIR", "folder of the bundle; the working directory if it is not given");
const CONSOLE: Flag = with("console-socket", None, "PATH", "unix socket that is sent the terminal");
const PID_FILE: Flag = with("pid-file", None, "FILE", "file to write the process id to");
const PRESERVE: Flag = with("preserve-fds", None, "N", "hand N descriptors after standard error on");
const NO_PIVOT: Flag =
    on("no-pivot", None, "move the root over the host's, which is weaker, where pivot_root can not be");
const NO_KEYRING: Flag = on("no-new-keyring", None, "keep the caller's session keyring");

/// All verbs, in the order of help.
pub(super) const ALL: &[Verb] = &[
    Verb {
        name: "create",
        arguments: "ID",
        about: "make a container that waits for its start",
        flags: &[BUNDLE, CONSOLE, PID_FILE, PRESERVE, NO_PIVOT, NO_KEYRING, HELP],
        ends_at_argument: false,
        run: |globals, parsed| {
            sealed::ensure()?;
            create::create(&globals.context()?, &container(parsed)?).map(|()| 0).map_err(verb)
        },
    },
    Verb {
        name: "start",
        arguments: "ID",
        about: "let a created container execute its program",
        flags: &[HELP],
        ends_at_argument: false,
        run: |globals, parsed| start::start(&globals.context()?, &only_id(parsed)?).map(|()| 0).map_err(verb),
    },
    Verb {
        name: "run",
        arguments: "ID",
        about: "create and start a container, wait for its end and delete it",
        flags: &[
            BUNDLE,
            CONSOLE,
            PID_FILE,
            PRESERVE,
            NO_PIVOT,
            NO_KEYRING,
            on("detach", Some("d"), "do not wait"),
            on("keep", None, "do not delete the container when it has ended"),
            on("no-subreaper", None, "do not become the parent of the container's orphans"),
            HELP,
        ],
        ends_at_argument: false,
        run: self::run,
    },
    Verb {
        name: "exec",
        arguments: "ID [COMMAND [ARGUMENT...]]",
        about: "run one more process in a container",
        flags: EXEC,
        ends_at_argument: true,
        run: self::exec,
    },
    Verb {
        name: "state",
        arguments: "ID",
        about: "print what a container is, as JSON",
        flags: &[HELP],
        ends_at_argument: false,
        run: self::state,
    },
    Verb {
        name: "kill",
        arguments: "ID [SIGNAL]",
        about: "send a signal (TERM) to the container's first process",
        flags: &[on("all", Some("a"), "to all processes of the container"), HELP],
        ends_at_argument: false,
        run: self::kill,
    },
    Verb {
        name: "delete",
        arguments: "ID",
        about: "remove what is left of a container",
        flags: &[on("force", Some("f"), "kill it first if it runs; not being there is no error"), HELP],
        ends_at_argument: false,
        run: |globals, parsed| {
            let (context, id) = (globals.context()?, only_id(parsed)?);
            delete::delete(&context, &id, parsed.has("force")).map(|()| 0).map_err(verb)
        },
    },
    Verb {
        name: "list",
        arguments: "",
        about: "print all containers of the root folder",
        flags: &[FORMAT, on("quiet", Some("q"), "ids only"), HELP],
        ends_at_argument: false,
        run: self::list,
    },
    Verb {
        name: "ps",
        arguments: "ID [OPTION OF ps...]",
        about: "print the processes of a container",
        flags: &[FORMAT, HELP],
        ends_at_argument: true,
        run: self::ps,
    },
    Verb {
        name: "pause",
        arguments: "ID",
        about: "stop all processes of a container",
        flags: &[HELP],
        ends_at_argument: false,
        run: |globals, parsed| freeze::pause(&globals.context()?, &only_id(parsed)?).map(|()| 0).map_err(verb),
    },
    Verb {
        name: "resume",
        arguments: "ID",
        about: "let a paused container go on",
        flags: &[HELP],
        ends_at_argument: false,
        run: |globals, parsed| freeze::resume(&globals.context()?, &only_id(parsed)?).map(|()| 0).map_err(verb),
    },
    Verb {
        name: "update",
        arguments: "ID",
        about: "change the limits of a container",
        flags: update::FLAGS,
        ends_at_argument: false,
        run: update::run,
    },
    Verb {
        name: "events",
        arguments: "ID",
        about: "print what a container uses, and when it runs out of memory, as JSON",
        flags: &[
            on("stats", None, "the statistics, once"),
            with("interval", None, "TIME", "time between statistics (5s)"),
            HELP,
        ],
        ends_at_argument: false,
        run: self::events,
    },
    Verb {
        name: "spec",
        arguments: "",
        about: "write a config.json to begin with",
        flags: &[BUNDLE, on("rootless", None, "for a user without privileges"), HELP],
        ends_at_argument: false,
        run: |_, parsed| {
            let bundle = parsed.value("bundle").map_or_else(|| PathBuf::from("."), PathBuf::from);
            let kind = if parsed.has("rootless") { spec::Kind::Rootless } else { spec::Kind::Privileged };
            spec::write(&bundle, kind).map(|()| 0).map_err(verb)
        },
    },
    Verb {
        name: "features",
        arguments: "",
        about: "print what this runtime supports, as JSON",
        flags: &[HELP],
        ends_at_argument: false,
        run: |_, _| {
            let text = serde_json::to_string_pretty(&features::features().map_err(verb)?).map_err(verb)?;
            Ok(print(&(text + "\n"))?)
        },
    },
    unsupported("checkpoint"),
    unsupported("restore"),
];

const EXEC: &[Flag] = &[
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
    with("cgroup", None, "PATH", "not supported: a group below the container's"),
    on("no-subreaper", None, "accepted"),
    on("ignore-paused", None, "run it in a paused container too: it waits there"),
    HELP,
];

const fn unsupported(name: &'static str) -> Verb {
    Verb {
        name,
        arguments: "ID",
        about: "not supported yet",
        flags: &[],
        ends_at_argument: true,
        run: |_, _| Err(Error::Unsupported("checkpoint and restore of containers")),
    }
}

/// How `list` and `ps` answer.
const FORMAT: Flag = with("format", Some("f"), "table|json", "form of the answer");

/// For `map_err`.
pub(super) fn verb<E: std::error::Error + 'static>(error: E) -> Error {
    Error::Verb(Box::new(error))
}

fn container(parsed: &Parsed) -> Result<create::Arguments, Error> {
    Ok(create::Arguments {
        id: only_id(parsed)?,
        bundle: parsed.value("bundle").map_or_else(|| PathBuf::from("."), PathBuf::from),
        console_socket: parsed.value("console-socket").filter(|path| !path.is_empty()).map(PathBuf::from),
        pid_file: parsed.value("pid-file").filter(|path| !path.is_empty()).map(PathBuf::from),
        keyring: if parsed.has("no-new-keyring") { Keyring::Callers } else { Keyring::New },
        way: if parsed.has("no-pivot") { Way::Move } else { Way::Pivot },
        preserve_fds: preserve(parsed)?,
    })
}

/// The descriptors to hand on, which must be there, and those that systemd's `LISTEN_FDS` counts.
fn preserve(parsed: &Parsed) -> Result<u32, UsageError> {
    let count = number::<u32>(parsed, "preserve-fds")?.unwrap_or(0);
    if count > 1024 {
        return Err(UsageError::value("preserve-fds", &count.to_string(), "at most 1024"));
    }
    Ok(count)
}

fn run(globals: &Globals, parsed: &Parsed) -> Result<u8, Error> {
    sealed::ensure()?;
    let then = if parsed.has("detach") {
        run::Then::Detach
    } else {
        run::Then::Wait { keep: parsed.has("keep"), subreaper: !parsed.has("no-subreaper") }
    };
    run::run(&globals.context()?, &container(parsed)?, then).map_err(verb)
}

fn state(globals: &Globals, parsed: &Parsed) -> Result<u8, Error> {
    let id = only_id(parsed)?;
    let Some(shown) = state::state(&globals.context()?, &id).map_err(verb)? else {
        return Err(UsageError::Argument(format!("container does not exist: {id} is being made")).into());
    };
    let text = serde_json::to_string_pretty(&shown).map_err(verb)?;
    Ok(print(&(text + "\n"))?)
}

/// Whether JSON is wanted, and no table.
fn wants_json(parsed: &Parsed) -> Result<bool, UsageError> {
    match parsed.value("format") {
        None | Some("table") => Ok(false),
        Some("json") => Ok(true),
        Some(other) => Err(UsageError::value("format", other, "table or json")),
    }
}

fn list(globals: &Globals, parsed: &Parsed) -> Result<u8, Error> {
    let json = wants_json(parsed)?;
    let context = globals.context()?;
    if parsed.has("quiet") {
        let lines = list::ids(&context)?.into_iter().map(|id| format!("{id}\n"));
        return Ok(print(&lines.collect::<String>())?);
    }
    let list = list::list(&context).map_err(verb)?;
    let text = if json { serde_json::to_string(&list).map_err(verb)? + "\n" } else { list::table(&list) };
    Ok(print(&text)?)
}

fn ps(globals: &Globals, parsed: &Parsed) -> Result<u8, Error> {
    let Some((container, options)) = parsed.arguments.split_first() else {
        return Err(UsageError::Argument("the container's id is missing".to_owned()).into());
    };
    let json = wants_json(parsed)?;
    let pids = ps::processes(&globals.context()?, &id(container)?).map_err(verb)?;
    let text = if json {
        serde_json::to_string(&pids).map_err(verb)? + "\n"
    } else {
        ps::table(&pids, options).map_err(verb)?
    };
    Ok(print(&text)?)
}

fn events(globals: &Globals, parsed: &Parsed) -> Result<u8, Error> {
    let (id, interval) = (only_id(parsed)?, interval(parsed)?);
    let context = globals.context()?;
    let done =
        if parsed.has("stats") { events::statistics(&context, &id) } else { events::follow(&context, &id, interval) };
    done.map(|()| 0).map_err(verb)
}

fn kill(globals: &Globals, parsed: &Parsed) -> Result<u8, Error> {
    let (container, name) = match parsed.arguments.as_slice() {
        [container] => (container, "TERM"),
        [container, name] => (container, name.as_str()),
        _ => return Err(UsageError::Argument("kill needs the container's id and at most a signal".to_owned()).into()),
    };
    let target = if parsed.has("all") { kill::Target::All } else { kill::Target::First };
    kill::kill(&globals.context()?, &id(container)?, signal(name)?, target).map_err(verb)?;
    Ok(0)
}

fn exec(globals: &Globals, parsed: &Parsed) -> Result<u8, Error> {
    sealed::ensure()?;
    for flag in ["process-label", "cgroup"] {
        if parsed.value(flag).is_some_and(|value| !value.is_empty()) {
            return Err(Error::Unsupported(if flag == "cgroup" { "--cgroup" } else { "--process-label (SELinux)" }));
        }
    }
    let Some((container, command)) = parsed.arguments.split_first() else {
        return Err(UsageError::Argument("the container's id is missing".to_owned()).into());
    };
    let process = match (parsed.value("process"), command) {
        (Some(_), [argument, ..]) => {
            return Err(UsageError::Argument(format!("{argument:?} and --process contradict each other")).into());
        }
        (Some(file), []) => exec::Source::File(PathBuf::from(file)),
        (None, []) => return Err(UsageError::Argument("the command to run is missing".to_owned()).into()),
        (None, command) => exec::Source::Changed(Box::new(changes(parsed, command)?)),
    };
    let arguments = exec::Arguments {
        id: id(container)?,
        process,
        console_socket: parsed.value("console-socket").filter(|path| !path.is_empty()).map(PathBuf::from),
        pid_file: parsed.value("pid-file").filter(|path| !path.is_empty()).map(PathBuf::from),
        detach: parsed.has("detach"),
        ignore_paused: parsed.has("ignore-paused"),
        preserve_fds: preserve(parsed)?,
    };
    exec::exec(&globals.context()?, &arguments).map_err(verb)
}

fn changes(parsed: &Parsed, command: &[String]) -> Result<exec::Changes, UsageError> {
    let user = |text: &str| {
        let wrong = || UsageError::value("user", text, "UID or UID:GID, numbers");
        let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
        let gid = gid.map(|gid| gid.parse().or(Err(wrong()))).transpose()?;
        Ok((uid.parse().or(Err(wrong()))?, gid))
    };
    let group = |text: String| text.parse().or(Err(UsageError::value("additional-gids", &text, "a number")));
    Ok(exec::Changes {
        args: command.to_vec(),
        cwd: parsed.value("cwd").map(PathBuf::from),
        env: parsed.values("env"),
        terminal: parsed.has("tty"),
        user: parsed.value("user").map(user).transpose()?,
        additional_gids: parsed.values("additional-gids").into_iter().map(group).collect::<Result<_, _>>()?,
        apparmor: parsed.value("apparmor").map(str::to_owned),
        no_new_privileges: parsed.has("no-new-privs"),
        capabilities: parsed.values("cap"),
    })
}
