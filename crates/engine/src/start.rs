//! `start`: a monitor for a container, and through it the runtime.
//!
//! The child that becomes the monitor mounts the container's root in a mount namespace of its own before it executes
//! `stockade-monitor`. What fails before that is said over the same socket, in the same words, as what the monitor says.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use stockade_kernel::chain::chain;
use stockade_kernel::exec::{Strings, execute_with, exit_now};
use stockade_kernel::fdpass;
use stockade_kernel::signal::reset_for_exec;
use stockade_monitor::control::{Command, LONGEST, Report};
use stockade_monitor::events::ContainerAction;
use stockade_monitor::order::{Order, Stdin};
use stockade_storage::ContainerRoot;

use crate::confine;
use crate::container::{CONFIG, ContainerError, Folder, Locked, View};
use crate::files::FileError;
use crate::idmap::Mappings;
use crate::lifecycle::State;
use crate::network::connect::ATTACH_COMMAND;
use crate::network::wanted::Wanted;
use crate::organisation::RefusalError;
use crate::record::{Joined, LOG, Record};
use crate::runtime::PATH;
use crate::session::{Attachment, Connected, Session};
use crate::socket;
use crate::userns::UsersError;
use crate::volume_parts::VolumeStartError;
use crate::walls::{self, WallsError, kind_word};
use crate::{ContainerId, Engine, ExecError, Logging, LoggingError, OwnVolumes, finish, health, organisation};

/// How long a monitor that has said that nothing runs may take to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Docker's exit code for a container that cannot be had.
const NO_CONTAINER: u8 = 125;

/// Why a container did not start. Nothing of it runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// It is already running, or being started.
    #[error("container {} cannot be started: it is {state}", id.short())]
    NotNow {
        /// The container.
        id: ContainerId,
        /// Its state.
        state: State,
    },
    /// It stands still.
    #[error("cannot start a paused container, try unpause instead: {}", .0.short())]
    Paused(ContainerId),
    /// Its record names a log that is not supported.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// Its health check.
    #[error("the health check of the container cannot be prepared")]
    Health(#[from] ExecError),
    /// A container whose namespace is joined does not run.
    #[error("cannot share the {} namespace of container {}: it is {state}", kind_word(*kind), other.short())]
    Joined {
        /// Which namespace.
        kind: stockade_spec::NamespaceType,
        /// Whose.
        other: ContainerId,
        /// Its state.
        state: State,
    },
    /// Its AppArmor profile.
    #[error(transparent)]
    Walls(#[from] WallsError),
    /// The organisation's policy.
    #[error(transparent)]
    Policy(#[from] RefusalError),
    /// Its volumes.
    #[error(transparent)]
    Volume(#[from] VolumeStartError),
    /// Its networks.
    #[error(transparent)]
    Network(#[from] crate::network::NetworksError),
    /// Who was to watch it from its first instruction on.
    #[error("the container cannot be watched")]
    Watch(#[source] std::io::Error),
    /// The monitor could not be started.
    #[error("cannot {action}")]
    Monitor {
        /// What was attempted.
        action: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// It did not start, and what follows from that could not be done.
    #[error("{first}; and that could not be written down, or the container not be removed")]
    Left {
        /// Why it did not start.
        first: Box<StartError>,
        /// What could not be done.
        source: Box<StartError>,
    },
    /// What the runtime or the monitor said.
    #[error("container {} did not start: {message}", id.short())]
    Failed {
        /// The container.
        id: ContainerId,
        /// Docker's exit code: 125, 126 (not executable) or 127 (not found).
        code: u8,
        /// What was said.
        message: String,
    },
}

impl StartError {
    /// Docker's exit code for it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed { code, .. } => *code,
            Self::Left { first, .. } => first.exit_code(),
            _ => NO_CONTAINER,
        }
    }
}

/// For `map_err`.
fn doing<E: Into<std::io::Error>>(action: &'static str) -> impl FnOnce(E) -> StartError {
    move |source| StartError::Monitor { action, source: source.into() }
}

/// Starts a container that nobody is attached to, and returns when its program was executed.
///
/// # Errors
/// See [`StartError`]; also if this process has threads. With `--rm` the container is then removed.
pub fn start(engine: &Engine, id: &ContainerId) -> Result<(), StartError> {
    launch(engine, id, None, None).map(drop)
}

/// Starts a container with the caller attached, so that nothing that it says is missed. From here on signals that are to be
/// forwarded are held back for [`Session::follow`].
///
/// # Errors
/// As [`start`].
pub fn start_attached(engine: &Engine, id: &ContainerId, attachment: Attachment) -> Result<Session, StartError> {
    attached(engine, id, attachment, None)
}

/// The same, with `watch` called when all of the container is there but its program: with the id of the process that waits to execute
/// it. If it fails, the container is not started.
///
/// # Errors
/// As [`start`], and [`StartError::Watch`].
pub fn start_watched(
    engine: &Engine,
    id: &ContainerId,
    attachment: Attachment,
    watch: &mut Watch<'_>,
) -> Result<Session, StartError> {
    attached(engine, id, attachment, Some(watch))
}

fn attached(
    engine: &Engine,
    id: &ContainerId,
    attachment: Attachment,
    watch: Option<&mut Watch<'_>>,
) -> Result<Session, StartError> {
    let connected = launch(engine, id, Some(&attachment), watch)?;
    let connected = connected.ok_or_else(|| doing("attach to the container")(Errno::NOTCONN))?;
    Ok(Session::new(engine, id, connected, attachment))
}

/// What is done before a container executes its program, with the process that is about to.
pub type Watch<'a> = dyn FnMut(i32) -> std::io::Result<()> + 'a;

/// All of them; returns the attachment's connection.
fn launch(
    engine: &Engine,
    id: &ContainerId,
    attachment: Option<&Attachment>,
    watch: Option<&mut Watch<'_>>,
) -> Result<Option<Connected>, StartError> {
    let folder = engine.folder(id)?.lock()?;
    let view = engine.settle(&folder)?;
    if view.life.state == State::Paused {
        return Err(StartError::Paused(id.clone()));
    }
    let starting = view.life.starting();
    let starting = starting.map_err(|refused| StartError::NotNow { id: id.clone(), state: refused.state })?;
    organisation::judge_profile(&view.record.apparmor)?;
    walls::reload(engine, &view.record.apparmor)?;
    engine.keep_ids(&view.record).map_err(|error| WallsError::from(UsersError::from(error)))?;
    join(engine, &folder.0, &view.record.joined)?;
    engine.judge_folder(&folder.0, &view.record)?;
    engine.check_volumes(&view.record)?;
    let lock = lock(&folder)?;
    engine.remove_leftovers(&folder.0)?;
    forget_the_last_run(&folder, &view)?;
    folder.0.forget_meddling().map_err(ContainerError::from)?;
    folder.0.write(stockade_monitor::ORDER, &order(engine, &folder, &view)?)?;
    let listener = socket::listen(&folder.0).map_err(doing("open the container's socket"))?;
    let (ours, theirs) = pair().map_err(doing("make a pair of sockets"))?;
    folder.0.write_life(&starting)?;
    let child = Child { engine, folder: &folder, record: &view.record, given: [&listener, &theirs, &lock] };
    let Some(monitor) = confine::fork().map_err(doing("make a process"))? else { child.become_monitor() };
    drop((theirs, lock, listener));
    if attachment.is_some() {
        engine.happened_to(&view.record, &ContainerAction::Attach);
    }
    match converse(engine, &folder, &view.record, ours, attachment, watch) {
        Ok(connected) => {
            engine.volumes_mounted(&view.record);
            Ok(connected)
        }
        Err(error) => match after_failure(engine, &folder, &view.record, &monitor, &error) {
            Ok(()) => Err(error),
            Err(source) => Err(StartError::Left { first: Box::new(error), source: Box::new(source) }),
        },
    }
}

/// What a monitor has done before it makes a container again that joins namespaces: the processes by whose ids they are named may
/// be others by now. Where the organisation has a policy every container is judged again.
///
/// # Errors
/// See [`StartError`].
pub fn join_again(engine: &Engine, id: &ContainerId) -> Result<(), StartError> {
    // Not locked: its monitor, which waits for this, is what keeps others from starting and removing it.
    let folder = engine.folder(id)?;
    let _config = folder.lock_config()?;
    let record = folder.record()?;
    join(engine, &folder, &record.joined)?;
    Ok(engine.judge_folder(&folder, &record)?)
}

/// Writes the paths of the namespaces that are joined into the configuration: those of the containers' processes of now.
fn join(engine: &Engine, folder: &Folder, joined: &[Joined]) -> Result<(), StartError> {
    if joined.is_empty() {
        return Ok(());
    }
    let missing = || ContainerError::File(FileError::at("read", folder.path.join(CONFIG))(Errno::NOENT));
    let mut spec: stockade_spec::Spec = folder.read(CONFIG)?.ok_or_else(missing)?;
    let linux = spec.linux.get_or_insert_default();
    for Joined { kind, container } in joined {
        let other = engine.view(container)?;
        let not_running = StartError::Joined { kind: *kind, other: container.clone(), state: other.life.state };
        let pid = other.pid.ok_or(not_running)?;
        linux.namespaces.retain(|namespace| namespace.kind != *kind);
        let path = PathBuf::from(format!("/proc/{pid}/ns/{}", kind_word(*kind)));
        linux.namespaces.push(stockade_spec::Namespace { kind: *kind, path });
    }
    Ok(folder.write(CONFIG, &spec)?)
}

/// Takes the lock that the monitor will hold. The last monitor may be about to end: it is waited for.
fn lock(folder: &Locked) -> Result<OwnedFd, StartError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&folder.0.fd, stockade_monitor::LOCK, flags, Mode::RUSR | Mode::WUSR);
    let file = file.map_err(doing("open the monitor's lock"))?;
    let lock = || rustix::fs::flock(&file, FlockOperation::LockExclusive);
    rustix::io::retry_on_intr(lock).map_err(doing("take the monitor's lock"))?;
    Ok(file)
}

/// Writes the end of the last run down where it is safe from being read as this run's, and removes what the last monitor wrote.
fn forget_the_last_run(folder: &Locked, view: &View) -> Result<(), StartError> {
    if folder.0.told()?.is_none() {
        return Ok(());
    }
    folder.0.write_life(&view.life)?;
    match rustix::fs::unlinkat(&folder.0.fd, stockade_monitor::STATE, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(doing("remove the last run's state")(errno)),
    }
}

/// What the monitor is told.
fn order(engine: &Engine, folder: &Locked, view: &View) -> Result<Order, StartError> {
    let record = &view.record;
    let config = &record.config;
    Ok(Order {
        id: record.id.to_string(),
        runtime: engine.runtime_for(record),
        kind: engine.runtime_kind(record),
        bundle: folder.0.path.clone(),
        terminal: config.tty,
        stdin: match (config.open_stdin, config.stdin_once) {
            (false, _) => Stdin::Closed,
            (true, true) => Stdin::UntilFirstClientEnds,
            (true, false) => Stdin::Open,
        },
        log: Logging::of(&record.host_config.log_config)?.order(record, folder.0.path.join(LOG))?,
        on_exit: finish::command(engine, &record.id),
        restart: record.host_config.restart_policy.policy(),
        before_restart: if record.joined.is_empty() && !organisation::is_there()? {
            Vec::new()
        } else {
            finish::joining(engine, &record.id)
        },
        on_restart: match record.host_config.network_mode.as_str() {
            mode if matches!(mode, "none" | "host") || mode.starts_with("container:") => Vec::new(),
            _ => finish::with_places(engine, &[ATTACH_COMMAND, record.id.as_str()]),
        },
        events: Some(engine.event_source(record)),
        health: health::order(&folder.0, view)?,
    })
}

/// The connected sockets over which the engine and the monitor talk.
fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// The child that becomes the monitor.
struct Child<'a> {
    engine: &'a Engine,
    folder: &'a Locked,
    record: &'a Record,
    /// The listener, the control socket and the lock: [`stockade_monitor::ATTACH_FD`] and on.
    given: [&'a OwnedFd; 3],
}

impl Child<'_> {
    /// Does everything that is left to do in the new mount namespace and executes the monitor.
    fn become_monitor(self) -> ! {
        let program = self.engine.program("stockade-monitor");
        let refuse = |control: &OwnedFd, message: String| {
            let report = Report::Failed { code: NO_CONTAINER, message };
            let told = serde_json::to_vec(&report).map(|text| fdpass::send(control, &text, &[]));
            // The engine that is not told sees the socket's end instead.
            u8::from(!matches!(told, Ok(Ok(())))) + 1
        };
        let prepared = self.prepare().and_then(|()| {
            let path = CString::new(program.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
            let words = [program.as_os_str().as_bytes(), self.folder.0.path.as_os_str().as_bytes()];
            let arguments = Strings::from_bytes(words).map_err(|error| error.to_string())?;
            let environment = Strings::from_bytes([PATH]).map_err(|error| error.to_string())?;
            Ok((path, arguments, environment))
        });
        match prepared {
            Err(message) => exit_now(refuse(self.given[1], message)),
            Ok((path, arguments, environment)) => {
                let given = self.given.map(AsFd::as_fd);
                execute_with(&given, &path, &arguments, &environment, |error, moved| {
                    let message = format!("cannot execute {}: {error}", program.display());
                    moved.get(1).map_or(1, |control| refuse(control, message))
                })
            }
        }
    }

    /// A session of its own, the root mounted, and nothing of the caller's held: streams, folder, signals.
    fn prepare(&self) -> Result<(), String> {
        let failed = |what: &'static str| move |error: Errno| format!("cannot {what}: {error}");
        rustix::process::setsid().map_err(failed("leave the session"))?;
        // Whoever finds the lock free later learns from it whose end to wait for.
        let pid = rustix::process::getpid().as_raw_nonzero().to_string();
        rustix::fs::ftruncate(self.given[2], 0).map_err(failed("empty the monitor's lock"))?;
        rustix::io::pwrite(self.given[2], pid.as_bytes(), 0).map_err(failed("write to the monitor's lock"))?;
        let root = ContainerRoot::at(&self.folder.0.path);
        let mappings = Mappings { uids: &self.record.uid_mappings, gids: &self.record.gid_mappings };
        confine::mount_root(&root, &self.record.image.lowers, mappings).map_err(|error| chain(&error))?;
        self.engine.mount_parts(self.record, &self.folder.0.path)?;
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let null = null.map_err(failed("open /dev/null"))?;
        rustix::stdio::dup2_stdin(&null).map_err(failed("let go of standard input"))?;
        rustix::stdio::dup2_stdout(&null).map_err(failed("let go of standard output"))?;
        rustix::stdio::dup2_stderr(&null).map_err(failed("let go of standard error"))?;
        rustix::process::chdir("/").map_err(failed("leave the working directory"))?;
        rustix::process::umask(Mode::WGRP | Mode::WOTH);
        reset_for_exec().map_err(|error| format!("cannot set the signals back: {error}"))
    }
}

/// Attaches, waits until the container is made, has it started, and waits until it is. Who is attached keeps `control`. Where nothing is to
/// be done between the two the word to start is given beforehand: then nobody waits for this process to be woken.
fn converse(
    engine: &Engine,
    folder: &Locked,
    record: &Record,
    control: OwnedFd,
    attachment: Option<&Attachment>,
    watch: Option<&mut Watch<'_>>,
) -> Result<Option<Connected>, StartError> {
    let attach = |attachment: &Attachment| Connected::new(&folder.0, attachment, record.config.tty);
    let connected = attachment.map(attach).transpose().map_err(doing("attach to the container"))?;
    let start = if connected.is_some() { Command::StartAndFinish } else { Command::Start };
    let start = serde_json::to_vec(&start).map_err(doing("say start"))?;
    let say_start = || fdpass::send(&control, &start, &[]).map_err(doing("say start to the monitor"));
    let networks = Wanted::of(&folder.0)?;
    let at_once = watch.is_none() && networks.is_none() && !organisation::is_there()?;
    if at_once {
        say_start()?;
    }
    match hear(folder, &control)? {
        Report::Created { .. } if at_once => {}
        Report::Created { pid } => {
            engine.judge_mounts(&folder.0, record, pid)?;
            networks.map_or(Ok(()), |wanted| engine.attach_networks(&folder.0, &wanted, pid))?;
            watch.map_or(Ok(()), |watch| watch(pid)).map_err(StartError::Watch)?;
            say_start()?;
        }
        report => return Err(refused(folder, report)),
    }
    match hear(folder, &control)? {
        Report::Started => Ok(connected.map(|connected| Connected { control: Some(control), ..connected })),
        report => Err(refused(folder, report)),
    }
}

/// What the monitor says next.
fn hear(folder: &Locked, control: &OwnedFd) -> Result<Report, StartError> {
    let mut packet = vec![0; LONGEST];
    let (length, _) = fdpass::receive(control, &mut packet).map_err(doing("hear the monitor"))?;
    if length == 0 {
        let message = "its monitor was killed".to_owned();
        return Err(StartError::Failed { id: folder.0.id.clone(), code: NO_CONTAINER, message });
    }
    serde_json::from_slice(&packet[..length]).map_err(doing("understand the monitor"))
}

/// Anything but what was expected.
fn refused(folder: &Locked, report: Report) -> StartError {
    let id = folder.0.id.clone();
    match report {
        Report::Failed { code, message } => StartError::Failed { id, code, message },
        other => {
            let message = format!("its monitor said {other:?} out of turn");
            StartError::Failed { id, code: NO_CONTAINER, message }
        }
    }
}

/// Waits for the monitor's end, writes down why there is no container, and removes it if it was asked for with `--rm`.
fn after_failure(
    engine: &Engine,
    folder: &Locked,
    record: &Record,
    monitor: &OwnedFd,
    error: &StartError,
) -> Result<(), StartError> {
    if !folder.0.wait_for_monitor(Some(Instant::now() + PATIENCE))? {
        let killed = rustix::process::pidfd_send_signal(monitor, rustix::process::Signal::KILL);
        killed.map_err(doing("kill the monitor"))?;
        folder.0.wait_for_monitor(None)?;
    }
    let view = folder.0.view()?;
    if let (State::Failed, StartError::Network(_) | StartError::Watch(_) | StartError::Policy(_), Some(end)) =
        (view.life.state, error, &view.life.end)
    {
        // The monitor knows only that nobody started it.
        let end = Some(crate::record::End { error: Some(chain(error)), ..end.clone() });
        folder.0.write_life(&crate::record::Life { end, ..view.life.clone() })?;
    }
    if view.life.state == State::Starting {
        // It has ended without having said so.
        folder.0.wait_for_the_dying()?;
        engine.remove_leftovers(&folder.0)?;
        let message = match error {
            StartError::Failed { message, .. } => message.clone(),
            other => chain(other),
        };
        let failed = view.life.failed(error.exit_code(), message);
        let failed = failed.map_err(|source| ContainerError::State { id: folder.0.id.clone(), source })?;
        folder.0.write_life(&failed)?;
    }
    engine.settle(folder)?;
    if record.host_config.auto_remove {
        engine.discard(folder, Some(record), OwnVolumes::Remove)?;
    }
    Ok(())
}
