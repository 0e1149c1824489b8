//! Which wall said no to a call that failed, and the one flag that would have let it through: pure, of what was seen and what was asked for.
//!
//! A failed call is told only where a wall of the container's is the cause. What ordinary permissions deny, or a program tries and
//! does without (calls that are newer than a filter, `clone3` without namespaces), is none.

mod capability;
mod files;
mod limits;
mod seccomp;
mod text;
mod walls;
mod ways;

use std::fmt;
use std::path::PathBuf;

use stockade_capabilities::Capability;
use stockade_seccomp::syscall::Syscall;

pub(crate) use capability::request;
pub(crate) use limits::memory;
pub(crate) use walls::Walls;

use crate::explain::Way;

/// What said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wall {
    /// The system call filter.
    Seccomp,
    /// A capability that the container has not.
    Capability,
    /// Its user namespace: what is asked for belongs to the host, or to an id that the container has not.
    UserNamespace,
    /// A read-only root file system.
    ReadOnlyRoot,
    /// A mount that is read-only.
    ReadOnlyMount,
    /// A file of the kernel's that is read-only.
    ReadOnlyPath,
    /// A file of the kernel's that is hidden.
    MaskedPath,
    /// A device that the container was not given.
    Device,
    /// `no_new_privs`.
    NoNewPrivileges,
    /// A resource limit.
    Limit,
    /// The limit on processes.
    Pids,
    /// The limit on memory.
    Memory,
    /// There is no network.
    Network,
}

impl Wall {
    /// Its name, as a machine reads it.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Seccomp => "seccomp",
            Self::Capability => "capability",
            Self::UserNamespace => "user-namespace",
            Self::ReadOnlyRoot => "read-only-root",
            Self::ReadOnlyMount => "read-only-mount",
            Self::ReadOnlyPath => "read-only-path",
            Self::MaskedPath => "masked-path",
            Self::Device => "device",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::Limit => "resource-limit",
            Self::Pids => "pids-limit",
            Self::Memory => "memory-limit",
            Self::Network => "network",
        }
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Seccomp => "the system call filter",
            Self::Capability => "a capability that it has not",
            Self::UserNamespace => "its user namespace",
            Self::ReadOnlyRoot => "its read-only root",
            Self::ReadOnlyMount => "a read-only mount",
            Self::ReadOnlyPath => "a read-only file of the kernel's",
            Self::MaskedPath => "a hidden file of the kernel's",
            Self::Device => "the list of its devices",
            Self::NoNewPrivileges => "no_new_privs",
            Self::Limit => "a resource limit",
            Self::Pids => "the limit on its processes",
            Self::Memory => "the limit on its memory",
            Self::Network => "having no network",
        })
    }
}

/// How sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The kernel told the wall itself, or its decision is known.
    Known,
    /// It follows from the failed call and from what was asked for.
    Inferred,
}

/// One thing that was denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What was tried.
    pub tried: String,
    /// How it ended, as it ends the sentence.
    pub ended: String,
    /// What said no.
    pub wall: Wall,
    /// How sure that is.
    pub certainty: Certainty,
    /// Why, a line each.
    pub because: Vec<String>,
    /// What would allow it, the best first.
    pub ways: Vec<Way>,
}

impl fmt::Display for Denial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sure = if self.certainty == Certainty::Inferred { ", as the failed call shows" } else { "" };
        writeln!(out, "{} {}: {} [{}]{sure}", self.tried, self.ended, self.wall, self.wall.id())?;
        self.because.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
        for way in &self.ways {
            write!(out, "  {way}")?;
        }
        Ok(())
    }
}

/// A capability that was asked for in a call, and that the process did not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) capability: Capability,
    /// Whether it was asked for in the host's user namespace.
    pub(crate) of_host: bool,
}

/// A file that a call is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct File {
    /// Its owner, as the host has it.
    pub(crate) owner: Option<u32>,
    pub(crate) device: Option<Device>,
    /// Whether it changes who executes it.
    pub(crate) raises: bool,
}

/// A device that a file is, or would be if the container had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    /// The host has it under this path.
    OfHost(PathBuf),
    /// The host has no file of it: its numbers, as `--device-cgroup-rule` has them.
    Unnamed(String),
}

/// A call that ended, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// The architecture as the kernel reports it, and the number.
    pub(crate) audit: u32,
    pub(crate) number: u32,
    pub(crate) call: Option<Syscall>,
    pub(crate) arguments: [u64; 6],
    /// 0 if it went well.
    pub(crate) errno: i32,
    /// The path that it names, within the container; `None` if it names none or that is not known any more.
    pub(crate) path: Option<PathBuf>,
    pub(crate) file: File,
    /// In the order in which they were asked for; `None` if the kernel does not tell.
    pub(crate) checked: Option<Vec<Checked>>,
    /// Whether the process is the container's root; `None` if it is not there any more.
    pub(crate) is_root: Option<bool>,
    /// What a pointer of the call leads to: `clone3`'s flags, or a limit.
    pub(crate) numbers: Option<[u64; 2]>,
    /// Whether the group ran into its limit on processes meanwhile; `None` if it is not there to be asked any more.
    pub(crate) met_pids_limit: Option<bool>,
}

impl Attempt {
    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.call.map_or("", Syscall::name)
    }

    /// Whether it asked for the capability in vain, as far as that is known.
    fn missed(&self, capability: Capability) -> bool {
        self.checked.as_ref().is_none_or(|all| all.iter().any(|checked| checked.capability == capability))
    }
}

pub(crate) const EPERM: i32 = 1;
pub(crate) const ENOENT: i32 = 2;
pub(crate) const EAGAIN: i32 = 11;
pub(crate) const ENOMEM: i32 = 12;
pub(crate) const EACCES: i32 = 13;
pub(crate) const EINVAL: i32 = 22;
pub(crate) const EMFILE: i32 = 24;
pub(crate) const EFBIG: i32 = 27;
pub(crate) const EROFS: i32 = 30;
pub(crate) const ENOSYS: i32 = 38;
pub(crate) const ENETUNREACH: i32 = 101;

/// What denied the call; `None` if it was none of the container's walls.
pub(crate) fn judge(walls: &Walls, attempt: &Attempt) -> Option<Denial> {
    // The kernel asks in this order: a call that the filter denies is not made.
    match seccomp::judge(walls, attempt) {
        seccomp::Said::No(denial) => return Some(*denial),
        seccomp::Said::Quietly => return None,
        seccomp::Said::Yes => {}
    }
    if attempt.errno == 0 {
        return files::hidden(walls, attempt).or_else(|| files::without_privileges(walls, attempt));
    }
    limits::judge(walls, attempt)
        .or_else(|| files::judge(walls, attempt))
        .or_else(|| capability::judge(walls, attempt))
        .or_else(|| files::unmapped(walls, attempt))
}

/// A denial of `attempt`, without reasons and ways out.
pub(crate) fn denial(attempt: &Attempt, wall: Wall, certainty: Certainty) -> Denial {
    let ended = match attempt.errno {
        0 => "went through, and shows nothing".to_owned(),
        errno => format!("failed with {}", text::error_name(errno)),
    };
    Denial { tried: text::tried(attempt), ended, wall, certainty, because: Vec::new(), ways: Vec::new() }
}

#[cfg(test)]
mod tests;
