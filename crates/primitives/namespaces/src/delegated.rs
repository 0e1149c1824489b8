//! Maps written by a user without privileges: the own id alone directly, the ranges of `/etc/subuid` and `/etc/subgid` by
//! `newuidmap(1)` and `newgidmap(1)`, which look there what the user may have.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, getegid, geteuid};
use stockade_kernel::procfs::{Procfs, Subject};

use crate::apply::{ApplyError, read_back, write_map};
use crate::maps::IdMap;
use crate::plan::IdMaps;

/// Where the programs may be: folders that only root can write, whatever PATH says. The last one is that of NixOS.
const FOLDERS: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin"];

/// Why the maps are not written; the process is of no use.
#[derive(Debug, thiserror::Error)]
pub enum DelegateError {
    /// Written directly.
    #[error(transparent)]
    Direct(#[from] ApplyError),
    /// There is no such program.
    #[error(
        "{program} is not in {}; a user needs it for a map of more than the own id (on Debian: apt install uidmap)",
        FOLDERS.join(", ")
    )]
    NoProgram {
        /// The program.
        program: &'static str,
    },
    /// A program that others could have put there.
    #[error("{} is not trusted: its owner is not root, or others can write it", .0.display())]
    Untrusted(PathBuf),
    /// It did not run.
    #[error("cannot run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It refused.
    #[error(
        "{program} refused the map {map}: {said}; {file} must give these ids to the user {user} (usermod {option})"
    )]
    Refused {
        /// The program.
        program: &'static str,
        /// The map, `inside:outside:count` each.
        map: String,
        /// What it said.
        said: String,
        /// The file that it reads.
        file: &'static str,
        /// The user's id.
        user: u32,
        /// The option of `usermod(8)` that adds to that file.
        option: &'static str,
    },
}

/// One of the two programs.
struct Program {
    name: &'static str,
    file: &'static str,
    option: &'static str,
}

const USERS: Program = Program { name: "newuidmap", file: "/etc/subuid", option: "--add-subuids FIRST-LAST" };
const GROUPS: Program = Program { name: "newgidmap", file: "/etc/subgid", option: "--add-subgids FIRST-LAST" };

/// Writes the maps of the user namespace that the caller, who has no privileges, has made for its child `pid`, and reads them
/// back. A map of the own id alone is written directly, for groups at the price that the namespace can never call
/// `setgroups(2)`, which the kernel demands (CVE-2014-8989); the others by the two programs.
///
/// # Errors
/// [`DelegateError`].
pub fn write_maps_delegated(procfs: &Procfs, pid: Pid, maps: &IdMaps) -> Result<(), DelegateError> {
    let subject = Subject::Pid(pid.as_raw_nonzero().get());
    if is_alone(&maps.groups, getegid().as_raw()) {
        let say = |source| ApplyError::Write { file: "setgroups", subject, source };
        procfs.write(subject, "setgroups", b"deny").map_err(say)?;
        write_map(procfs, subject, "gid_map", &maps.groups)?;
    } else {
        run(&GROUPS, pid, &maps.groups)?;
        read_back(procfs, subject, "gid_map", &maps.groups)?;
    }
    if is_alone(&maps.users, geteuid().as_raw()) {
        write_map(procfs, subject, "uid_map", &maps.users)?;
    } else {
        run(&USERS, pid, &maps.users)?;
        read_back(procfs, subject, "uid_map", &maps.users)?;
    }
    Ok(())
}

/// Whether `map` maps `own` and nothing else.
fn is_alone(map: &IdMap, own: u32) -> bool {
    matches!(map.ranges(), [range] if range.outside == own && range.count == 1)
}

/// Has `program` write `map`, and believes its exit status only as far as to say what it said.
fn run(program: &Program, pid: Pid, map: &IdMap) -> Result<(), DelegateError> {
    let path = find(program.name)?;
    let mut command = Command::new(&path);
    command.arg(pid.as_raw_nonzero().to_string()).env_clear().stdin(Stdio::null());
    for range in map.ranges() {
        command.args([range.inside, range.outside, range.count].map(|number| number.to_string()));
    }
    let output = command.output().map_err(|source| DelegateError::Run { program: path, source })?;
    if output.status.success() {
        return Ok(());
    }
    Err(DelegateError::Refused {
        program: program.name,
        map: map.ranges().iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        said: String::from_utf8_lossy(&output.stderr).trim().escape_debug().to_string(),
        file: program.file,
        user: rustix::process::getuid().as_raw(),
        option: program.option,
    })
}

/// The program, as root put it there.
fn find(program: &'static str) -> Result<PathBuf, DelegateError> {
    let path = FOLDERS.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists());
    let path = path.ok_or(DelegateError::NoProgram { program })?;
    let metadata = path.metadata().map_err(|source| DelegateError::Run { program: path.clone(), source })?;
    if metadata.uid() == 0 && metadata.mode() & 0o022 == 0 { Ok(path) } else { Err(DelegateError::Untrusted(path)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::IdRange;

    #[test]
    fn the_own_id_alone_needs_no_program() {
        let map = |outside, count| IdMap::new(vec![IdRange { inside: 0, outside, count }]).unwrap();
        assert!(is_alone(&map(1000, 1), 1000));
        assert!(!is_alone(&map(1000, 2), 1000));
        assert!(!is_alone(&map(1001, 1), 1000));
        assert!(!is_alone(&IdMap::default(), 1000));
    }

    #[test]
    fn a_missing_program_is_told_with_the_way_out() {
        let error = find("newuidmap-that-is-missing").unwrap_err();
        assert!(error.to_string().contains("apt install uidmap"), "{error}");
    }
}
