//! `create` and `run`: their flags, and what they are asked.

use std::path::PathBuf;

use stockade_kernel::sealed;

use super::parse::{Parsed, UsageError};
use super::values::{number, only_id};
use super::verbs::{HELP, done, on, verb, with};
use super::{Error, Flag, Globals};
use crate::rootfs::Way;
use crate::stage::Keyring;
use crate::verb::group::Driver;
use crate::verb::{create, run};

pub(super) const BUNDLE: Flag =
    with("bundle", Some("b"), "DIR", "folder of the bundle; the working directory if it is not given");
pub(super) const CONSOLE: Flag = with("console-socket", None, "PATH", "unix socket that is sent the terminal");
pub(super) const PID_FILE: Flag = with("pid-file", None, "FILE", "file to write the process id to");
pub(super) const PRESERVE: Flag = with("preserve-fds", None, "N", "hand N descriptors after standard error on");
const START_FD: Flag = with(
    "start-fd",
    None,
    "FD",
    "with --detach: connected socket that is sent a packet once the container is made; it starts at one from there",
);
const NO_PIVOT: Flag =
    on("no-pivot", None, "move the root over the host's, which is weaker, where pivot_root can not be");
const NO_KEYRING: Flag = on("no-new-keyring", None, "keep the caller's session keyring");

pub(super) const CREATE: &[Flag] = &[BUNDLE, CONSOLE, PID_FILE, PRESERVE, NO_PIVOT, NO_KEYRING, HELP];

pub(super) const RUN: &[Flag] = &[
    BUNDLE,
    CONSOLE,
    PID_FILE,
    PRESERVE,
    NO_PIVOT,
    NO_KEYRING,
    on("detach", Some("d"), "do not wait"),
    on("keep", None, "do not delete the container when it has ended"),
    on("no-subreaper", None, "do not become the parent of the container's orphans"),
    START_FD,
    HELP,
];

/// `create`.
pub(super) fn create(globals: &Globals, parsed: &Parsed) -> Result<u8, Error> {
    sealed::ensure()?;
    done(create::create(&globals.context()?, &container(globals, parsed)?))
}

fn container(globals: &Globals, parsed: &Parsed) -> Result<create::Arguments, Error> {
    let listen_fds = listen_fds();
    Ok(create::Arguments {
        id: only_id(parsed)?,
        bundle: parsed.path("bundle").unwrap_or_else(|| PathBuf::from(".")),
        console_socket: parsed.path("console-socket"),
        pid_file: parsed.path("pid-file"),
        driver: if globals.systemd_cgroup { Driver::Systemd } else { Driver::Cgroupfs },
        keyring: if parsed.has("no-new-keyring") { Keyring::Callers } else { Keyring::New },
        way: if parsed.has("no-pivot") { Way::Move } else { Way::Pivot },
        preserve_fds: preserve(parsed, listen_fds)?,
        listen_fds,
    })
}

/// How many sockets systemd has opened for this process (`sd_listen_fds(3)`): they go on to the payload.
fn listen_fds() -> u32 {
    let variable = |name: &str| std::env::var(name).ok();
    let ours = variable("LISTEN_PID").and_then(|pid| pid.parse().ok()) == Some(std::process::id());
    variable("LISTEN_FDS").filter(|_| ours).and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// How many descriptors after standard error are handed on: those of `LISTEN_FDS` and those of the flag, all of which must
/// be there.
pub(super) fn preserve(parsed: &Parsed, listen_fds: u32) -> Result<u32, UsageError> {
    let count = number::<u32>(parsed, "preserve-fds")?.unwrap_or(0);
    let all = count.saturating_add(listen_fds);
    if all > 1024 {
        return Err(UsageError::value("preserve-fds", &all.to_string(), "at most 1024, with those of LISTEN_FDS"));
    }
    match (3..3 + all).find(|number| std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_err()) {
        Some(missing) => Err(UsageError::Argument(format!("cannot hand on {all} descriptors: {missing} is not open"))),
        None => Ok(all),
    }
}

/// The socket of `--start-fd`, which no program inherits from here on.
fn word(parsed: &Parsed, then: run::Then, preserve_fds: u32) -> Result<Option<run::Word>, UsageError> {
    let Some(number) = number::<u16>(parsed, "start-fd")? else { return Ok(None) };
    if then != run::Then::Detach {
        return Err(UsageError::Argument("--start-fd needs --detach".to_owned()));
    }
    let wrong = || UsageError::value("start-fd", &number.to_string(), "a socket that the payload does not inherit");
    if u32::from(number) < 3 + preserve_fds {
        return Err(wrong());
    }
    let socket = stockade_kernel::inherit::take(number.into()).map_err(|_none| wrong())?;
    rustix::net::sockopt::socket_type(&socket).map_err(|_other| wrong())?;
    Ok(Some(run::Word(socket)))
}

/// `run`.
pub(super) fn run(globals: &Globals, parsed: &Parsed) -> Result<u8, Error> {
    sealed::ensure()?;
    let then = if parsed.has("detach") {
        run::Then::Detach
    } else {
        run::Then::Wait { keep: parsed.has("keep"), subreaper: !parsed.has("no-subreaper") }
    };
    let container = container(globals, parsed)?;
    let word = word(parsed, then, container.preserve_fds)?;
    run::run(&globals.context()?, &container, then, word).map_err(verb)
}
