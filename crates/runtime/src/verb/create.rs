//! `create`: a container that is confined and waits for its start.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::Pid;
use stockade_kernel::chain::chain;
use stockade_kernel::clock::now;
use stockade_kernel::namespace::Namespaces;
use stockade_kernel::procfs::read_all;
use stockade_spec::{ContainerStatus, Spec};

use super::Context;
use super::group::{self, Driver, GroupError, PlannedGroup};
use crate::facts::{self, Gathered};
use crate::hook::HookError;
use crate::plan::{self, Plan};
use crate::rootfs::Way;
use crate::stage::{
    Console, ConsoleError, Keyring, LaunchError, Launched, Payload, PrepareError, Prepared, Sharing, StartSocket,
    Witness, launch,
};
use crate::store::{ContainerId, Entry, ProcessRecord, Record, StoreError};

/// What `create` and `run` are asked.
#[derive(Clone, Debug)]
pub struct Arguments {
    /// The id.
    pub id: ContainerId,
    /// The bundle's folder.
    pub bundle: PathBuf,
    /// Who takes the terminal.
    pub console_socket: Option<PathBuf>,
    /// Where to write the first process' id.
    pub pid_file: Option<PathBuf>,
    /// Who makes its cgroup.
    pub driver: Driver,
    /// Which session keyring the container has.
    pub keyring: Keyring,
    /// How its root is entered.
    pub way: Way,
    /// How many descriptors after standard error the payload inherits.
    pub preserve_fds: u32,
    /// How many of these, the first, are sockets of systemd's (`sd_listen_fds(3)`).
    pub listen_fds: u32,
}

/// Why there is no container. What was made is removed again.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The bundle is not there.
    #[error("cannot find the bundle {}", path.display())]
    Bundle {
        /// Its folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its configuration can not be read.
    #[error("cannot read {}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no configuration.
    #[error("config.json is wrong")]
    Parse(#[from] stockade_spec::ParseError),
    /// It can not be carried out.
    #[error("config.json can not be carried out")]
    Plan(#[from] plan::PlanError),
    /// The machine does not tell what it has.
    #[error(transparent)]
    Facts(#[from] facts::FactsError),
    /// Nobody takes the terminal.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// Something on the host can not be had.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// Its group.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The container's folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The socket for the start can not be made.
    #[error("cannot make the socket at which the container waits for its start")]
    Socket(#[source] io::Error),
    /// The container's process.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// It was made, and is not to start.
    #[error("cannot start the container")]
    Word(#[from] super::run::WordError),
    /// A hook after the start.
    #[error("cannot run a poststart hook")]
    Poststart(#[from] HookError),
    /// A terminal of our own.
    #[error("cannot make the socket for the terminal")]
    ConsoleSocket(#[source] io::Error),
    /// The file for the process' id.
    #[error("cannot write the process id to {}", path.display())]
    PidFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The most that is read of a `config.json`.
pub(super) const LARGEST_CONFIG: u64 = 16 << 20;

/// Makes the container.
///
/// # Errors
/// [`CreateError`]; nothing is left behind, or what could not be removed is warned of.
pub fn create(context: &Context, arguments: &Arguments) -> Result<(), CreateError> {
    let mut connect = |_| Ok(arguments.console_socket.as_deref().map(Console::connect).transpose()?);
    let made = make(context, arguments, &mut connect, Wait::ForStart)?;
    let committed = made.launched.commit();
    committed.map_err(|error| undo(context, made.entry, error.into()))
}

/// How the container's process goes on when it is confined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// At `start.sock`.
    ForStart,
    /// For the word of this process.
    ForWord,
}

/// A container that is there, locked.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) entry: Entry,
    pub(super) launched: Launched,
    pub(super) poststart: Vec<stockade_spec::Hook>,
    pub(super) poststop: Vec<stockade_spec::Hook>,
}

/// Gives the console of a payload that, as it is told, has a terminal or none.
pub(super) type GiveConsole<'a> = dyn FnMut(bool) -> Result<Option<Console>, CreateError> + 'a;

/// Everything up to the confined process.
pub(super) fn make(
    context: &Context,
    arguments: &Arguments,
    give_console: &mut GiveConsole<'_>,
    wait: Wait,
) -> Result<Made, CreateError> {
    let bundle = std::fs::canonicalize(&arguments.bundle)
        .map_err(|source| CreateError::Bundle { path: arguments.bundle.clone(), source })?;
    let config = read_config(&bundle)?;
    let (spec, skipped) = Spec::parse(&config)?;
    for path in skipped {
        context.log.warn(&format!("config.json: {path} is unknown and was skipped"));
    }
    if arguments.way == Way::Move {
        context
            .log
            .warn("--no-pivot: the host's root file system stays below the container's; CAP_SYS_ADMIN uncovers it");
    }
    let Gathered { facts, own } = facts::gather(&bundle, arguments.id.as_str(), &spec)?;
    let mut plan = plan::plan(&spec, &facts)?;
    if let Some(process) = plan.process.as_mut().filter(|_| arguments.listen_fds > 0) {
        // The payload is the first process of its pid namespace.
        process.env.extend([format!("LISTEN_FDS={}", arguments.listen_fds), "LISTEN_PID=1".to_owned()].map(Into::into));
    }
    for notice in &plan.notices {
        context.log.warn(notice);
    }
    let sharing = Sharing {
        console: give_console(plan.process.as_ref().is_some_and(|process| process.terminal.is_some()))?,
        preserve_fds: arguments.preserve_fds,
        last_capability: facts.process.last_capability,
        state: context.store.path(),
    };
    let process = plan.process.clone();
    let payload = process.map(|process| Payload::prepare(process, plan.seccomp.as_deref(), sharing)).transpose()?;
    let group = group::plan(arguments.driver, &plan, &facts, &spec.annotations)?;
    for degradation in &group.group.degradations {
        context.log.warn(&degradation.to_string());
    }
    let mut entry = context.store.reserve(&arguments.id)?;
    let draft =
        Draft { arguments, config: &config, annotations: spec.annotations, bundle, plan, payload, group, own, wait };
    match draft.build(&mut entry) {
        Ok(launched) => {
            let hooks = spec.hooks.unwrap_or_default();
            Ok(Made { entry, launched, poststart: hooks.poststart, poststop: hooks.poststop })
        }
        Err(error) => Err(undo(context, entry, error)),
    }
}

/// A container of which only the id is taken yet.
struct Draft<'a> {
    arguments: &'a Arguments,
    config: &'a [u8],
    annotations: BTreeMap<String, String>,
    bundle: PathBuf,
    plan: Plan,
    payload: Option<Payload>,
    group: PlannedGroup,
    own: Vec<(Namespaces, u64)>,
    wait: Wait,
}

impl Draft<'_> {
    /// Makes the cgroup and the process. Whatever is made is recorded before, so that `delete` finds it however this ends.
    fn build(self, entry: &mut Entry) -> Result<Launched, CreateError> {
        let mut record = Record {
            id: entry.id().clone(),
            rootfs: self.plan.rootfs.path.clone(),
            created: now(),
            owner: rustix::process::geteuid().as_raw(),
            annotations: self.annotations,
            places: self.group.group.places(),
            unit: None,
            made: Vec::new(),
            process: None,
            bundle: self.bundle,
        };
        entry.save_config(self.config)?;
        // The holder ends with this function: then the container's own process is in the group, or there is none.
        let (group, _holder) = self.group.make(entry, &mut record)?;
        let state = record.state(ContainerStatus::Creating);
        let Arguments { keyring, way, .. } = *self.arguments;
        let prepared = Prepared::prepare(self.plan, self.payload, group, self.own, state, keyring, way)?;
        let socket = match self.wait {
            Wait::ForStart => Some(StartSocket::listen(entry.folder()).map_err(CreateError::Socket)?),
            Wait::ForWord => None,
        };
        let launched = launch(&prepared, socket.as_ref(), &mut Recorder { entry, record })?;
        if let Some(path) = &self.arguments.pid_file {
            let written = write_pid(path, launched.pid);
            written.map_err(|source| CreateError::PidFile { path: path.clone(), source })?;
        }
        Ok(launched)
    }
}

/// Records the process as soon as it exists.
struct Recorder<'a> {
    entry: &'a mut Entry,
    record: Record,
}

impl Witness for Recorder<'_> {
    fn made(&mut self, pid: Pid, start_time: u64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let process = ProcessRecord { pid: pid.as_raw_nonzero().get(), start_time };
        Ok(self.entry.save(Record { process: Some(process), ..self.record.clone() })?)
    }

    fn in_child(&mut self) -> io::Result<()> {
        self.entry.forget_in_child()
    }
}

/// Removes what was made for a container that could not be made, and returns why it could not. Where hooks may have run, the
/// `poststop` ones do (`runtime.md`, "Lifecycle", 3 to 13). What can not be removed stays recorded, and is warned of.
pub(super) fn undo(context: &Context, entry: Entry, error: CreateError) -> CreateError {
    let removed = match error {
        CreateError::Launch(_) | CreateError::PidFile { .. } | CreateError::Word(_) | CreateError::Poststart(_) => {
            super::delete::remove_with_hooks(context, entry)
        }
        _ => super::delete::remove(entry),
    };
    if let Err(failure) = removed {
        context.log.warn(&format!("something is left of the container: {}", chain(&failure)));
    }
    error
}

/// The bundle's configuration: a regular file of a sensible size.
fn read_config(bundle: &Path) -> Result<Vec<u8>, CreateError> {
    let path = bundle.join("config.json");
    let read = || {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(CWD, &path, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
            return Err(io::Error::other("it is not a regular file"));
        }
        if stat.st_size as u64 > LARGEST_CONFIG {
            return Err(io::Error::other("it is larger than 16 MiB"));
        }
        read_all(rustix::fd::AsFd::as_fd(&file))
    };
    read().map_err(|source| CreateError::Config { path: path.clone(), source })
}

/// Writes the file for the engine: it is there with its content or not at all.
pub(super) fn write_pid(path: &Path, pid: Pid) -> io::Result<()> {
    let (folder, name) = stockade_kernel::resolve::split(path)?;
    let draft = folder.join(format!(".{}.new", name.to_string_lossy()));
    std::fs::write(&draft, pid.as_raw_nonzero().to_string())?;
    std::fs::rename(&draft, path)
}
