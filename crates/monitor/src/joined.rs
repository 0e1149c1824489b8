//! A process that joins the container by the runtime's `exec`, from before there is one to its end.

use std::time::{Duration, Instant};

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitStatus, pidfd_open, pidfd_send_signal, waitid,
};
use stockade_monitor::exec::{FOLDER, SUFFIX};

use crate::folder::Folder;
use crate::runtime::{self, ExecFiles, Joining, Refusal, Runtime};

/// How long a runtime may take to bring one in.
const JOINING: Duration = Duration::from_secs(60);

/// The process.
#[derive(Debug)]
pub(crate) struct Joined {
    /// Its id.
    pub(crate) id: String,
    files: ExecFiles,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The runtime brings it in, until the deadline; `None` once it was killed for that.
    Joining { runtime: Pid, deadline: Option<Instant> },
    /// It runs.
    Running { pid: Pid, pidfd: OwnedFd },
    /// It has ended, or was never executed.
    Over,
}

/// What has become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It was executed; the host's id of it.
    Started(i32),
    /// It was not.
    Failed(Refusal),
    /// It has ended.
    Exited(u8),
}

impl Joined {
    /// Has the runtime run the process in the container.
    ///
    /// # Errors
    /// [`Refusal`]; nothing runs then.
    pub(crate) fn begin((runtime, folder): (&Runtime, &Folder), id: &str, joining: Joining) -> Result<Self, Refusal> {
        let files = ExecFiles { pid: format!("{FOLDER}/{id}{SUFFIX}"), log: format!("{FOLDER}/{id}.log") };
        let begun = runtime.exec(folder, &files, joining);
        let mut joined = Self { id: id.to_owned(), files, stage: Stage::Over };
        match begun {
            Ok(pid) => joined.stage = Stage::Joining { runtime: pid, deadline: Some(Instant::now() + JOINING) },
            Err(refusal) => {
                joined.forget(folder);
                return Err(refusal);
            }
        }
        Ok(joined)
    }

    /// Whether it is not known yet which process it is.
    pub(crate) fn is_joining(&self) -> bool {
        matches!(self.stage, Stage::Joining { .. })
    }

    /// When it must have been brought in.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Joining { deadline, .. } => deadline,
            _ => None,
        }
    }

    /// Kills the runtime if it takes too long; its end is waited for as before.
    ///
    /// # Errors
    /// As `kill(2)`.
    pub(crate) fn kill_late(&mut self) -> Result<(), Errno> {
        match &mut self.stage {
            Stage::Joining { runtime, deadline } if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                *deadline = None;
                runtime::kill(*runtime)
            }
            _ => Ok(()),
        }
    }

    /// The child whose end is waited for, if there is one.
    pub(crate) fn child(&self) -> Option<Pid> {
        match &self.stage {
            Stage::Joining { runtime, .. } => Some(*runtime),
            Stage::Running { pid, .. } => Some(*pid),
            Stage::Over => None,
        }
    }

    /// The child of [`Self::child`] has ended with `status`: what that means.
    pub(crate) fn ended(&mut self, (runtime, folder): (&Runtime, &Folder), status: WaitStatus) -> News {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Joining { deadline: None, .. } => {
                self.forget(folder);
                News::Failed(Refusal::new(format!(
                    "the OCI runtime's exec has not ended after {JOINING:?} and was killed"
                )))
            }
            Stage::Joining { .. } => match self.executed(runtime, folder, status) {
                Ok((pid, pidfd)) => {
                    self.stage = Stage::Running { pid, pidfd };
                    News::Started(pid.as_raw_nonzero().get())
                }
                Err(refusal) => {
                    self.forget(folder);
                    News::Failed(refusal)
                }
            },
            Stage::Running { .. } | Stage::Over => {
                self.forget(folder);
                let code = status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal));
                News::Exited(code.unwrap_or_default() as u8)
            }
        }
    }

    /// The process that the runtime, which has ended with `status`, has brought in.
    fn executed(&self, runtime: &Runtime, folder: &Folder, status: WaitStatus) -> Result<(Pid, OwnedFd), Refusal> {
        if status.exit_status() != Some(0) {
            return Err(runtime.refusal_in(folder, (&self.files.log, 0), "exec", status, String::new));
        }
        folder.remove(&self.files.log).map_err(|error| Refusal::new(format!("cannot remove a log: {error}")))?;
        let refuse = |why: String| Refusal::new(format!("the runtime does not tell the process: {why}"));
        let text = folder.read_from(&self.files.pid, 0, 32).map_err(|error| refuse(error.to_string()))?;
        let text = String::from_utf8_lossy(&text);
        let number = text.trim().parse().ok().and_then(|number: u32| i32::try_from(number).ok());
        let pid = number.and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| refuse(format!("{text:?} is no process id")))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| refuse(format!("{pid:?}: {errno}")))?;
        // Only a child's number stays its own until it is waited for.
        let asked = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::PidFd(pidfd.as_fd()), asked)
            .map_err(|errno| refuse(format!("{pid:?} has not become a child of the monitor: {errno}")))?;
        Ok((pid, pidfd))
    }

    /// Sends it `signal`; one that was not executed yet is given up.
    ///
    /// # Errors
    /// As `pidfd_send_signal(2)` and `kill(2)`, but for a process that has ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Errno> {
        let sent = match &self.stage {
            // The runtime takes what it has made with it. It is a child that was not waited for: its number is its own.
            Stage::Joining { runtime, .. } => runtime::kill(*runtime),
            Stage::Running { pidfd, .. } => pidfd_send_signal(pidfd, signal),
            Stage::Over => Ok(()),
        };
        match sent {
            Err(Errno::SRCH) => Ok(()),
            result => result,
        }
    }

    /// Removes its files. What cannot be removed is removed before the container's next start.
    fn forget(&self, folder: &Folder) {
        for name in [&self.files.pid, &self.files.log] {
            folder.remove(name).unwrap_or_default();
        }
    }
}
