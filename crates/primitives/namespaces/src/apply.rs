//! Writing what a new user or time namespace is told once in its life.

use std::io;

use stockade_kernel::procfs::{Procfs, Subject};

use crate::maps::IdMap;
use crate::plan::{IdMaps, TimeOffsets};

/// What the kernel refused, or did not take as it was written.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A file of procfs.
    #[error("cannot write {file} of {subject:?}")]
    Write {
        /// The file below `/proc/PID`.
        file: &'static str,
        /// Whose.
        subject: Subject,
        /// Why.
        source: io::Error,
    },
    /// What is read back is not what was written.
    #[error("{file} of {subject:?} does not read back as it was written")]
    Different {
        /// The file below `/proc/PID`.
        file: &'static str,
        /// Whose.
        subject: Subject,
    },
}

/// Writes the maps of the user namespace that `subject` has just been made in, and reads them back.
///
/// The caller must be in its parent namespace with CAP_SETUID and CAP_SETGID there (`user_namespaces(7)`).
///
/// # Errors
/// [`ApplyError`]; a map can be written once only, so after a failure the process is of no use.
pub fn write_maps(procfs: &Procfs, subject: Subject, maps: &IdMaps) -> Result<(), ApplyError> {
    write_map(procfs, subject, "gid_map", &maps.groups)?;
    write_map(procfs, subject, "uid_map", &maps.users)
}

/// Writes one map and reads it back.
pub(crate) fn write_map(procfs: &Procfs, subject: Subject, file: &'static str, map: &IdMap) -> Result<(), ApplyError> {
    let say = |source| ApplyError::Write { file, subject, source };
    procfs.write(subject, file, map.to_text().as_bytes()).map_err(say)?;
    read_back(procfs, subject, file, map)
}

/// [`ApplyError::Different`] unless the kernel says that the map is `map`.
pub(crate) fn read_back(procfs: &Procfs, subject: Subject, file: &'static str, map: &IdMap) -> Result<(), ApplyError> {
    let say = |source| ApplyError::Write { file, subject, source };
    let read = procfs.read(subject, file).map_err(say)?;
    if IdMap::from_text(&String::from_utf8_lossy(&read)).as_ref() == Some(map) {
        Ok(())
    } else {
        Err(ApplyError::Different { file, subject })
    }
}

/// Writes the offsets of the time namespace that the caller has made for its children and that has no process yet. `procfs`
/// must be of the caller's pid namespace.
///
/// # Errors
/// [`ApplyError::Write`]: `EACCES` once it has a process, `ERANGE` for a clock that would be negative.
pub fn write_time_offsets(procfs: &Procfs, offsets: TimeOffsets) -> Result<(), ApplyError> {
    // The file belongs to the process; a thread's folder has none.
    let (file, subject) = ("timens_offsets", Subject::Pid(rustix::process::getpid().as_raw_nonzero().get()));
    let (monotonic, boottime) = (offsets.monotonic, offsets.boottime);
    let text = format!(
        "monotonic {} {}\nboottime {} {}\n",
        monotonic.seconds, monotonic.nanoseconds, boottime.seconds, boottime.nanoseconds
    );
    procfs.write(subject, file, text.as_bytes()).map_err(|source| ApplyError::Write { file, subject, source })
}
