//! Ending a container's first process where its runtime does not. The kernel ends with it all that is in its pid namespace.

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use stockade_monitor::state::Phase;

use crate::container::{ContainerError, Folder};
use crate::files::FileError;

impl Folder {
    /// Kills the first process that the container's monitor told of, be the monitor dead by now. One that has ended is no error.
    ///
    /// # Errors
    /// If it cannot be found out which that is, or not be killed.
    pub(crate) fn kill_first(&self) -> Result<(), ContainerError> {
        let number = match self.told()?.map(|told| told.phase) {
            Some(Phase::Running { pid, .. } | Phase::Created { pid }) => pid,
            _ => return Ok(()),
        };
        let Some(pid) = Pid::from_raw(number) else { return Ok(()) };
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(Errno::SRCH) => return Ok(()),
            Err(errno) => return Err(FileError::at("open the first process of", &self.path)(errno).into()),
        };
        // After it was opened: a number that is another process' by now is not of this container's control group.
        let group = match std::fs::read_to_string(format!("/proc/{number}/cgroup")) {
            Ok(group) => group,
            Err(error) if gone(&error) => return Ok(()),
            Err(error) => return Err(FileError::at("read the control group of", &self.path)(error).into()),
        };
        if !group.contains(self.id.as_str()) {
            return Ok(());
        }
        match pidfd_send_signal(&process, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(FileError::at("kill the first process of", &self.path)(errno).into()),
        }
    }
}

fn gone(error: &std::io::Error) -> bool {
    [Errno::NOENT, Errno::SRCH].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
