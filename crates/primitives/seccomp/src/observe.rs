//! What is in force, read from the kernel.

use std::io;

use stockade_kernel::procfs::{Procfs, Status, Subject};
use stockade_kernel::seccomp::{Instruction, attached_filters};

use crate::cache::Compiled;
use crate::interpret::{Shown, interpret};
use crate::model::Action;

/// How a thread is filtered (`Seccomp` of `/proc/PID/status`, `proc_pid_status(5)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Not at all.
    Disabled,
    /// It may read, write and exit only.
    Strict,
    /// By filters.
    Filter,
}

/// What the kernel tells everybody of a thread's filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The mode.
    pub mode: Mode,
    /// How many filters there are; `None` from a kernel before 5.9, which does not count them.
    pub filters: Option<u32>,
}

/// The mode and count in `status`.
///
/// # Errors
/// `InvalidData` for a mode that has no name here: what it forbids is unknown.
pub fn of_status(status: &Status) -> io::Result<Observed> {
    let mode = match status.seccomp {
        0 => Mode::Disabled,
        1 => Mode::Strict,
        2 => Mode::Filter,
        other => return Err(io::Error::new(io::ErrorKind::InvalidData, format!("unknown seccomp mode {other}"))),
    };
    Ok(Observed { mode, filters: status.seccomp_filters })
}

/// A filter that the kernel has, as it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached(Vec<Instruction>);

impl Attached {
    /// Whether it is, instruction by instruction, the one that was compiled. Flags and a listener can not be read back.
    #[must_use]
    pub fn is(&self, compiled: &Compiled) -> bool {
        self.0 == compiled.program
    }

    /// Its instructions.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.0
    }

    /// What it answers to a call; `None` if that depends on arguments that are not shown.
    #[must_use]
    pub fn answer(&self, shown: &Shown) -> Option<Action> {
        interpret(&self.0, shown)
    }
}

/// What a thread's `filters`, in the order in which they were loaded, answer together: the strictest, and of equally strict
/// ones the one that was loaded last (`seccomp(2)`); `None` if one answer depends on arguments that are not shown. Without any filter the call is made.
#[must_use]
pub fn answer(filters: &[Attached], shown: &Shown) -> Option<Action> {
    let mut strictest = Action::Allow;
    for filter in filters.iter().rev() {
        let action = filter.answer(shown)?;
        if action.strictness() > strictest.strictness() {
            strictest = action;
        }
    }
    Some(strictest)
}

/// The filters of the thread `pid` in the order in which they were loaded, by `ptrace(2)`: the thread stands still meanwhile.
/// `procfs` must be of the caller's pid namespace.
///
/// # Errors
/// As [`attached_filters`]: it needs CAP_SYS_ADMIN in the initial user namespace, a caller that is not filtered, and a
/// kernel with CONFIG_CHECKPOINT_RESTORE. `EINVAL` for a thread in strict mode. The thread runs on in every case.
pub fn filters(procfs: &Procfs, pid: i32) -> io::Result<Vec<Attached>> {
    // Asked for the filters of a thread that has none, the kernel says EINVAL.
    if of_status(&procfs.status(Subject::Pid(pid))?)?.mode == Mode::Disabled {
        return Ok(Vec::new());
    }
    Ok(attached_filters(pid)?.into_iter().map(Attached).collect())
}
