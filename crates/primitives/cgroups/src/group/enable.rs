//! Giving the groups below a cgroup v2 group its controllers.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::create::CreateError;
use crate::controller::Controllers;
use crate::files::{Directory, FileError};
use crate::plan::{CALLERS, PlannedGroup};

/// Enables the controllers of cgroup v2 in each group from the top to `parent`; the processes of the group `vacate` are moved aside for it.
///
/// All that are offered are enabled where the kernel lets us, those that a limit needs must be.
///
/// # Errors
/// [`CreateError`]: what was enabled before stays so.
pub(super) fn enable(
    top: &Directory,
    parent: &Path,
    planned: &PlannedGroup,
    vacate: Option<&Path>,
) -> Result<(), CreateError> {
    if planned.enable.is_empty() {
        return Ok(());
    }
    let mut at = PathBuf::new();
    for name in std::iter::once(Path::new("")).chain(parent.iter().map(Path::new)) {
        if !name.as_os_str().is_empty() {
            at.push(name);
        }
        let directory = top.open(&at)?;
        let own = if vacate == Some(at.as_path()) { Processes::MayMove } else { Processes::Stay };
        enable_in(&directory, planned, own)?;
    }
    let missing = planned.needed - listed(&top.open(parent)?, "cgroup.subtree_control")?;
    match missing.is_empty() {
        true => Ok(()),
        false => {
            let path = planned.hierarchy.mount.join(&planned.path);
            Err(CreateError::NotEnabled { controllers: missing, path })
        }
    }
}

/// What may happen to the processes of a group that gives controllers to those below it.
#[derive(Clone, Copy)]
enum Processes {
    /// They are the caller's, and may be moved aside.
    MayMove,
    /// They are others'.
    Stay,
}

/// Enables what is planned in one group.
fn enable_in(directory: &Directory, planned: &PlannedGroup, own: Processes) -> Result<(), CreateError> {
    let absent = planned.enable - listed(directory, "cgroup.subtree_control")?;
    if absent.is_empty() {
        return Ok(());
    }
    let absent = absent & listed(directory, "cgroup.controllers")?;
    if is_occupied(directory)? {
        let needed = absent & planned.needed;
        let left = match own {
            Processes::MayMove => {
                vacate(directory).map_err(CreateError::from).and_then(|()| Ok(is_occupied(directory)?))
            }
            Processes::Stay => Ok(true),
        };
        // Beside processes the kernel gives threaded controllers only, and from then on takes no process into any group below (EOPNOTSUPP).
        match left {
            Ok(false) => {}
            Ok(true) | Err(_) if needed.is_empty() => return Ok(()),
            Ok(true) => {
                return Err(CreateError::Occupied { controllers: needed, path: directory.path().to_owned() });
            }
            Err(error) => return Err(error),
        }
    }
    for name in absent.names(true) {
        match directory.write("cgroup.subtree_control", &format!("+{name}")) {
            Err(error) if planned.needed.contains(Controllers::named(name)) => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn listed(directory: &Directory, file: &str) -> Result<Controllers, FileError> {
    Ok(Controllers::listed(directory.read(file)?.split_ascii_whitespace()))
}

/// Whether processes keep a group from having groups with controllers below it ("no internal processes", `cgroups(7)`): those of the
/// hierarchy's root, which alone has no type, do not.
fn is_occupied(directory: &Directory) -> Result<bool, FileError> {
    Ok(directory.read_if_there("cgroup.type")?.is_some() && !directory.read("cgroup.procs")?.is_empty())
}

/// Moves the processes of a group to one below it.
fn vacate(directory: &Directory) -> Result<(), FileError> {
    directory.make(Path::new(CALLERS))?;
    let below = directory.open(Path::new(CALLERS))?;
    // Whoever is started meanwhile is in the next list.
    for _ in 0..10 {
        let processes = directory.read("cgroup.procs")?;
        if processes.is_empty() {
            break;
        }
        for pid in processes.lines() {
            match below.write("cgroup.procs", pid) {
                Err(error) if !error.is(Errno::SRCH) => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}
