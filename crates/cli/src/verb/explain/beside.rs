//! `run --explain` and `run --record`: another process of this program watches the container from its first instruction on, and tells at the end.
//!
//! It is a process of its own because the one that runs the container waits for what the container says, and has one thread.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use stockade_engine::session::Attachment;
use stockade_engine::{ContainerId, Engine};
use stockade_lens::Asked;
use stockade_lens::watch::{Begin, WatchError, Watcher};

use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::say;
use crate::verb::attach::follow;
use crate::verb::policy::prove::prove;

/// The hidden command.
pub(crate) const COMMAND: &str = "container-explained";
/// What is said once it watches.
const READY: u8 = b'\n';
/// How long it waits at most without a look around.
const A_WHILE: Duration = Duration::from_secs(1);

/// For `run --explain` only: watch a container that is about to start, until standard input ends
#[derive(Debug, Args)]
pub(crate) struct ContainerExplained {
    /// The filter's profile as --security-opt seccomp= has it
    #[arg(long)]
    profile: Option<String>,
    /// The container's first process
    #[arg(value_name = "PID")]
    pid: i32,
    /// The OCI configuration
    #[arg(value_name = "FILE")]
    config: PathBuf,
}

impl ContainerExplained {
    /// Watches, says that it does, and prints all that was denied when nobody holds standard input open any more.
    pub(crate) fn run(self) -> Result<u8, Failure> {
        let fail = |error: WatchError| Failure::of(REFUSED, &error);
        hurry();
        let asked = Asked::read(&self.config).map_err(|error| Failure::of(REFUSED, &error))?;
        let mut watcher = Watcher::new(self.pid, &asked, self.profile, Begin::Program).map_err(fail)?;
        until_over(|| watcher.wait(A_WHILE, Some(rustix::stdio::stdin())).map(drop).map_err(fail))?;
        say::bytes(watcher.finish().map_err(fail)?.to_string().as_bytes())?;
        Ok(SUCCESS)
    }
}

/// Whoever is looked at does not wait: what it named has to be read at once.
pub(crate) fn hurry() {
    if let Err(errno) = rustix::process::setpriority_process(None, -20) {
        say::warning(&format!("something may be missed: this process cannot be made more urgent: {errno}"));
    }
}

/// Says that this process watches, and does `step` again and again until standard input ends.
///
/// # Errors
/// If nobody hears it, and those of `step`.
pub(crate) fn until_over(mut step: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    say::bytes(&[READY])?;
    while !is_over()? {
        step()?;
    }
    Ok(())
}

/// Whether standard input has ended, which nothing is written to.
fn is_over() -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN)];
    Ok(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0)
}

/// The process that watches.
#[derive(Debug)]
pub(crate) struct Beside(Child);

impl Beside {
    /// Starts it for the container whose first process is `pid`, which has not executed its program yet, and waits until it watches.
    ///
    /// # Errors
    /// If it does not: why it has said on standard error.
    pub(crate) fn begin(pid: i32, config: &Path, profile: Option<&str>) -> io::Result<Self> {
        let mut arguments: Vec<OsString> = vec![COMMAND.into()];
        arguments.extend(profile.iter().flat_map(|profile| ["--profile".into(), (*profile).into()]));
        arguments.extend([pid.to_string().into(), config.into()]);
        Self::start(arguments)
    }

    /// Starts this program with `arguments`, a hidden command that watches, and waits until it does.
    ///
    /// # Errors
    /// If it does not: why it has said on standard error.
    pub(crate) fn start(arguments: Vec<OsString>) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments);
        // Keys that end the caller's programs are not for it: it tells what was seen until then.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let mut ready = [0];
        let told = child.stdout.as_mut().map(|out| out.read(&mut ready)).transpose()?;
        if told != Some(1) || ready != [READY] {
            child.wait()?;
            return Err(io::Error::other("the process that was to watch it has ended"));
        }
        Ok(Self(child))
    }

    /// Has it end, and returns what it tells.
    ///
    /// # Errors
    /// If it was killed or cannot be heard.
    pub(crate) fn finish(mut self) -> io::Result<String> {
        if let Some(mut input) = self.0.stdin.take() {
            input.flush()?;
        }
        let mut report = String::new();
        if let Some(mut out) = self.0.stdout.take() {
            out.read_to_string(&mut report)?;
        }
        let status = self.0.wait()?;
        if status.success() {
            Ok(report)
        } else {
            Err(io::Error::other("the process that watched the container failed"))
        }
    }
}

/// Runs a container with another process, which `begin` starts before the container's program is executed: how it ended, and what that process tells.
pub(crate) fn watched(
    engine: &Engine,
    id: &ContainerId,
    attachment: Attachment,
    begin: impl Fn(i32) -> io::Result<Beside>,
) -> Result<(Result<u8, Failure>, io::Result<String>), Failure> {
    let mut beside = None;
    let mut watch = |pid| {
        beside = Some(begin(pid)?);
        Ok(())
    };
    let session = stockade_engine::start_watched(engine, id, attachment, &mut watch)?;
    prove(engine, id)?;
    let code = follow(session);
    let told = beside.ok_or_else(|| io::Error::other("nobody watched the container")).and_then(Beside::finish);
    Ok((code, told))
}
