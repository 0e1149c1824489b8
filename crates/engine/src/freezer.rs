//! Whether a container's processes stand still, as the kernel has it: nobody else's word can be out of date.

use std::io;

use rustix::io::Errno;
use stockade_monitor::group::Groups;

/// Whether the control group of the process is frozen. A process that is gone is not.
///
/// # Errors
/// As reading of `/proc`.
pub(crate) fn is_frozen(pid: i32) -> io::Result<bool> {
    match Groups::of(pid) {
        Ok(groups) => Ok(groups.is_frozen()),
        Err(error) if [Errno::NOENT, Errno::SRCH].iter().any(|e| error.raw_os_error() == Some(e.raw_os_error())) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_does_not_stand_still_and_neither_does_nobody() {
        assert!(!is_frozen(std::process::id().cast_signed()).unwrap());
        assert!(!is_frozen(i32::MAX).unwrap());
    }
}
