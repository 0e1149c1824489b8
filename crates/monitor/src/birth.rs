//! Making the container: its streams, the runtime's `create` or `run`, and its first process as a child of this one.

use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, WaitStatus, pidfd_open};

use crate::console::ConsoleSocket;
use crate::folder::Folder;
use crate::input::Input;
use crate::life::{First, Monitor, Worker};
use crate::log::Log;
use crate::runtime::{Places, Refusal};
use crate::streams::{self, Inner, Outputs};
use stockade_kernel::chain::chain;
use stockade_monitor::order::{self, RuntimeKind};

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

/// Opens the log, makes the streams and executes the runtime's `create`, or stake's `run`, which becomes the worker.
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
    // What comes between `create` and `start` of a restart is a program, which is waited for in the place of the runtime.
    let pid = if monitor.order.kind == RuntimeKind::Stake && monitor.past.is_none() {
        let (pid, waiting) = monitor.runtime.run(&monitor.folder, &places, inner)?;
        monitor.waiting = Some(waiting);
        pid
    } else {
        monitor.runtime.create(&monitor.folder, &places, inner)?
    };
    monitor.worker = Some(Worker { pid, ended: None });
    Ok(())
}

/// Takes over what the runtime's `create` has made, which ended with `status`; the host's id of the first process.
///
/// # Errors
/// [`Refusal`]; what there is of the container is to be deleted by the runtime.
pub(crate) fn end(monitor: &mut Monitor, status: WaitStatus) -> Result<i32, Refusal> {
    if status.exit_status() == Some(0) {
        let pid = halfway(monitor)?;
        adopt(monitor)?;
        return Ok(pid);
    }
    let Some(birth) = monitor.birth.take() else { return Err(nothing_made()) };
    let said = match birth {
        Birth::Pipes(mut outputs, _) => outputs.said(),
        Birth::Terminal(mut outputs, socket) => {
            socket.remove(&monitor.folder).map_err(|error| refuse("remove the console socket", &error))?;
            outputs.said()
        }
    };
    Err(monitor.runtime.refusal(&monitor.folder, "create", status, || said))
}

/// Takes over what stake's `run` has made, which has yet to start it; the host's id of the first process, still a child of the runtime.
///
/// # Errors
/// As [`end`].
pub(crate) fn halfway(monitor: &mut Monitor) -> Result<i32, Refusal> {
    take_streams(monitor)?;
    let first = named(&monitor.folder)?;
    let pid = first.pid.as_raw_nonzero().get();
    monitor.first = Some(first);
    Ok(pid)
}

/// Makes sure that the runtime, which has ended, has left the first process to this one: only a child's end is told, and only a child's
/// number stays its own until it is waited for. Otherwise it is nobody's.
///
/// # Errors
/// As [`end`].
pub(crate) fn adopt(monitor: &mut Monitor) -> Result<(), Refusal> {
    let first = monitor.first.take().ok_or_else(nothing_made)?;
    if first.ended.is_none() {
        let unknown = |errno| unknown(&format!("{:?} is not a child of its monitor: {errno}", first.pid));
        first.is_child().map_err(unknown)?;
    }
    monitor.first = Some(first);
    Ok(())
}

/// The container's streams are the monitor's from here on.
fn take_streams(monitor: &mut Monitor) -> Result<(), Refusal> {
    let (outputs, input) = match monitor.birth.take().ok_or_else(nothing_made)? {
        Birth::Pipes(outputs, input) => (outputs, input),
        Birth::Terminal(_, socket) => {
            let received = socket.receive();
            let removed = socket.remove(&monitor.folder);
            let master = received.map_err(|error| refuse("get the terminal from the runtime", &error))?;
            removed.map_err(|error| refuse("remove the console socket", &error))?;
            let (outputs, input) = Outputs::terminal(master).map_err(|error| refuse("use the terminal", &error))?;
            (outputs, Some(input))
        }
    };
    monitor.outputs = outputs;
    monitor.input = Input::new(input, monitor.order.stdin, monitor.order.terminal);
    Ok(())
}

fn nothing_made() -> Refusal {
    Refusal::new("nothing was being made")
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

/// Why the first process is not known.
fn unknown(why: &str) -> Refusal {
    Refusal::new(format!("the runtime does not tell the container's first process: {why}"))
}

/// The first process that the runtime's file names, which is removed.
fn named(folder: &Folder) -> Result<First, Refusal> {
    let refuse = |why: String| unknown(&why);
    let text = folder.read_from(PID_FILE, 0, 32).map_err(|error| refuse(error.to_string()))?;
    let text = String::from_utf8_lossy(&text);
    let number = text.trim().parse().ok().and_then(|number: u32| i32::try_from(number).ok());
    let pid = number.and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| refuse(format!("{text:?} is no process id")))?;
    folder.remove(PID_FILE).map_err(|error| refuse(error.to_string()))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| refuse(format!("{pid:?}: {errno}")))?;
    Ok(First { pid, pidfd, ended: None })
}
