//! `stake`'s command line: runc's, as data. A verb is a name, its flags and a function; parsing and help come from the tables.

mod container;
mod exec;
mod help;
mod parse;
mod update;
mod values;
mod verbs;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::log::{Log, LogFormat};
use crate::store::{Store, StoreError};
use crate::verb::Context;
use crate::verb::exec::ExecError;
use parse::{Parsed, Stop, UsageError, parse};
use stockade_kernel::chain::chain;

/// A flag of the command line.
#[derive(Clone, Copy, Debug)]
struct Flag {
    /// Its long name.
    name: &'static str,
    /// Its other name, a letter.
    short: Option<&'static str>,
    /// What its value is called; `None`: it has none.
    value: Option<&'static str>,
    /// What it does.
    help: &'static str,
}

/// A verb.
struct Verb {
    name: &'static str,
    /// Its other arguments, as help shows them.
    arguments: &'static str,
    /// What it does, in a line.
    about: &'static str,
    flags: &'static [Flag],
    /// Where its flags end.
    stop: Stop,
    run: fn(&Globals, &Parsed) -> Result<u8, Error>,
}

/// Flags before the verb.
const GLOBAL: &[Flag] = &[
    Flag { name: "root", short: None, value: Some("DIR"), help: "folder for the states of containers" },
    Flag { name: "log", short: None, value: Some("FILE"), help: "file for messages, instead of standard error" },
    Flag { name: "log-format", short: None, value: Some("text|json"), help: "form of that file" },
    Flag { name: "debug", short: None, value: None, help: "accepted: there are no messages that are left out without" },
    Flag {
        name: "systemd-cgroup",
        short: None,
        value: None,
        help: "have systemd make the container's cgroup; linux.cgroupsPath is slice:prefix:name",
    },
    Flag { name: "rootless", short: None, value: Some("true|false|auto"), help: "accepted: it is found out" },
    Flag { name: "criu", short: None, value: Some("PATH"), help: "accepted: checkpoints are not supported yet" },
    Flag { name: "version", short: Some("v"), value: None, help: "print the version" },
    Flag { name: "help", short: Some("h"), value: None, help: "print this help" },
];

/// What a verb's function can use: the flags before the verb.
struct Globals {
    root: PathBuf,
    log: Log,
    systemd_cgroup: bool,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error("{0} is not supported yet")]
    Unsupported(&'static str),
    #[error("exec failed")]
    Exec(#[source] ExecError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Verb(Box<dyn std::error::Error>),
    #[error("cannot run from a program file that no container can change (CVE-2019-5736)")]
    Sealed(#[from] stockade_kernel::sealed::SealError),
    #[error("cannot print the answer")]
    Print(#[from] std::io::Error),
}

impl Globals {
    /// Opens the root folder.
    fn context(&self) -> Result<Context, StoreError> {
        Ok(Context { store: Store::open(&self.root)?, log: self.log.clone() })
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    // The caller's is not for what is made here: groups and folders for mounts are the container's to enter.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut log = Log::default();
    match command(arguments, &mut log) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            log.error(&chain(&error));
            // As runc's: 1 could be the code of the process that was to be executed.
            if matches!(error, Error::Exec(_)) { ExitCode::from(255) } else { ExitCode::FAILURE }
        }
    }
}

/// Parses and runs; `log` is set as soon as it is known.
fn command(arguments: Vec<OsString>, log: &mut Log) -> Result<u8, Error> {
    let arguments = parse::texts(arguments)?;
    let (global, rest) = parse(GLOBAL, &arguments, Stop::AtArgument)?;
    log.file = global.path("log");
    log.format = match global.text("log-format") {
        None | Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => return Err(UsageError::value("log-format", other, "text or json").into()),
    };
    if global.has("version") {
        return Ok(help::print_version()?);
    }
    let Some((name, rest)) = rest.split_first() else {
        return Ok(help::print_all()?);
    };
    let find =
        |name: &String| verbs::ALL.iter().find(|verb| verb.name == name).ok_or_else(|| parse::unknown_verb(name));
    match (name.as_str(), rest.first()) {
        ("help", Some(name)) => return Ok(help::print_verb(find(name)?)?),
        ("help", None) => return Ok(help::print_all()?),
        _ if global.has("help") => return Ok(help::print_all()?),
        _ => {}
    }
    if let Some(other) = global.text("rootless").filter(|value| !matches!(*value, "auto" | "true" | "false")) {
        return Err(UsageError::value("rootless", other, "true, false or auto").into());
    }
    let verb = find(name)?;
    let (mut parsed, arguments) = parse(verb.flags, rest, verb.stop)?;
    if parsed.has("help") {
        return Ok(help::print_verb(verb)?);
    }
    parsed.arguments = arguments;
    let root = global.path("root").unwrap_or_else(default_root);
    let globals = Globals { root, log: log.clone(), systemd_cgroup: global.has("systemd-cgroup") };
    (verb.run)(&globals, &parsed)
}

/// `/run/stake`, or the user's own folder for such things.
fn default_root() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) if !rustix::process::geteuid().is_root() => PathBuf::from(folder).join("stake"),
        _ => PathBuf::from("/run/stake"),
    }
}
