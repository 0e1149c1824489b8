//! Killing every process of a group, however many it forks and whether it is frozen or not.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::Group;
use crate::controller::Controllers;
use crate::files::FileError;

/// How long the processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why processes are left.
#[derive(Debug, thiserror::Error)]
pub enum KillError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A process could not be signalled.
    #[error("cannot kill process {pid} of the cgroup {}", path.display())]
    Signal {
        /// The process.
        pid: i32,
        /// The group.
        path: PathBuf,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// Processes outlived their SIGKILL, in the kernel or because a parent group is frozen.
    #[error("{processes} processes of the cgroup {} are still there ten seconds after SIGKILL", path.display())]
    Timeout {
        /// How many.
        processes: usize,
        /// The group.
        path: PathBuf,
    },
}

impl Group {
    /// Kills every process of the group and of those below and returns when none is left. The group ends thawed.
    ///
    /// cgroup2 does it at once (`cgroup.kill`, Linux 5.14); on v1 the group is frozen, each process is sent SIGKILL, and
    /// the group is thawed, again until it is empty: a frozen process can not fork away from the list.
    ///
    /// # Errors
    /// [`KillError`]. Processes outside of the caller's pid namespace can only be killed by `cgroup.kill`.
    pub fn kill_all(&self) -> Result<(), KillError> {
        if let Some(member) = self.unified() {
            match member.directory.write("cgroup.kill", "1") {
                Err(error) if !error.is(Errno::NOENT) => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(100);
        loop {
            let left = self.kill_once()?;
            if left == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                let path = self.members.first().map_or_else(PathBuf::new, |member| member.directory.path().to_owned());
                return Err(KillError::Timeout { processes: left, path });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// One round over all hierarchies; returns how many processes were seen.
    fn kill_once(&self) -> Result<usize, KillError> {
        let mut left = 0;
        let freezer = self.legacy(Controllers::FREEZER).map(|member| &member.directory);
        for member in &self.members {
            if member.processes()?.is_empty() {
                continue;
            }
            if let Some(freezer) = freezer {
                freezer.write("freezer.state", "FROZEN")?;
            }
            let pids = member.processes();
            let killed = pids.map_err(KillError::from).and_then(|pids| {
                left += pids.len();
                pids.into_iter().try_for_each(|pid| kill(pid, member.directory.path()))
            });
            // Thawed in any case, or the killed would never go.
            if let Some(freezer) = freezer {
                freezer.write("freezer.state", "THAWED")?;
            }
            killed?;
        }
        Ok(left)
    }
}

/// Sends SIGKILL to one process. Zero is a process that we can not name, and never a target: to the system call it
/// would mean our own process group.
fn kill(pid: i32, path: &std::path::Path) -> Result<(), KillError> {
    let Some(target) = Pid::from_raw(pid).filter(|_| pid > 0) else { return Ok(()) };
    match rustix::process::kill_process(target, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(KillError::Signal { pid, path: path.to_owned(), source: errno.into() }),
    }
}
