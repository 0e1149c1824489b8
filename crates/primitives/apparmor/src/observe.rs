//! What is in force, as the kernel answers.

use std::io;

use rustix::io::Errno;
use stockade_kernel::procfs::{Procfs, Subject};

use crate::apply::EXEC;
use crate::model::Confinement;

/// AppArmor's own file (Linux 5.8), and the one that it shares with other security modules.
const CURRENT: [&str; 2] = ["attr/apparmor/current", "attr/current"];

/// The profile of `subject`.
///
/// # Errors
/// `ENOENT` or `EINVAL` from a kernel without AppArmor, `EBADMSG` if another security module answers; otherwise as
/// [`Procfs::read`].
pub fn of(procfs: &Procfs, subject: Subject) -> io::Result<Confinement> {
    let content = read_first(procfs, subject, CURRENT)?;
    parse(&content)?.ok_or_else(|| Errno::BADMSG.into())
}

/// The profile that the calling thread's next exec comes under; `None` if nothing was set.
///
/// # Errors
/// As [`of`].
pub fn next_exec(procfs: &Procfs) -> io::Result<Option<Confinement>> {
    parse(&read_first(procfs, Subject::Myself, EXEC)?)
}

/// The first of `files` that exists.
fn read_first(procfs: &Procfs, subject: Subject, files: [&str; 2]) -> io::Result<Vec<u8>> {
    match procfs.read(subject, files[0]) {
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => procfs.read(subject, files[1]),
        answer => answer,
    }
}

/// The file's one line, if it has any.
fn parse(content: &[u8]) -> io::Result<Option<Confinement>> {
    let line = std::str::from_utf8(content).unwrap_or("?");
    if line.trim_end_matches(['\n', '\0']).is_empty() {
        return Ok(None);
    }
    Confinement::parse(line).map(Some).ok_or_else(|| Errno::BADMSG.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_other_modules_are_refused() {
        assert_eq!(parse(b"\n").unwrap(), None);
        assert_eq!(parse(b"x (enforce)\n").unwrap().unwrap().profile, "x");
        assert!(parse(b"system_u:system_r:kernel_t:s0\0").is_err());
        assert!(parse(b"\xff").is_err());
    }
}
