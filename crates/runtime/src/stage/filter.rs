//! The payload's system call filter, on its way from `linux.seccomp` into the kernel.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::Serialize;
use serde_json::value::RawValue;
use stockade_capabilities::Capability;
use stockade_kernel::fdpass;
use stockade_seccomp::Compiled;
use stockade_seccomp::support::{Lacking, Support};
use stockade_spec::State;

use super::failure::{Failure, step};
use crate::plan::model::ProcessPlan;

/// A filter that can not be had. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The section can not be read, or not be compiled.
    #[error("linux.seccomp can not be used")]
    Seccomp(#[from] stockade_seccomp::CompileError),
    /// What this kernel can do is not known.
    #[error("cannot find out which filters this kernel takes")]
    Support(#[source] io::Error),
    /// This kernel would refuse it.
    #[error("linux.seccomp can not be loaded")]
    Unsupported(#[from] Lacking),
    /// Between loading the filter and executing the payload the runtime itself needs this call.
    #[error("linux.seccomp does not allow {call}, which the runtime needs after loading the filter: {way_out}")]
    Blocks {
        /// The system call.
        call: &'static str,
        /// What helps.
        way_out: &'static str,
    },
    /// The agent that handles notifications is not there.
    #[error("cannot connect to the seccomp agent at linux.seccomp.listenerPath ({})", path.display())]
    Agent {
        /// Its socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A compiled filter with the agent of its notifications.
#[derive(Debug)]
pub(super) struct Filter {
    compiled: Compiled,
    agent: Option<Agent>,
}

/// Who handles a filter's notifications.
#[derive(Debug)]
struct Agent {
    socket: OwnedFd,
    metadata: String,
}

/// What the agent is told (`config-linux.md`, "Container process state").
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'a str,
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    metadata: &'a str,
    state: &'a State,
}

impl Filter {
    /// Finds the compiled form of `section` in the cache below `state`, or compiles it, and connects to its agent.
    pub(super) fn prepare(section: &RawValue, process: &ProcessPlan, state: &Path) -> Result<Self, FilterError> {
        let compiled = stockade_seccomp::load_or_compile(section.get().as_bytes(), Some(&state.join(".seccomp")))?;
        Support::probe_for(&compiled).map_err(FilterError::Support)?.suffices(&compiled)?;
        let has = |sets: stockade_capabilities::Sets| sets.effective.contains(Capability::SYS_ADMIN);
        let holds_admin = !process.no_new_privileges && !process.capabilities.is_some_and(has);
        let way_out = "allow it, as every dynamically linked program needs it";
        let mut needed = vec![("pread64", way_out), ("execve", "allow it, or nothing can be executed")];
        if holds_admin {
            needed.push(("capset", "allow it, or set noNewPrivileges"));
        }
        if compiled.listener_path().is_some() {
            needed.push(("sendmsg", "allow it: the notification descriptor is sent with it"));
        }
        match needed.into_iter().find(|(call, _)| !compiled.allows(call)) {
            Some((call, way_out)) => Err(FilterError::Blocks { call, way_out }),
            None => Ok(Self { agent: agent(&compiled)?, compiled }),
        }
    }

    /// Whether a descriptor of notifications goes to an agent.
    pub(super) fn has_agent(&self) -> bool {
        self.agent.is_some()
    }

    /// Loads the filter for the calling thread, which is `pid` to the host and goes to the container of `state`. From here on it
    /// applies to the runtime itself.
    pub(super) fn load(&self, pid: i32, state: &State) -> Result<(), Failure> {
        let text = match &self.agent {
            Some(agent) => Some((agent, step("describe the process", || agent.describe(pid, state))?)),
            None => None,
        };
        let listener = step("load the seccomp filter", || stockade_seccomp::apply(&self.compiled))?;
        match (text, listener) {
            (Some((agent, text)), Some(listener)) => {
                step("hand the seccomp notifications over", || fdpass::send(&agent.socket, &text, &[listener.as_fd()]))
            }
            (None, None) => Ok(()),
            _ => Err(Failure::because("load the seccomp filter", "its listener and its agent do not fit together")),
        }
    }
}

impl Agent {
    fn describe(&self, pid: i32, state: &State) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&ProcessState {
            oci_version: stockade_spec::VERSION,
            fds: ["seccompFd"],
            pid,
            metadata: &self.metadata,
            state,
        })
    }
}

/// Connects to the agent that the filter names.
fn agent(compiled: &Compiled) -> Result<Option<Agent>, FilterError> {
    let Some(path) = compiled.listener_path() else { return Ok(None) };
    let connect = || {
        let kind = SocketType::STREAM;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        io::Result::Ok(socket)
    };
    let socket = connect().map_err(|source| FilterError::Agent { path: path.into(), source })?;
    Ok(Some(Agent { socket, metadata: compiled.listener_metadata().unwrap_or_default().to_owned() }))
}
