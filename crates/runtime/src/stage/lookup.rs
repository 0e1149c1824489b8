//! Finding the program in the container, with the words that engines look for.
//!
//! Docker, containerd and Podman turn `executable file not found in $PATH` and `no such file or directory` into exit code
//! 127 and `permission denied` into 126, so these are said as Go's `exec.LookPath` says them.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode};
use rustix::io::Errno;

/// Why there is no program to execute.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LookupError {
    /// No folder of the search path has it.
    #[error("exec: {0:?}: executable file not found in $PATH")]
    NotInPath(OsString),
    /// The path given leads to nothing that could be executed.
    #[error("exec: {program:?}: {reason}")]
    Unusable {
        /// As configured.
        program: OsString,
        /// In the words that engines know.
        reason: String,
    },
}

/// The path to execute for `program`: itself if it has a slash, or else the first that fits of the folders in `search`.
///
/// The process must stand in the container's root and in the payload's working directory.
pub(super) fn executable(program: &OsStr, search: Option<&OsStr>) -> Result<CString, LookupError> {
    let path = find(program, search)?;
    let unusable = || LookupError::Unusable { program: program.to_owned(), reason: "it contains NUL".to_owned() };
    CString::new(path.into_os_string().into_vec()).or(Err(unusable()))
}

fn find(program: &OsStr, search: Option<&OsStr>) -> Result<PathBuf, LookupError> {
    if program.as_bytes().contains(&b'/') {
        return match check(Path::new(program)) {
            Ok(()) => Ok(program.into()),
            Err(reason) => Err(LookupError::Unusable { program: program.to_owned(), reason }),
        };
    }
    let folders = search.map(OsStr::as_bytes).unwrap_or_default().split(|byte| *byte == b':');
    // A relative folder would make the program depend on where the payload stands.
    let absolute = folders.filter(|folder| folder.starts_with(b"/"));
    let mut candidates = absolute.map(|folder| Path::new(OsStr::from_bytes(folder)).join(program));
    candidates.find(|path| check(path).is_ok()).ok_or_else(|| LookupError::NotInPath(program.to_owned()))
}

/// Whether `path` can be executed by this process.
fn check(path: &Path) -> Result<(), String> {
    let stat = match rustix::fs::stat(path) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Err(format!("stat {}: no such file or directory", path.display())),
        Err(Errno::ACCESS) => return Err("permission denied".to_owned()),
        Err(error) => return Err(format!("stat {}: {}", path.display(), std::io::Error::from(error))),
        Ok(stat) => stat,
    };
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        // As the kernel says it, and podman wants it; Docker looks for the second half too.
        return Err("permission denied: is a directory".to_owned());
    }
    let any_executes = Mode::from_raw_mode(stat.st_mode).intersects(Mode::XUSR | Mode::XGRP | Mode::XOTH);
    match rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS) {
        Ok(()) if any_executes => Ok(()),
        _ => Err("permission denied".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn programs_are_found_and_refused_in_the_words_that_engines_know() {
        let folder = tempfile::tempdir().unwrap();
        let (good, plain) = (folder.path().join("good"), folder.path().join("plain"));
        for (file, mode) in [(&good, 0o755), (&plain, 0o644)] {
            std::fs::write(file, "").unwrap();
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let search = OsString::from(format!("relative::/nowhere:{}", folder.path().display()));
        let found = |program: &str| executable(OsStr::new(program), Some(&search)).map_err(|error| error.to_string());
        assert_eq!(found("good").unwrap().as_bytes(), good.as_os_str().as_bytes());
        assert_eq!(found("plain").unwrap_err(), "exec: \"plain\": executable file not found in $PATH");
        assert!(found(plain.to_str().unwrap()).unwrap_err().ends_with(": permission denied"));
        assert!(found(folder.path().to_str().unwrap()).unwrap_err().ends_with(": permission denied: is a directory"));
        assert!(found("/no/such").unwrap_err().ends_with(": stat /no/such: no such file or directory"));
        assert!(executable(OsStr::new("good"), None).is_err());
    }
}
