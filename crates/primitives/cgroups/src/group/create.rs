//! Making a group as planned.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::enable::enable;
use super::limits::{Earlier, LimitsError, attach_program};
use super::{Group, Member};
use crate::controller::Controllers;
use crate::files::{Directory, FileError};
use crate::layout::Version;
use crate::place::Place;
use crate::plan::{Origin, Plan, PlannedGroup};

/// Why a group could not be made. What had been made was removed again; a directory that the kernel would not remove is empty.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A directory could not be made or opened, or a file not written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The group was there and is not empty.
    #[error("the cgroup {} is in use: {processes} processes are in it", path.display())]
    InUse {
        /// Its directory.
        path: PathBuf,
        /// How many.
        processes: usize,
    },
    /// The group was there and is frozen, so a process that joins it would hang.
    #[error("the cgroup {} is frozen", path.display())]
    Frozen {
        /// Its directory.
        path: PathBuf,
    },
    /// A cgroup v2 ancestor does not offer a controller that a limit needs.
    #[error("the cgroup controllers {controllers} cannot be enabled for {}", path.display())]
    NotEnabled {
        /// The controllers that are missing.
        controllers: Controllers,
        /// The group.
        path: PathBuf,
    },
    /// A cgroup v2 ancestor has processes, and a limit needs a controller below it.
    #[error(
        "the cgroup {} has processes of its own, so that groups below it cannot have the controllers {controllers}: move the processes \
         to a group of their own, or have the container's made elsewhere",
        path.display()
    )]
    Occupied {
        /// The controllers.
        controllers: Controllers,
        /// The ancestor.
        path: PathBuf,
    },
    /// A limit was refused.
    #[error(transparent)]
    Limits(#[from] LimitsError),
}

impl CreateError {
    /// Whether the group was there and is somebody else's, who may need it.
    #[must_use]
    pub fn is_of_others(&self) -> bool {
        matches!(self, Self::InUse { .. } | Self::Frozen { .. })
    }

    /// Whether it is about permission: what a caller without privilege may choose to go on without.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::File(error) if error.is_permission())
    }
}

impl Group {
    /// Makes the group with its missing ancestors, writes the limits and opens what a process joins by.
    ///
    /// A group that is there already is taken if it is empty and not frozen, as other runtimes do, or if systemd has made it.
    ///
    /// # Errors
    /// [`CreateError`]. The directories made by this call are removed again.
    pub fn create(plan: Plan) -> Result<Self, CreateError> {
        let mut made = Vec::new();
        match make(plan, &mut made) {
            Ok((mut group, leaves)) => {
                made.retain(|place| !leaves.contains(place));
                group.made = made;
                Ok(group)
            }
            Err(error) => {
                for place in made.iter().rev() {
                    // The reason for the failure is what the caller must see; a directory that stays is empty.
                    super::remove::remove_made(place).ok();
                }
                Err(error)
            }
        }
    }
}

/// Makes everything; `made` lists directories as they are made.
fn make(plan: Plan, made: &mut Vec<Place>) -> Result<(Group, Vec<Place>), CreateError> {
    let mut members = Vec::with_capacity(plan.groups.len());
    let mut writes = Vec::new();
    for (index, planned) in plan.groups.into_iter().enumerate() {
        let whose = Whose { origin: plan.origin, vacate: plan.vacate.as_deref() };
        let directory = make_directories(&planned, whose, made)?;
        let place = Place::new(&planned.hierarchy, &planned.path);
        writes.extend(planned.writes.into_iter().map(|write| (index, write)));
        members.push(Member { hierarchy: planned.hierarchy, place, directory });
    }
    let leaves = members.iter().map(|member| member.place.clone()).collect();
    let mut group = Group::to_join(members)?;
    group.degradations = plan.degradations;
    group.write(writes)?;
    let earlier = if plan.origin == Origin::Ours { Earlier::All } else { Earlier::Ours };
    if let Some(rules) = &plan.device_program {
        group.program = Some(attach_program(&group, rules, earlier)?);
    }
    Ok((group, leaves))
}

/// Whose the group and those above it are.
#[derive(Clone, Copy)]
struct Whose<'a> {
    origin: Origin,
    vacate: Option<&'a Path>,
}

/// How long a group is tried to be made when its parent is gone again: another container that made the parent may remove it,
/// empty as it is, between our look at it and our first directory in it (`ENOENT`, `ENODEV`). Longer than a crowd of them takes on a
/// slow machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the group with its ancestors in one hierarchy and returns it, ready to be joined.
fn make_directories(planned: &PlannedGroup, whose: Whose<'_>, made: &mut Vec<Place>) -> Result<Directory, CreateError> {
    let hierarchy = &planned.hierarchy;
    let top = Directory::top(hierarchy)?;
    let parent_path = planned.path.parent().unwrap_or(Path::new(""));
    let deadline = Instant::now() + PATIENCE;
    let leaf = loop {
        match make_leaf(&top, planned, made) {
            Err(error) if (error.is(Errno::NOENT) || error.is(Errno::NODEV)) && Instant::now() < deadline => {
                std::thread::yield_now();
            }
            result => break result?,
        }
    };
    if leaf.found == Found::Before && whose.origin == Origin::Ours {
        refuse_used(&leaf.directory)?;
    }
    // From here on nobody can remove an ancestor: one that is not empty stays. So none of them is a new one, without what was
    // enabled, by the time that the group is used.
    if hierarchy.version == Version::V2 {
        enable(&top, parent_path, planned, whose.vacate)?;
    }
    if hierarchy.controllers.contains(Controllers::CPUSET) && hierarchy.version == Version::V1 {
        fill_cpuset(&top, parent_path, leaf.parent.as_ref().unwrap_or(&top), &leaf.directory)?;
    }
    Ok(leaf.directory)
}

/// A group's own directory.
struct Leaf {
    /// Where it is, if that is not the top.
    parent: Option<Directory>,
    directory: Directory,
    found: Found,
}

/// Whether a directory was there.
#[derive(PartialEq, Eq)]
enum Found {
    /// It was.
    Before,
    /// It was made.
    Now,
}

/// Makes the group's own directory, if it is not there, right after its parent was found or made, so that there is next to no time in
/// which another can remove that.
fn make_leaf(top: &Directory, planned: &PlannedGroup, made: &mut Vec<Place>) -> Result<Leaf, FileError> {
    let parent_path = planned.path.parent().unwrap_or(Path::new(""));
    let name = Path::new(planned.path.file_name().unwrap_or_default());
    let parent = match (!parent_path.as_os_str().is_empty()).then(|| top.open(parent_path)) {
        Some(Err(error)) if error.is(Errno::NOENT) => Some(make_ancestors(top, planned, parent_path, made)?),
        other => other.transpose()?,
    };
    let within = parent.as_ref().unwrap_or(top);
    let found = if within.make(name)? { Found::Now } else { Found::Before };
    if found == Found::Now {
        made.push(Place::new(&planned.hierarchy, &planned.path));
    }
    let directory = within.open(name)?;
    Ok(Leaf { directory, found, parent })
}

/// Makes the missing ancestors of a group and returns its parent.
fn make_ancestors(
    top: &Directory,
    planned: &PlannedGroup,
    path: &Path,
    made: &mut Vec<Place>,
) -> Result<Directory, FileError> {
    let mut here = top.open(Path::new(""))?;
    let mut so_far = PathBuf::new();
    for name in path.iter().map(Path::new) {
        so_far.push(name);
        here = match here.open(name) {
            Err(error) if error.is(Errno::NOENT) => {
                let place = Place::new(&planned.hierarchy, &so_far);
                if here.make(name)? && !made.contains(&place) {
                    made.push(place);
                }
                here.open(name)?
            }
            other => other?,
        };
    }
    Ok(here)
}

/// Refuses a group that was there and has processes or is frozen.
fn refuse_used(directory: &Directory) -> Result<(), CreateError> {
    let path = directory.path().to_owned();
    let processes = directory.read("cgroup.procs")?.lines().count();
    if processes > 0 {
        return Err(CreateError::InUse { path, processes });
    }
    let frozen = directory.read_if_there("cgroup.freeze")?.is_some_and(|text| text.trim() == "1")
        || directory.read_if_there("freezer.state")?.is_some_and(|text| text.trim() != "THAWED");
    if frozen { Err(CreateError::Frozen { path }) } else { Ok(()) }
}

/// Copies processors and memory nodes down to a v1 group, and before that to ancestors that have none: a group
/// without them can not be joined.
fn fill_cpuset(top: &Directory, path: &Path, parent: &Directory, group: &Directory) -> Result<(), FileError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if !group.read(file)?.trim().is_empty() {
            continue;
        }
        let mut value = parent.read(file)?;
        if value.trim().is_empty() {
            value = top.read(file)?;
            let mut at = PathBuf::new();
            for name in path.iter() {
                at.push(name);
                let ancestor = top.open(&at)?;
                let own = ancestor.read(file)?;
                match own.trim().is_empty() {
                    true => ancestor.write(file, value.trim())?,
                    false => value = own,
                }
            }
        }
        group.write(file, value.trim())?;
    }
    Ok(())
}
