//! Which namespaces the container has to itself.

use clap::Args;
use stockade_engine::policy::namespaces::{CgroupMode, IpcMode, PidMode, UserMode, UtsMode};

use crate::grammar::{Invalid, invalid};

/// Each namespace's mode; without the flag the container has one of its own (the user namespace where that can be).
#[derive(Debug, Args)]
#[command(next_help_heading = "Namespaces")]
pub(crate) struct NamespaceFlags {
    /// Processes: private, host or container:NAME
    #[arg(long, value_name = "MODE")]
    pub(crate) pid: Option<PidMode>,
    /// System V IPC and message queues: private, shareable, none (without /dev/shm), host or container:NAME
    #[arg(long, value_name = "MODE")]
    pub(crate) ipc: Option<IpcMode>,
    /// Host name: private or host
    #[arg(long, value_name = "MODE")]
    pub(crate) uts: Option<UtsMode>,
    /// User ids: auto[:size=COUNT] (its own, the default where that can be), host, private (shared by all such), keep-id or container:NAME
    #[arg(long, value_name = "MODE")]
    pub(crate) userns: Option<UserMode>,
    /// Control groups: private or host
    #[arg(long, value_name = "MODE", value_parser = cgroup)]
    pub(crate) cgroupns: Option<Cgroup>,
}

/// What `--cgroupns` says; nothing means the default.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cgroup(pub(crate) Option<CgroupMode>);

fn cgroup(text: &str) -> Result<Cgroup, Invalid> {
    if text.is_empty() {
        return Ok(Cgroup(None));
    }
    let known = |_other_words| invalid("--cgroupns", text, "private or host");
    text.parse().map(|mode| Cgroup(Some(mode))).map_err(known)
}
