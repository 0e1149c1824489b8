//! Calling the OCI runtime.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use stockade_monitor::ORDER;
use stockade_monitor::order::{Order, RuntimeKind};

use crate::record::Record;
use crate::{CgroupDriver, ContainerId, Engine, bounded};

/// How long the runtime may take for what an engine asks of a container that exists. It waits ten seconds itself for what it kills.
pub(crate) const PATIENCE: Duration = Duration::from_secs(25);

/// How many characters of what a runtime complains about are told.
const LONGEST_COMPLAINT: usize = 2000;

/// What the runtime's environment is: nothing of the caller's.
pub(crate) const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why the runtime did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// It could not be executed.
    #[error("cannot run the OCI runtime {}", path.display())]
    Execute {
        /// The program.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It hangs.
    #[error("the OCI runtime {} has not ended after {} seconds and was killed", path.display(), patience.as_secs())]
    Hangs {
        /// The program.
        path: PathBuf,
        /// How long it was waited for.
        patience: Duration,
    },
    /// It failed.
    #[error("the OCI runtime failed ({status}): {message}")]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        message: String,
    },
}

impl Engine {
    /// The runtime's program.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.places().runtime.clone().unwrap_or_else(|| self.program("stake"))
    }

    /// Whether it is another one than `stake`.
    pub(crate) fn runtime_is_foreign(&self) -> bool {
        self.places().runtime.as_ref().is_some_and(|path| path.file_name() != Some("stake".as_ref()))
    }

    /// The command that starts the container of `record`: by `--runtime`, or else by the runtime that it was made for.
    pub(crate) fn runtime_for(&self, record: &Record) -> Vec<String> {
        let mut command = self.runtime_command();
        if let (Some(made_for), Some(program)) = (self.other_runtime(record), command.first_mut()) {
            made_for.clone_into(program);
        }
        if CgroupDriver::of(&record.confinement.cgroup) == CgroupDriver::Systemd {
            command.push("--systemd-cgroup".to_owned());
        }
        command
    }

    /// What the monitor may take it for.
    pub(crate) fn runtime_kind(&self, record: &Record) -> RuntimeKind {
        let is_ours = self.places().runtime.is_none() && self.other_runtime(record).is_none();
        if is_ours { RuntimeKind::Stake } else { RuntimeKind::Oci }
    }

    /// The runtime that the container was made for, if it is another than `stake` and `--runtime` names none.
    fn other_runtime<'a>(&self, record: &'a Record) -> Option<&'a str> {
        let made_for = record.host_config.runtime.as_str();
        let other = self.places().runtime.is_none() && !made_for.ends_with("/stake") && Path::new(made_for).is_file();
        other.then_some(made_for)
    }

    /// The runtime's program and its global options.
    pub(crate) fn runtime_command(&self) -> Vec<String> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        vec![text(self.runtime()), "--root".to_owned(), text(self.runtime_root())]
    }

    /// Whether the runtime makes time namespaces (runtime-spec 1.1). Ours does; another one is asked by `features`, and taken
    /// not to if it does not answer: it would make no container at all.
    pub(crate) fn runtime_makes_time_namespaces(&self) -> bool {
        if self.places().runtime.is_none() {
            return true;
        }
        let answer = bounded::run(Command::new(self.runtime()).arg("features").env_clear(), PATIENCE);
        let told = answer.ok().flatten().filter(|said| said.status.success());
        let told: Option<serde_json::Value> = told.and_then(|said| serde_json::from_slice(&said.output).ok());
        let namespaces = told.as_ref().and_then(|told| told["linux"]["namespaces"].as_array());
        namespaces.is_some_and(|namespaces| namespaces.iter().any(|name| name == "time"))
    }

    /// The runtime that the container was started by last, and its global options; the one of now for a container that was never
    /// started, or whose runtime is not where it was.
    fn runtime_of(&self, id: &ContainerId) -> Vec<String> {
        let order = std::fs::read(self.containers().join(id.as_str()).join(ORDER)).ok();
        let order: Option<Order> = order.and_then(|text| serde_json::from_slice(&text).ok());
        let there = |order: &Order| order.runtime.first().is_some_and(|program| Path::new(program).is_file());
        order.filter(there).map_or_else(|| self.runtime_command(), |order| order.runtime)
    }

    /// Runs the container's runtime to its end; what it says. It has an environment with `PATH` only, and no input.
    ///
    /// # Errors
    /// See [`RuntimeError`]; one that has not ended after `patience` is killed.
    fn heard(&self, id: &ContainerId, arguments: &[&str], patience: Duration) -> Result<String, RuntimeError> {
        let mut words = self.runtime_of(id).into_iter();
        let path = words.next().map_or_else(|| self.runtime(), PathBuf::from);
        let (name, value) = PATH.split_once('=').unwrap_or_default();
        let mut command = Command::new(&path);
        command.args(words).args(arguments).env_clear().env(name, value).current_dir("/");
        let said = match bounded::run(&mut command, patience) {
            Ok(Some(said)) => said,
            Ok(None) => return Err(RuntimeError::Hangs { path, patience }),
            Err(source) => return Err(RuntimeError::Execute { path, source }),
        };
        if said.status.success() {
            return Ok(String::from_utf8_lossy(&said.output).into_owned());
        }
        let message = String::from_utf8_lossy(&said.error).trim().chars().take(LONGEST_COMPLAINT).collect();
        Err(RuntimeError::Failed { status: said.status, message })
    }

    /// What the container's runtime says about it.
    pub(crate) fn ask_runtime(&self, id: &ContainerId, arguments: &[&str]) -> Result<String, RuntimeError> {
        self.heard(id, arguments, PATIENCE)
    }

    /// Has the container's runtime do something, and waits for its end.
    pub(crate) fn call_runtime(&self, id: &ContainerId, arguments: &[&str]) -> Result<(), RuntimeError> {
        self.call_runtime_within(id, arguments, PATIENCE)
    }

    /// The same with another patience.
    pub(crate) fn call_runtime_within(
        &self,
        id: &ContainerId,
        arguments: &[&str],
        patience: Duration,
    ) -> Result<(), RuntimeError> {
        self.heard(id, arguments, patience).map(drop)
    }
}
