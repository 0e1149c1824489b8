//! Making the container: its streams, the runtime's `create`, and its first process as a child of this one.

use std::path::Path;

use rustix::fd::AsFd;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use crate::console::ConsoleSocket;
use crate::folder::Folder;
use crate::input::Input;
use crate::life::{First, Monitor};
use crate::log::Log;
use crate::runtime::{Places, Refusal};
use crate::streams::{self, Outputs};
use stockade_kernel::chain::chain;
use stockade_monitor::order;

/// Name of the file in the container's folder to which the runtime writes the first process' id; removed once it is read.
const PID_FILE: &str = "pid";

/// Opens the log, makes the streams and the container; the host's id of its first process.
///
/// # Errors
/// [`Refusal`]; what there is of the container is to be deleted by the runtime.
pub(crate) fn create(monitor: &mut Monitor) -> Result<i32, Refusal> {
    let log = Log::open(&monitor.order.log, &monitor.folder);
    monitor.log = log.map_err(|error| no_log(&monitor.order.log, &error))?;
    let removed = monitor.folder.remove(PID_FILE);
    removed.map_err(|error| Refusal::new(format!("cannot remove the old file {PID_FILE}: {error}")))?;
    let (outputs, input) = if monitor.order.terminal { with_terminal(monitor)? } else { with_pipes(monitor)? };
    monitor.outputs = outputs;
    monitor.input = Input::new(input, monitor.order.stdin, monitor.order.terminal);
    let first = first(&monitor.folder)?;
    let pid = first.pid.as_raw_nonzero().get();
    monitor.first = Some(first);
    Ok(pid)
}

fn no_log(log: &order::Log, error: &std::io::Error) -> Refusal {
    Refusal::new(match log {
        order::Log::None => format!("cannot keep no log: {error}"),
        order::Log::JsonFile(file) => format!("cannot open the log {}: {error}", file.path.display()),
        order::Log::Journald(journal) => {
            format!("the journal does not answer at {}: {error}", journal.socket.display())
        }
    })
}

fn with_pipes(monitor: &mut Monitor) -> Result<(Outputs, Option<OwnedFd>), Refusal> {
    let made = streams::pipes(monitor.order.stdin);
    let (inner, mut outputs, input) = made.map_err(|error| Refusal::new(format!("cannot make pipes: {error}")))?;
    let (bundle, pid_file) = (monitor.folder.path(&monitor.order.bundle), monitor.folder.path(PID_FILE));
    let places = Places { bundle: &bundle, pid_file: &pid_file, console_socket: None };
    monitor.runtime.create(&monitor.folder, &places, inner, || outputs.said())?;
    Ok((outputs, input))
}

fn with_terminal(monitor: &mut Monitor) -> Result<(Outputs, Option<OwnedFd>), Refusal> {
    let refuse = |what: &str, error: &dyn std::error::Error| Refusal::new(format!("cannot {what}: {}", chain(error)));
    let (inner, mut said) = streams::runtime_only().map_err(|error| refuse("make pipes", &error))?;
    let socket = ConsoleSocket::listen(&monitor.folder).map_err(|error| refuse("make the console socket", &error))?;
    let (bundle, pid_file) = (monitor.folder.path(&monitor.order.bundle), monitor.folder.path(PID_FILE));
    let path = ConsoleSocket::path(&monitor.folder);
    let places = Places { bundle: &bundle, pid_file: &pid_file, console_socket: Some(path.as_path() as &Path) };
    let created = monitor.runtime.create(&monitor.folder, &places, inner, || said.said());
    let received =
        created.and_then(|()| socket.receive().map_err(|error| refuse("get the terminal from the runtime", &error)));
    let removed = socket.remove(&monitor.folder);
    let master = received?;
    removed.map_err(|error| refuse("remove the console socket", &error))?;
    let (outputs, input) = Outputs::terminal(master).map_err(|error| refuse("use the terminal", &error))?;
    Ok((outputs, Some(input)))
}

/// The container's first process, by the runtime's file.
fn first(folder: &Folder) -> Result<First, Refusal> {
    let refuse = |why: String| Refusal::new(format!("the runtime does not tell the container's first process: {why}"));
    let text = folder.read_from(PID_FILE, 0, 32).map_err(|error| refuse(error.to_string()))?;
    let text = String::from_utf8_lossy(&text);
    let number = text.trim().parse().ok().and_then(|number: u32| i32::try_from(number).ok());
    let pid = number.and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| refuse(format!("{text:?} is no process id")))?;
    folder.remove(PID_FILE).map_err(|error| refuse(error.to_string()))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| refuse(format!("{pid:?}: {errno}")))?;
    // Only a child's end is told, and only a child's number stays its own until it is waited for.
    let asked = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::PidFd(pidfd.as_fd()), asked)
        .map_err(|errno| refuse(format!("{pid:?} is not a child of its monitor: {errno}")))?;
    Ok(First { pid, pidfd, ended: None })
}
