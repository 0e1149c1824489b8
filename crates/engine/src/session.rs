//! A caller's terminal or standard streams at a running container.

use std::io;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::process::Signal;
use stockade_kernel::signal::{FORWARDED, Signals, is_ignored};
use stockade_kernel::terminal::{self, RawMode};
use stockade_monitor::frame::Frame;

use crate::container::{ContainerError, Folder, RESTARTING};
use crate::pump::{Pump, Pumped};
use crate::rm::remove_ended;
use crate::{ContainerId, Engine, Force, OwnVolumes, RemoveError, State, socket};

/// How long a monitor that has hung up may take to be gone.
const GOING: Duration = Duration::from_secs(2);

/// How a caller is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// What becomes of the caller's standard input.
    pub input: Input,
    /// Which of the container's outputs the caller gets.
    pub shown: Shown,
    /// What becomes of the signals that the caller gets.
    pub signals: SignalProxy,
    /// Keys that detach from a terminal (`--detach-keys`), as bytes; empty for none. Docker's are [`DETACH_KEYS`].
    pub detach_keys: Vec<u8>,
}

/// Docker's keys to detach: ctrl-p, ctrl-q.
pub const DETACH_KEYS: [u8; 2] = [0x10, 0x11];

/// What becomes of the caller's standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// It goes to the container (`--interactive`).
    Forward,
    /// It is not read.
    Ignore,
}

/// Which of the container's outputs the caller gets (`--attach`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// Both.
    #[default]
    Both,
    /// Standard output.
    Output,
    /// Standard error.
    Error,
    /// None: the session is over when the caller's input is.
    Nothing,
}

/// What becomes of the signals that the caller gets (`--sig-proxy`). As in Docker nothing is passed on where the caller's terminal is
/// the container's: what is typed there is no signal here, and one that comes nevertheless is for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalProxy {
    /// They go to the container's first process.
    Forward,
    /// They do to the caller what they always do.
    Keep,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The container's first process has ended with this code: 128 and the number if a signal ended it. With `--rm` it is removed.
    Exited(u8),
    /// The caller detached; the container goes on.
    Detached,
    /// The caller is to end by this signal, for which [`die_of`] is there; the container goes on. The terminal has its mode back.
    Interrupted(Signal),
}

/// Ends the caller as the signal of [`Followed::Interrupted`] would have ended it; the exit code for one that outlives it.
#[must_use]
pub fn die_of(signal: Signal) -> u8 {
    // Whatever kept it from ending by the signal: it ends all the same.
    drop(stockade_kernel::signal::die_of(signal));
    (128 + signal.as_raw()) as u8
}

/// Why a session ended without the container's end.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The monitor has let go of this client.
    #[error(
        "this session with container {} was ended, because it did not take the container's output for a long time; \
         the container goes on, and logs has what is missing",
        .0.short()
    )]
    Dropped(ContainerId),
    /// The monitor is gone. What was left of the container was killed.
    #[error("the monitor of container {} was killed, and the container with it", .0.short())]
    MonitorLost(ContainerId),
    /// The monitor is gone, and so is the container or the sense of its files.
    #[error("the monitor is gone")]
    Container(#[from] ContainerError),
    /// The caller's own streams or terminal, or the connection; the container goes on.
    #[error("cannot {action}")]
    Stream {
        /// What was attempted.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// It ended, but was not removed as `--rm` says.
    #[error("the container has ended with code {code} and is still there")]
    Remove {
        /// Its exit code.
        code: u8,
        /// Why it is still there.
        source: RemoveError,
    },
}

impl FollowError {
    /// Docker's exit code for it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::MonitorLost(_) => 137,
            Self::Stream { .. } | Self::Container(_) | Self::Dropped(_) => 125,
            Self::Remove { code, .. } => *code,
        }
    }

    /// For `map_err`.
    pub(crate) fn doing<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Stream { action, source: source.into() }
    }
}

/// A connection to a monitor, made before the container starts or while it runs.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) socket: OwnedFd,
    /// Where the monitor says that the container has ended and is to be finished here: of who has started it.
    pub(crate) control: Option<OwnedFd>,
    /// The signals that are for the container, held back from now on; for a terminal at least those of its size.
    pub(crate) signals: Option<Signals>,
    /// Whether the container has a terminal.
    pub(crate) terminal: bool,
}

impl Connected {
    /// Connects, and tells the size of the caller's terminal if the container has one too.
    pub(crate) fn new(folder: &Folder, attachment: &Attachment, terminal: bool) -> io::Result<Self> {
        let socket = socket::connect(folder)?;
        if terminal && let Some(resize) = resize()? {
            stockade_kernel::fdpass::send(&socket, &resize, &[])?;
        }
        let signals = match duty(attachment, terminal) {
            Duty::Forward => Some(Signals::block(&forwarded())?),
            Duty::Restore => Some(Signals::block(&heeded()?)?),
            Duty::Nothing => None,
        };
        Ok(Self { socket, control: None, signals, terminal })
    }

    /// Makes a program in the container draw its screen, or its prompt, again: by a size that is another one for a moment, as
    /// Docker does for who attaches.
    pub(crate) fn redraw(&self) -> io::Result<()> {
        if let Some(size) = own_size()?.filter(|_| self.terminal) {
            let other = Frame::Resize { rows: size.ws_row.saturating_add(1), columns: size.ws_col.saturating_add(1) };
            stockade_kernel::fdpass::send(&self.socket, &other.encode(), &[])?;
            let size = Frame::Resize { rows: size.ws_row, columns: size.ws_col };
            stockade_kernel::fdpass::send(&self.socket, &size.encode(), &[])?;
        }
        Ok(())
    }
}

/// What is done with the signals that the caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// They go to the container.
    Forward,
    /// They do what they always do, but the caller's terminal gets its mode back before.
    Restore,
    /// They do what they always do.
    Nothing,
}

/// What is done for `attachment` at a container that has a terminal or not.
pub(crate) fn duty(attachment: &Attachment, terminal: bool) -> Duty {
    let shared = terminal && rustix::termios::isatty(rustix::stdio::stdin());
    match attachment.signals {
        _ if shared => Duty::Restore,
        SignalProxy::Forward => Duty::Forward,
        SignalProxy::Keep if terminal => Duty::Restore,
        SignalProxy::Keep => Duty::Nothing,
    }
}

/// The signals that are passed on. Those for a process in the background of its terminal stop the caller as they stop everybody.
fn forwarded() -> Vec<Signal> {
    FORWARDED.into_iter().filter(|signal| ![Signal::TTIN, Signal::TTOU].contains(signal)).collect()
}

/// The signals that end, stop or continue the caller, and that of a new size; but for those that it ignores.
fn heeded() -> io::Result<Vec<Signal>> {
    let mut all = forwarded();
    all.retain(|signal| *signal != Signal::URG);
    let mut heeded = Vec::new();
    for signal in all {
        if !is_ignored(signal)? {
            heeded.push(signal);
        }
    }
    Ok(heeded)
}

/// The size of the caller's terminal; `None` if he has none.
fn own_size() -> io::Result<Option<rustix::termios::Winsize>> {
    match terminal::size(rustix::stdio::stdout())? {
        Some(size) => Ok(Some(size)),
        None => terminal::size(rustix::stdio::stdin()),
    }
}

/// The packet that tells the size of the caller's terminal; `None` if he has none.
pub(crate) fn resize() -> io::Result<Option<Vec<u8>>> {
    Ok(own_size()?.map(|size| Frame::Resize { rows: size.ws_row, columns: size.ws_col }.encode()))
}

/// How much of what a container says is kept as its last words.
const MOST_WORDS: usize = 2048;

/// The end of what a container said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastWords(Vec<u8>);

impl LastWords {
    /// Takes what it says next.
    pub(crate) fn hear(&mut self, said: &[u8]) {
        // Of much that is said at once only the end is copied: this stands in the way of all output.
        self.0.extend_from_slice(&said[said.len().saturating_sub(MOST_WORDS)..]);
        let before = self.0.len().saturating_sub(MOST_WORDS);
        self.0.drain(..before);
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A caller attached to a container.
#[derive(Debug)]
pub struct Session {
    engine: Engine,
    id: ContainerId,
    connected: Connected,
    attachment: Attachment,
}

impl Session {
    pub(crate) fn new(engine: &Engine, id: &ContainerId, connected: Connected, attachment: Attachment) -> Self {
        Self { engine: engine.clone(), id: id.clone(), connected, attachment }
    }

    /// Whose session it is.
    #[must_use]
    pub fn whose(&self) -> (Engine, ContainerId) {
        (self.engine.clone(), self.id.clone())
    }

    /// Copies between the caller and the container until the container ends or the caller detaches. A terminal of the caller is
    /// in raw mode meanwhile and always gets its mode back.
    ///
    /// # Errors
    /// See [`FollowError`].
    pub fn follow(self) -> Result<Followed, FollowError> {
        self.follow_hearing(&mut LastWords::default())
    }

    /// The same, and keeps the end of what the container says in `words`.
    ///
    /// # Errors
    /// See [`FollowError`].
    pub fn follow_hearing(self, words: &mut LastWords) -> Result<Followed, FollowError> {
        let typed = self.connected.terminal && self.attachment.input == Input::Forward;
        let raw = if typed { RawMode::enter(rustix::stdio::stdin()) } else { Ok(None) };
        let raw = raw.map_err(FollowError::doing("put the terminal into raw mode"))?;
        let mut finish = || crate::finish(&self.engine, &self.id);
        let pumped = Pump::new(self.connected, &self.attachment, raw.as_ref(), words).run(&mut finish);
        raw.map_or(Ok(()), RawMode::leave).map_err(FollowError::doing("give the terminal its mode back"))?;
        match pumped? {
            Pumped::Detached => Ok(Followed::Detached),
            Pumped::Interrupted(signal) => Ok(Followed::Interrupted(signal)),
            Pumped::Exited(code) => removed(&self.engine, &self.id, code),
            Pumped::Hungup => lost(&self.engine, &self.id),
        }
    }
}

/// The container's end, once it is removed if it was asked for with `--rm`: this session or the monitor's last errand did that, unless
/// it failed.
fn removed(engine: &Engine, id: &ContainerId, code: u8) -> Result<Followed, FollowError> {
    // Not by who restarts it.
    let rests = || engine.folder(id)?.try_share(RESTARTING);
    let asked = engine.view(id).and_then(|view| Ok(view.record.host_config.auto_remove && rests()?));
    let outcome = match asked {
        Ok(false) | Err(ContainerError::Missing(_)) => Ok(()),
        Ok(true) => remove_ended(engine, id, Force::Refuse, OwnVolumes::Keep),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) | Err(RemoveError::Container(ContainerError::Missing(_))) => Ok(Followed::Exited(code)),
        Err(source) => Err(FollowError::Remove { code, source }),
    }
}

/// What became of a container whose monitor has hung up without telling the end.
fn lost(engine: &Engine, id: &ContainerId) -> Result<Followed, FollowError> {
    // Its lock goes with it; that it has hung up says only that it is about to be gone, unless it lives on.
    if !engine.folder(id)?.wait_for_monitor(Some(Instant::now() + GOING))? {
        return Err(FollowError::Dropped(id.clone()));
    }
    let view = engine.view(id)?;
    match view.life.end {
        // It had written the end down.
        Some(end) if view.life.state == State::Exited && end.error.is_none() => removed(engine, id, end.code),
        _ => Err(FollowError::MonitorLost(id.clone())),
    }
}
