//! What a shell is told of how a word can go on: commands and flags by clap, names of containers, images and volumes by the engine.
//!
//! The script that `stockade completion` prints has the shell start this program again with [`VARIABLE`] set, for each completion.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::CompleteEnv;
use stockade_engine::volume;
use stockade_engine::{Engine, Which};

use crate::global::Global;
use crate::line;

/// Set by the shell's script only. A name of our own: nothing else that is set can turn a command into a completion.
pub(crate) const VARIABLE: &str = "STOCKADE_COMPLETE";

/// Answers a shell's script, if it is one that asks.
///
/// # Errors
/// If the shell is unknown or does not listen.
pub(crate) fn answer(arguments: &[OsString]) -> Result<bool, clap::Error> {
    let complete = CompleteEnv::with_factory(line::whole).var(VARIABLE);
    let here = std::env::current_dir().ok();
    complete.try_complete(arguments.iter().cloned(), here.as_deref())
}

/// `command` and all its commands with the names that their arguments can have.
pub(crate) fn name(command: Command) -> Command {
    command.mut_args(named).mut_subcommands(name)
}

fn named(argument: Arg) -> Arg {
    let values: Vec<&str> = argument.get_value_names().unwrap_or_default().iter().map(|name| name.as_str()).collect();
    let names: fn(&Engine) -> Vec<String> = match values.first() {
        Some(&"CONTAINER" | &"CONTAINER|PID" | &"CONTAINER|PID|FILE") => containers,
        Some(&"IMAGE") => images,
        Some(&"VOLUME") => volumes,
        Some(&"NAME|ID") => all,
        _ => return argument,
    };
    argument.add(ArgValueCompleter::new(move |begun: &OsStr| candidates(begun, names)))
}

/// The names that begin so. Where the engine cannot be asked there are none: a completion has nowhere to tell why.
fn candidates(begun: &OsStr, names: fn(&Engine) -> Vec<String>) -> Vec<CompletionCandidate> {
    let (Some(begun), Ok(engine)) = (begun.to_str(), places().engine()) else { return Vec::new() };
    let mut found: Vec<String> = names(&engine).into_iter().filter(|name| name.starts_with(begun)).collect();
    found.sort_unstable();
    found.into_iter().map(CompletionCandidate::new).collect()
}

/// Where things are, as the line that is being written says.
fn places() -> Global {
    let words: Vec<OsString> = std::env::args_os().collect();
    let given = |flag: &str| {
        let after = words.iter().position(|word| word == flag).and_then(|place| words.get(place + 1));
        let joined =
            || words.iter().find_map(|word| word.to_str()?.strip_prefix(flag)?.strip_prefix('=').map(OsString::from));
        after.cloned().or_else(joined)
    };
    Global::at(given("--data-root"), given("--exec-root"))
}

fn containers(engine: &Engine) -> Vec<String> {
    let found = stockade_engine::list(engine, Which::All).unwrap_or_default();
    found.into_iter().map(|one| one.name).collect()
}

fn images(engine: &Engine) -> Vec<String> {
    let found = stockade_engine::list_images(engine).unwrap_or_default();
    found.into_iter().flat_map(|one| one.tags).collect()
}

fn volumes(engine: &Engine) -> Vec<String> {
    volume::list(engine).unwrap_or_default().into_iter().map(|one| one.name.to_string()).collect()
}

fn all(engine: &Engine) -> Vec<String> {
    [containers(engine), images(engine), volumes(engine)].concat()
}
