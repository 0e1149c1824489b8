//! `exec`: one more process in a running container.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fd::AsFd;
use rustix::process::Pid;
use stockade_cgroups::{FileError, FreezeError, Group, Membership, Place};
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_spec::{Capabilities, ContainerStatus, ParseError, Process, Spec};

use super::Context;
use super::create::{CreateError, LARGEST_CONFIG, write_pid};
use super::run::{console, receive};
use crate::facts;
use crate::foreground::Foreground;
use crate::plan::{self, UserNamespace};
use crate::stage::{JoinError, Joining, Payload, PrepareError, Sharing, join};
use crate::status::{StatusError, alive};
use crate::store::{ContainerId, ProcessRecord, StoreError};

/// What `exec` is asked.
#[derive(Clone, Debug)]
pub struct Arguments {
    /// The container.
    pub id: ContainerId,
    /// The process.
    pub process: Source,
    /// Who takes the terminal.
    pub console_socket: Option<PathBuf>,
    /// Where to write the process' id.
    pub pid_file: Option<PathBuf>,
    /// Where it is below the container's cgroup; empty: in that itself.
    pub cgroups: Vec<SubGroup>,
    /// Whether to return at once.
    pub detach: bool,
    /// Whether a frozen container is good enough.
    pub ignore_paused: bool,
    /// How many descriptors after standard error the process inherits.
    pub preserve_fds: u32,
}

/// A group below the container's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubGroup {
    /// The hierarchies of cgroup v1, by their controllers; empty: all of cgroup v1, or the one of cgroup v2.
    pub controllers: Vec<String>,
    /// Relative to the container's group; plain names only.
    pub path: PathBuf,
}

/// Where the process is described.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a file of the form of `config.json`'s `process`.
    File(PathBuf),
    /// By the container's own `process`, changed by the command line.
    Changed(Box<Changes>),
}

/// What the command line changes in the container's own process; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// The working directory.
    pub cwd: Option<PathBuf>,
    /// More of the environment.
    pub env: Vec<String>,
    /// Whether it gets a terminal.
    pub terminal: bool,
    /// User and group.
    pub user: Option<(u32, Option<u32>)>,
    /// Supplementary groups.
    pub additional_gids: Vec<u32>,
    /// AppArmor profile.
    pub apparmor: Option<String>,
    /// `no_new_privs`.
    pub no_new_privileges: bool,
    /// Capabilities more.
    pub capabilities: Vec<String>,
}

/// Why nothing was run.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The container's folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its status.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// Whether it is paused.
    #[error(transparent)]
    Freezer(#[from] FreezeError),
    /// In runc's words.
    #[error("cannot exec in a stopped container")]
    Stopped,
    /// In runc's words.
    #[error("cannot exec in a paused container (use --ignore-paused to override)")]
    Paused,
    /// The file of the process.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no process, or the kept configuration is wrong.
    #[error("the process to run is wrong")]
    Parse(#[from] ParseError),
    /// The configuration names no process to go by.
    #[error("the container's config.json has no process to go by: give --process")]
    NoProcess,
    /// It can not be carried out.
    #[error("the process can not be run")]
    Plan(#[from] plan::PlanError),
    /// The machine does not tell what it has.
    #[error(transparent)]
    Facts(#[from] facts::FactsError),
    /// The terminal.
    #[error(transparent)]
    Console(#[from] CreateError),
    /// Something on the host can not be had.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The container's cgroup, or the one below it.
    #[error(transparent)]
    Group(#[from] FileError),
    /// A hierarchy that the container is in none of.
    #[error("--cgroup: the container is in no cgroup of the controller {0:?}")]
    NoController(String),
    /// The group of the first process.
    #[error("cannot find the cgroup of the container's first process")]
    OfFirst(#[source] io::Error),
    /// Signals or the terminal could not be set up.
    #[error("cannot set up the foreground")]
    Foreground(#[source] io::Error),
    /// The process itself.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The file for the process' id; the process runs.
    #[error("cannot write the process id to {}", path.display())]
    PidFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The wait broke off; the process goes on.
    #[error("cannot wait for the process")]
    Wait(#[source] io::Error),
}

/// Runs the process; its exit code, or 0 after a start that is not waited for.
///
/// # Errors
/// [`ExecError`].
pub fn exec(context: &Context, arguments: &Arguments) -> Result<u8, ExecError> {
    // Not locked while the process runs: a container can be killed and deleted meanwhile.
    let entry = context.store.find(&arguments.id)?;
    let record = entry.record().ok_or(ExecError::Stopped)?;
    let first = record.process.ok_or(ExecError::Stopped)?;
    let init = alive(first)?.ok_or(ExecError::Stopped)?;
    let whole = match Group::open(&record.places) {
        Err(_) if alive(first)?.is_none() => return Err(ExecError::Stopped),
        opened => opened?,
    };
    if !arguments.ignore_paused && whole.frozen()? {
        return Err(ExecError::Paused);
    }
    let config = entry.config()?;
    let (spec, _) = Spec::parse(&config)?;
    let process = describe(&arguments.process, &spec)?;
    let facts = facts::gather_for_process()?;
    let mut notices = Vec::new();
    let planned = plan::process(&process, &facts, user_namespace(&spec), &mut notices)?;
    notices.iter().for_each(|notice| context.log.warn(notice));
    let mut receiver = None;
    let own = process.terminal && !arguments.detach;
    let seccomp = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_deref());
    let sharing = Sharing {
        console: console(arguments.console_socket.as_deref(), own, &mut receiver)?,
        preserve_fds: arguments.preserve_fds,
        last_capability: facts.last_capability,
        state: context.store.path(),
    };
    let payload = Payload::prepare(planned, seccomp, sharing)?;
    let foreground = (!arguments.detach).then(Foreground::prepare).transpose().map_err(ExecError::Foreground)?;
    let group = group(whole, &record.places, &arguments.cgroups, first)?;
    let state = record.state(ContainerStatus::Running);
    let init_pid = Pid::from_raw(first.pid).ok_or(ExecError::Stopped)?;
    drop(entry);
    let joining = Joining { init: init.as_fd(), init_pid, group: &group, payload: &payload, state: &state };
    let (pid, pidfd) = join(&joining)?;
    // While the program begins: these are many descriptors.
    drop((group, payload));
    if let Some(path) = &arguments.pid_file {
        write_pid(path, pid).map_err(|source| ExecError::PidFile { path: path.clone(), source })?;
    }
    let Some(foreground) = foreground else { return Ok(0) };
    let terminal = receiver.as_ref().map(receive).transpose().map_err(ExecError::Foreground)?;
    foreground.wait(pid, &pidfd, terminal).map_err(ExecError::Wait)
}

/// The group for the process; `whole` is the container's.
///
/// A container of cgroup v2 that has given controllers to groups below its own can have no process in that any more
/// (`cgroups(7)`, "no internal processes"): then it is the group of the first process.
fn group(whole: Group, places: &[Place], wanted: &[SubGroup], first: ProcessRecord) -> Result<Group, ExecError> {
    if wanted.is_empty() {
        if !whole.delegates()? {
            return Ok(whole);
        }
        let membership = Procfs::host().and_then(|procfs| Membership::of(&procfs, Subject::Pid(first.pid)));
        let membership = membership.map_err(ExecError::OfFirst)?;
        let theirs = |place: &Place| membership.place_below(place).unwrap_or_else(|| place.clone());
        return Ok(Group::open(&places.iter().map(theirs).collect::<Vec<_>>())?);
    }
    let mut places = places.to_vec();
    let only = places.len() == 1;
    let of = |place: &Place, controller: &String| place.hierarchy.split(',').any(|name| name == controller);
    for SubGroup { controllers, path } in wanted {
        if let Some(missing) = controllers.iter().find(|controller| !places.iter().any(|place| of(place, controller))) {
            return Err(ExecError::NoController(missing.clone()));
        }
        for place in &mut places {
            let all = controllers.is_empty() && (only || place.hierarchy != "unified");
            if all || controllers.iter().any(|controller| of(place, controller)) {
                place.path.push(path);
            }
        }
    }
    Ok(Group::open(&places)?)
}

/// In which user namespace the process will be.
fn user_namespace(spec: &Spec) -> UserNamespace<'_> {
    let Some(linux) = &spec.linux else { return UserNamespace::Runtimes };
    let user = linux.namespaces.iter().find(|namespace| namespace.kind == stockade_spec::NamespaceType::User);
    match user {
        None => UserNamespace::Runtimes,
        Some(user) if user.path.as_os_str().is_empty() => {
            UserNamespace::Mapped(plan::IdMaps { uids: &linux.uid_mappings, gids: &linux.gid_mappings })
        }
        Some(_) => UserNamespace::Joined,
    }
}

/// The process in the configuration's form.
fn describe(source: &Source, spec: &Spec) -> Result<Process, ExecError> {
    match source {
        Source::File(path) => {
            let text = read_process(path).map_err(|source| ExecError::File { path: path.clone(), source })?;
            Ok(stockade_spec::parse::<Process>(&text)?.0)
        }
        Source::Changed(changes) => {
            let process = spec.process.clone().ok_or(ExecError::NoProcess)?;
            Ok(changes.apply(process))
        }
    }
}

/// The file of a process, of the size of a configuration at most.
fn read_process(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(LARGEST_CONFIG + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST_CONFIG { Err(io::Error::other("it is larger than 16 MiB")) } else { Ok(text) }
}

impl Changes {
    fn apply(&self, mut process: Process) -> Process {
        process.args.clone_from(&self.args);
        process.terminal = self.terminal;
        process.console_size = None;
        process.env.extend(self.env.iter().cloned());
        process.no_new_privileges |= self.no_new_privileges;
        if let Some(cwd) = &self.cwd {
            process.cwd.clone_from(cwd);
        }
        if let Some(profile) = &self.apparmor {
            process.apparmor_profile.clone_from(profile);
        }
        if let Some((uid, gid)) = self.user {
            process.user.uid = uid;
            process.user.gid = gid.unwrap_or(process.user.gid);
        }
        process.user.additional_gids.extend(&self.additional_gids);
        if !self.capabilities.is_empty() {
            let sets = process.capabilities.get_or_insert_default();
            add(sets, &self.capabilities);
        }
        process
    }
}

/// Adds capabilities as runc's `--cap` does: to all sets in which they have an effect; to the ambient set only where the
/// process has inheritable ones.
fn add(sets: &mut Capabilities, names: &[String]) {
    for name in names {
        let mut lists = vec![&mut sets.bounding, &mut sets.effective, &mut sets.permitted];
        if !sets.inheritable.is_empty() {
            lists.push(&mut sets.inheritable);
            lists.push(&mut sets.ambient);
        }
        for list in lists {
            if !list.contains(name) {
                list.push(name.clone());
            }
        }
    }
}
