//! `exec`: one more process in a container that runs.
//!
//! The process is that of the container's configuration, changed by what is asked for, so that what confines the container confines
//! it, too: its namespaces, cgroup, filter, AppArmor profile and bounding set. The container's monitor has the OCI runtime bring it
//! in, and is its parent; this side prepares the streams. See [`stockade_monitor::exec`].
//!
//! Who `--user` is is looked up in the container's own files of now, as in Docker; they are opened inside the container's root only,
//! must be regular, and are bounded. Without `--user` it is who was looked up when the container was made.

use std::io::{self, Write};
use std::path::PathBuf;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use stockade_kernel::chain::chain;
use stockade_kernel::procfs::Procfs;
use stockade_monitor::events::ContainerAction;
use stockade_policy::caps::CapSet;
use stockade_policy::{Options, capability_sets};
use stockade_spec::{Capabilities, ConsoleSize, Process};

use crate::container::{CONFIG, ContainerError, Folder, NotRunning, View};
use crate::exec_session::{self, ExecSession, Leaving};
use crate::happened::about;
use crate::identity::look_up;
use crate::inside::root_of;
use crate::lifecycle::State;
use crate::machine::{self, MachineError};
use crate::process::{PayloadError, merge, set};
use crate::session::Input;
use crate::{ContainerId, Engine};

/// A process to run in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecRequest {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// `--env`, `NAME=value` each, on top of the container's.
    pub env: Vec<String>,
    /// `--workdir`; otherwise the container's.
    pub working_dir: Option<String>,
    /// `--user`; otherwise the container's.
    pub user: Option<String>,
    /// `--privileged`: all capabilities.
    pub privileged: bool,
    /// `--tty`.
    pub terminal: bool,
    /// `--interactive`.
    pub input: Input,
    /// `--detach`: nobody has its streams.
    pub detached: bool,
    /// Keys that detach from its terminal, as bytes; empty for none.
    pub detach_keys: Vec<u8>,
}

impl ExecRequest {
    /// A command with what the container has, and nobody at its streams.
    pub(crate) fn plain(command: Vec<String>) -> Self {
        Self {
            command,
            env: Vec::new(),
            working_dir: None,
            user: None,
            privileged: false,
            terminal: false,
            input: Input::Ignore,
            detached: true,
            detach_keys: Vec::new(),
        }
    }
}

/// Why nothing was executed.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// It does not run.
    #[error(transparent)]
    NotRunning(#[from] NotRunning),
    /// It stands still.
    #[error("container {} is paused: unpause it before exec", .0.short())]
    Paused(ContainerId),
    /// Nothing of it runs now.
    #[error("container {} is restarting: wait until it is running", .0.short())]
    Restarting(ContainerId),
    /// What is to be executed.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Who is to execute it.
    #[error("cannot tell the user {user:?} in container {}: {message}", id.short())]
    User {
        /// The container.
        id: ContainerId,
        /// As it was asked for.
        user: String,
        /// Why not.
        message: String,
    },
    /// The organisation's policy.
    #[error(transparent)]
    Policy(#[from] crate::organisation::RefusalError),
    /// The capabilities that `--privileged` gives.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A name of the container's configuration that is no capability.
    #[error("the configuration of container {} names unknown capabilities", .0.short())]
    Capabilities(ContainerId),
    /// The streams, or the container's monitor.
    #[error("cannot {action}")]
    Stream {
        /// What was attempted.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// What the runtime or the monitor said.
    #[error("cannot execute in container {}: {message}", id.short())]
    Failed {
        /// The container.
        id: ContainerId,
        /// Docker's exit code: 126, or 127 if the program was not found.
        code: u8,
        /// What was said.
        message: String,
    },
    /// The monitor is gone, and the container with it.
    #[error("the monitor of container {} ended before it executed anything", .0.short())]
    Lost(ContainerId),
}

impl ExecError {
    /// Docker's exit code for it: 1 before the container was asked, then 126 or 127.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Container(_) | Self::NotRunning(_) | Self::Paused(_) | Self::Restarting(_) | Self::Payload(_) => 1,
            Self::Failed { code, .. } => *code,
            _ => 126,
        }
    }

    /// For `map_err`.
    pub(crate) fn doing<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Stream { action, source: source.into() }
    }
}

/// Runs the process, and returns when it was executed; with the session that has its streams, unless nobody is to have them.
///
/// From here on signals that are to be forwarded are held back for [`ExecSession::follow`].
///
/// # Errors
/// See [`ExecError`]; nothing runs then.
pub fn exec(engine: &Engine, id: &ContainerId, request: &ExecRequest) -> Result<Option<ExecSession>, ExecError> {
    let view = engine.view(id)?;
    match view.life.state {
        State::Running => {}
        State::Paused => return Err(ExecError::Paused(id.clone())),
        State::Restarting => return Err(ExecError::Restarting(id.clone())),
        state => return Err(NotRunning { id: id.clone(), state }.into()),
    }
    let folder = engine.folder(id)?;
    let process = plan(&folder, &view, request)?;
    engine.judge_exec(&folder, &view.record, &process)?;
    let file = in_memory(&process).map_err(ExecError::doing("write the process down"))?;
    let exec_id = ContainerId::random().map_err(ExecError::doing("draw an id"))?;
    let event = |action| about(&view.record, &action).with("execID", exec_id.as_str());
    let words = request.command.join(" ");
    engine.happened(event(ContainerAction::ExecCreate(words.clone())));
    engine.happened(event(ContainerAction::ExecStart(words)));
    let leaving = Leaving { engine: engine.clone(), event: event(ContainerAction::ExecDetach) };
    exec_session::begin((&folder, leaving), exec_id.as_str(), &file, request)
}

/// The process in OCI's form.
pub(crate) fn plan(folder: &Folder, view: &View, request: &ExecRequest) -> Result<Process, ExecError> {
    #[derive(serde::Deserialize)]
    struct Configuration {
        process: Process,
    }
    let missing = || ExecError::doing("read the container's configuration")(rustix::io::Errno::NOENT);
    let mut process = folder.read::<Configuration>(CONFIG)?.ok_or_else(missing)?.process;
    if let Some(wrong) = request.command.iter().find(|argument| argument.contains('\0')) {
        return Err(PayloadError::Argument(wrong.clone()).into());
    }
    process.args.clone_from(&request.command);
    if let Some(dir) = &request.working_dir {
        if !dir.starts_with('/') || dir.contains('\0') {
            return Err(PayloadError::WorkingDir(dir.clone()).into());
        }
        process.cwd = PathBuf::from(dir);
    }
    environment(&mut process, request)?;
    process.terminal = request.terminal;
    process.console_size = console_size(request)?;
    let mut bounding = process.capabilities.take().unwrap_or_default().bounding;
    if request.privileged {
        let all = machine::gather(&Options::default())?.capabilities;
        bounding = all.iter().map(|capability| capability.to_string()).collect();
    }
    if let Some(user) = &request.user {
        let told = |message: String| ExecError::User { id: folder.id.clone(), user: user.clone(), message };
        let procfs = Procfs::host().map_err(ExecError::doing("open /proc"))?;
        let root = root_of(&procfs, view.pid.unwrap_or_default(), view.monitor).map_err(told)?;
        let found = look_up(root.as_fd(), user, &view.record.host_config.group_add);
        let found = found.map_err(|error| told(chain(&error).replace("of the image", "of the container")))?;
        (process.user.uid, process.user.gid) = (found.uid, found.gid);
        process.user.additional_gids = found.groups;
    }
    process.capabilities = Some(sets(folder, &bounding, process.user.uid)?);
    Ok(process)
}

/// The container's environment, without what stands for a terminal that this process does not have, and what is asked for.
fn environment(process: &mut Process, request: &ExecRequest) -> Result<(), PayloadError> {
    if process.terminal && !request.terminal {
        process.env.retain(|variable| variable != TERM);
    }
    if request.terminal && !process.env.iter().any(|variable| variable.starts_with("TERM=")) {
        process.env.push(TERM.to_owned());
    }
    merge(request.env.iter())?.iter().for_each(|variable| set(&mut process.env, variable));
    Ok(())
}

/// What a process with a terminal is told of it, as in Docker.
const TERM: &str = "TERM=xterm";

/// The five sets for the user.
fn sets(folder: &Folder, bounding: &[String], uid: u32) -> Result<Capabilities, ExecError> {
    let bounding = CapSet::parse(bounding.iter().map(String::as_str), CapSet::of(&[]));
    let bounding = bounding.map_err(|_names| ExecError::Capabilities(folder.id.clone()))?;
    Ok(capability_sets(bounding, uid))
}

/// The size that its terminal begins with: that of the caller's.
fn console_size(request: &ExecRequest) -> Result<Option<ConsoleSize>, ExecError> {
    if !request.terminal || request.detached {
        return Ok(None);
    }
    let size = exec_session::size().map_err(ExecError::doing("read the terminal's size"))?;
    Ok(size.map(|size| ConsoleSize { height: size.ws_row, width: size.ws_col }))
}

/// The process in a file without a name.
fn in_memory(process: &Process) -> io::Result<OwnedFd> {
    let file = rustix::fs::memfd_create(c"process", MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(file);
    file.write_all(&serde_json::to_vec(process)?)?;
    Ok(file.into())
}

/// The processes that `exec` runs in the container now: their ids.
///
/// # Errors
/// As `getdents64(2)`.
pub(crate) fn running(folder: &Folder) -> io::Result<Vec<String>> {
    use stockade_monitor::exec::{FOLDER, SUFFIX, is_id};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let listed = match rustix::fs::openat(&folder.fd, FOLDER, flags, Mode::empty()) {
        Ok(listed) => listed,
        Err(rustix::io::Errno::NOENT) => return Ok(Vec::new()),
        Err(errno) => return Err(errno.into()),
    };
    let mut ids = Vec::new();
    for entry in rustix::fs::Dir::read_from(&listed)? {
        let entry = entry?;
        let id = entry.file_name().to_str().ok().and_then(|name| name.strip_suffix(SUFFIX));
        ids.extend(id.filter(|id| is_id(id)).map(str::to_owned));
    }
    ids.sort_unstable();
    Ok(ids)
}
