//! Whether a container's processes stand still, as the kernel has it: nobody else's word can be out of date.

use std::io;
use std::path::Path;

use rustix::io::Errno;

/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// Whether the control group of the process is frozen. A process that is gone is not.
///
/// # Errors
/// As `read(2)`.
pub(crate) fn is_frozen(pid: i32) -> io::Result<bool> {
    let groups = read(Path::new(&format!("/proc/{pid}/cgroup")))?.unwrap_or_default();
    let (file, running) = match freezer(&groups) {
        Some(Freezer::V1(path)) => (format!("{MOUNT}/freezer{path}/freezer.state"), "THAWED"),
        Some(Freezer::V2(path)) => (format!("{MOUNT}{path}/cgroup.freeze"), "0"),
        None => return Ok(false),
    };
    Ok(read(Path::new(&file))?.is_some_and(|state| state.trim() != running))
}

#[derive(Debug, PartialEq, Eq)]
enum Freezer<'a> {
    V1(&'a str),
    V2(&'a str),
}

/// The group in which the processes are frozen, by `/proc/PID/cgroup` (`cgroups(7)`): that of the v1 controller where there is one.
fn freezer(groups: &str) -> Option<Freezer<'_>> {
    let lines = groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let v1 = lines.clone().find(|(controllers, _)| controllers.split(',').any(|name| name == "freezer"));
    let v2 = || lines.clone().find(|(controllers, _)| controllers.is_empty());
    v1.map(|(_, path)| Freezer::V1(path)).or_else(|| v2().map(|(_, path)| Freezer::V2(path)))
}

/// The file; `None` if it, or the process that it tells of, is gone.
fn read(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if [Errno::SRCH, Errno::NODEV].iter().any(|e| error.raw_os_error() == Some(e.raw_os_error())) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_that_freezes_is_found_in_either_world() {
        assert_eq!(freezer("12:cpu,cpuacct:/a\n3:freezer:/a/b:c\n0::/d\n"), Some(Freezer::V1("/a/b:c")));
        assert_eq!(freezer("1:name=systemd:/x\n0::/d\n"), Some(Freezer::V2("/d")));
        assert_eq!(freezer(""), None);
        assert!(!is_frozen(std::process::id().cast_signed()).unwrap());
        assert!(!is_frozen(i32::MAX).unwrap());
    }
}
