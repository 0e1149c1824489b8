//! The verbs' flags, and how they become what the verbs are asked.

use std::path::PathBuf;

use super::help::print;
use super::parse::{Parsed, Stop, UsageError};
use super::values::{id, interval, only_id, signal};
use super::{Error, Flag, Globals, Verb, container, exec, update};
use crate::verb::{delete, events, features, freeze, kill, list, ps, spec, start, state};

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

/// All verbs, in the order of help.
pub(super) const ALL: &[Verb] = &[
    Verb {
        name: "create",
        arguments: "ID",
        about: "make a container that waits for its start",
        flags: container::CREATE,
        stop: Stop::AtEnd,
        run: container::create,
    },
    Verb {
        name: "start",
        arguments: "ID",
        about: "let a created container execute its program",
        flags: &[HELP],
        stop: Stop::AtEnd,
        run: |globals, parsed| done(start::start(&globals.context()?, &only_id(parsed)?)),
    },
    Verb {
        name: "run",
        arguments: "ID",
        about: "create and start a container, wait for its end and delete it",
        flags: container::RUN,
        stop: Stop::AtEnd,
        run: container::run,
    },
    Verb {
        name: "exec",
        arguments: "ID [COMMAND [ARGUMENT...]]",
        about: "run one more process in a container",
        flags: exec::FLAGS,
        stop: Stop::AtArgument,
        run: exec::run,
    },
    Verb {
        name: "state",
        arguments: "ID",
        about: "print what a container is, as JSON",
        flags: &[HELP],
        stop: Stop::AtEnd,
        run: self::state,
    },
    Verb {
        name: "kill",
        arguments: "ID [SIGNAL]",
        about: "send a signal (TERM) to the container's first process",
        flags: &[on("all", Some("a"), "to all processes of the container"), HELP],
        stop: Stop::AtEnd,
        run: self::kill,
    },
    Verb {
        name: "delete",
        arguments: "ID",
        about: "remove what is left of a container",
        flags: &[on("force", Some("f"), "kill it first if it runs; not being there is no error"), HELP],
        stop: Stop::AtEnd,
        run: |globals, parsed| {
            let (context, id) = (globals.context()?, only_id(parsed)?);
            done(delete::delete(&context, &id, parsed.has("force")))
        },
    },
    Verb {
        name: "list",
        arguments: "",
        about: "print all containers of the root folder",
        flags: &[FORMAT, on("quiet", Some("q"), "ids only"), HELP],
        stop: Stop::AtEnd,
        run: self::list,
    },
    Verb {
        name: "ps",
        arguments: "ID [OPTION OF ps...]",
        about: "print the processes of a container",
        flags: &[FORMAT, HELP],
        stop: Stop::AtArgument,
        run: self::ps,
    },
    Verb {
        name: "pause",
        arguments: "ID",
        about: "stop all processes of a container",
        flags: &[HELP],
        stop: Stop::AtEnd,
        run: |globals, parsed| done(freeze::pause(&globals.context()?, &only_id(parsed)?)),
    },
    Verb {
        name: "resume",
        arguments: "ID",
        about: "let a paused container go on",
        flags: &[HELP],
        stop: Stop::AtEnd,
        run: |globals, parsed| done(freeze::resume(&globals.context()?, &only_id(parsed)?)),
    },
    Verb {
        name: "update",
        arguments: "ID",
        about: "change the limits of a container",
        flags: update::FLAGS,
        stop: Stop::AtEnd,
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
        stop: Stop::AtEnd,
        run: self::events,
    },
    Verb {
        name: "spec",
        arguments: "",
        about: "write a config.json to begin with",
        flags: &[container::BUNDLE, on("rootless", None, "for a user without privileges"), HELP],
        stop: Stop::AtEnd,
        run: |_, parsed| {
            let bundle = parsed.path("bundle").unwrap_or_else(|| PathBuf::from("."));
            let kind = if parsed.has("rootless") { spec::Kind::Rootless } else { spec::Kind::Privileged };
            done(spec::write(&bundle, kind))
        },
    },
    Verb {
        name: "features",
        arguments: "",
        about: "print what this runtime supports, as JSON",
        flags: &[HELP],
        stop: Stop::AtEnd,
        run: |_, _| {
            let text = serde_json::to_string_pretty(&features::features().map_err(verb)?).map_err(verb)?;
            Ok(print(&(text + "\n"))?)
        },
    },
    unsupported("checkpoint"),
    unsupported("restore"),
];

const fn unsupported(name: &'static str) -> Verb {
    Verb {
        name,
        arguments: "ID",
        about: "not supported yet",
        flags: &[],
        // Whatever it is asked with, the answer is the same.
        stop: Stop::BeforeAll,
        run: |_, _| Err(Error::Unsupported("checkpoint and restore of containers")),
    }
}

/// How `list` and `ps` answer.
const FORMAT: Flag = with("format", Some("f"), "table|json", "form of the answer");

/// The answer of a verb that prints nothing.
pub(super) fn done<E: std::error::Error + 'static>(result: Result<(), E>) -> Result<u8, Error> {
    result.map(|()| 0).map_err(verb)
}

/// For `map_err`.
pub(super) fn verb<E: std::error::Error + 'static>(error: E) -> Error {
    Error::Verb(Box::new(error))
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
    match parsed.text("format") {
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
    done(if parsed.has("stats") { events::statistics(&context, &id) } else { events::follow(&context, &id, interval) })
}

fn kill(globals: &Globals, parsed: &Parsed) -> Result<u8, Error> {
    let (container, name) = match parsed.arguments.as_slice() {
        [container] => (container, "TERM"),
        [container, name] => (container, name.as_str()),
        _ => return Err(UsageError::Argument("kill needs the container's id and at most a signal".to_owned()).into()),
    };
    let target = if parsed.has("all") { kill::Target::All } else { kill::Target::First };
    done(kill::kill(&globals.context()?, &id(container)?, signal(name)?, target))
}
