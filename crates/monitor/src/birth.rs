//! Making the container: its streams, the runtime's `create`, and its first process as a child of this one.

use rustix::fd::AsFd;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitStatus, pidfd_open, waitid};

use crate::console::ConsoleSocket;
use crate::folder::Folder;
use crate::input::Input;
use crate::life::{First, Monitor, Worker};
use crate::log::Log;
use crate::runtime::{Places, Refusal};
use crate::streams::{self, Inner, Outputs};
use stockade_kernel::chain::chain;
use stockade_monitor::order;

/// Name of the file in the container's folder to which the runtime writes the first process' id; removed once it is read.
const PID_FILE: &str = "pid";

/// A container that the runtime is making.
#[derive(Debug)]
pub(crate) enum Birth {
    /// Its outer ends: output and input.
    Pipes(Outputs, Option<OwnedFd>),
    /// What the runtime says, and where it hands the terminal over.
    Terminal(Outputs, ConsoleSocket),
}

/// Opens the log, makes the streams and executes the runtime's `create`, which becomes the worker.
///
/// # Errors
/// [`Refusal`].
pub(crate) fn begin(monitor: &mut Monitor) -> Result<(), Refusal> {
    let log = Log::open(&monitor.order.log, &monitor.folder);
    monitor.log = log.map_err(|error| no_log(&monitor.order.log, &error))?;
    let removed = monitor.folder.remove(PID_FILE);
    removed.map_err(|error| Refusal::new(format!("cannot remove the old file {PID_FILE}: {error}")))?;
    let (inner, birth) = if monitor.order.terminal { terminal(monitor)? } else { pipes(monitor)? };
    let (bundle, pid_file) = (monitor.folder.path(&monitor.order.bundle), monitor.folder.path(PID_FILE));
    let socket = matches!(birth, Birth::Terminal(..)).then(|| ConsoleSocket::path(&monitor.folder));
    let places = Places { bundle: &bundle, pid_file: &pid_file, console_socket: socket.as_deref() };
    monitor.birth = Some(birth);
    let pid = monitor.runtime.create(&monitor.folder, &places, inner)?;
    monitor.worker = Some(Worker { pid, ended: None });
    Ok(())
}

/// Takes over what the runtime's `create` has made, which ended with `status`; the host's id of the first process.
///
/// # Errors
/// [`Refusal`]; what there is of the container is to be deleted by the runtime.
pub(crate) fn end(monitor: &mut Monitor, status: WaitStatus) -> Result<i32, Refusal> {
    let Some(birth) = monitor.birth.take() else { return Err(Refusal::new("nothing was being made")) };
    let said = match birth {
        Birth::Pipes(outputs, input) if status.exit_status() == Some(0) => {
            monitor.outputs = outputs;
            monitor.input = Input::new(input, monitor.order.stdin, monitor.order.terminal);
            return first(monitor);
        }
        Birth::Terminal(_, socket) if status.exit_status() == Some(0) => {
            let received = socket.receive();
            let removed = socket.remove(&monitor.folder);
            let master = received.map_err(|error| refuse("get the terminal from the runtime", &error))?;
            removed.map_err(|error| refuse("remove the console socket", &error))?;
            let (outputs, input) = Outputs::terminal(master).map_err(|error| refuse("use the terminal", &error))?;
            monitor.outputs = outputs;
            monitor.input = Input::new(Some(input), monitor.order.stdin, monitor.order.terminal);
            return first(monitor);
        }
        Birth::Pipes(mut outputs, _) => outputs.said(),
        Birth::Terminal(mut outputs, socket) => {
            socket.remove(&monitor.folder).map_err(|error| refuse("remove the console socket", &error))?;
            outputs.said()
        }
    };
    Err(monitor.runtime.refusal(&monitor.folder, "create", status, || said))
}

/// Lets go of a container that will not be.
pub(crate) fn give_up(monitor: &mut Monitor) {
    if let Some(Birth::Terminal(_, socket)) = monitor.birth.take() {
        let removed = socket.remove(&monitor.folder);
        monitor.troubles.note_error(&monitor.folder, removed);
    }
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

fn refuse(what: &str, error: &dyn std::error::Error) -> Refusal {
    Refusal::new(format!("cannot {what}: {}", chain(error)))
}

fn pipes(monitor: &Monitor) -> Result<(Inner, Birth), Refusal> {
    let made = streams::pipes(monitor.order.stdin);
    let (inner, outputs, input) = made.map_err(|error| refuse("make pipes", &error))?;
    Ok((inner, Birth::Pipes(outputs, input)))
}

fn terminal(monitor: &Monitor) -> Result<(Inner, Birth), Refusal> {
    let (inner, said) = streams::runtime_only().map_err(|error| refuse("make pipes", &error))?;
    let socket = ConsoleSocket::listen(&monitor.folder).map_err(|error| refuse("make the console socket", &error))?;
    Ok((inner, Birth::Terminal(said, socket)))
}

/// The container's first process, which the monitor knows then; its id.
fn first(monitor: &mut Monitor) -> Result<i32, Refusal> {
    let first = named(&monitor.folder)?;
    let pid = first.pid.as_raw_nonzero().get();
    monitor.first = Some(first);
    Ok(pid)
}

/// The first process that the runtime's file names.
fn named(folder: &Folder) -> Result<First, Refusal> {
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
