//! A group that exists: one directory in each hierarchy, held by descriptors.

mod create;
mod earlier;
mod enable;
mod freeze;
mod kill;
mod limits;
mod remove;

pub use create::CreateError;
pub use freeze::FreezeError;
pub use kill::KillError;
pub use limits::{Difference, LimitsError, Told, UpdateError};
pub use remove::{Removal, RemoveError, Unused, remove};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;

use crate::controller::Controllers;
use crate::files::{Directory, FileError};
use crate::layout::{Hierarchy, Version};
use crate::place::Place;
use crate::plan::Degradation;
use crate::write::Write;

/// A group in every hierarchy of a machine. Dropping it closes descriptors and removes nothing.
#[derive(Debug)]
pub struct Group {
    members: Vec<Member>,
    joins: Vec<OwnedFd>,
    made: Vec<Place>,
    degradations: Vec<Degradation>,
    written: Vec<(usize, Write)>,
    program: Option<u32>,
}

/// The group in one hierarchy.
#[derive(Debug)]
struct Member {
    hierarchy: Hierarchy,
    place: Place,
    directory: Directory,
}

impl Group {
    /// Opens a group made earlier, in every one of `places`.
    ///
    /// # Errors
    /// [`FileError`] if one of them is gone or can not be opened.
    pub fn open(places: &[Place]) -> Result<Self, FileError> {
        let members = places.iter().map(Member::open).collect::<Result<Vec<_>, _>>()?;
        Self::to_join(members)
    }

    /// Opens what is left of a group: to kill, thaw and list, not to join.
    ///
    /// # Errors
    /// [`FileError`] if one of them can not be opened though it is there.
    pub fn open_remaining(places: &[Place]) -> Result<Self, FileError> {
        let mut members = Vec::with_capacity(places.len());
        for place in places {
            match Member::open(place) {
                Ok(member) => members.push(member),
                Err(error) if error.is(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self::of(members))
    }

    /// A group of these members.
    fn of(members: Vec<Member>) -> Self {
        let (made, degradations, written) = (Vec::new(), Vec::new(), Vec::new());
        Self { members, joins: Vec::new(), made, degradations, written, program: None }
    }

    /// A group of these members, with the files opened by which a process joins.
    fn to_join(members: Vec<Member>) -> Result<Self, FileError> {
        let mut group = Self::of(members);
        for member in group.members.iter().filter(|member| member.hierarchy.version == Version::V1) {
            group.joins.push(member.directory.open_for_writing("tasks")?);
        }
        Ok(group)
    }

    /// Where the group is: what [`Group::open`] and [`remove`] take.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        self.members.iter().map(|member| member.place.clone()).collect()
    }

    /// The ancestors that [`Group::create`] made, parents before children: what [`remove`] takes to remove them too.
    #[must_use]
    pub fn made(&self) -> &[Place] {
        &self.made
    }

    /// What was asked and is not in force, to be shown to the user.
    #[must_use]
    pub fn degradations(&self) -> &[Degradation] {
        &self.degradations
    }

    /// The `tasks` files of the v1 hierarchies, for [`join_from`]. They are close-on-exec.
    #[must_use]
    pub fn join_fds(&self) -> &[OwnedFd] {
        &self.joins
    }

    /// The cgroup2 directory, for `CLONE_INTO_CGROUP` (Linux 5.7).
    #[must_use]
    pub fn clone_into(&self) -> Option<BorrowedFd<'_>> {
        self.unified().map(|member| member.directory.as_fd())
    }

    /// Moves the process `pid`, with all its threads, into the group in every hierarchy. Slower than joining by
    /// oneself: the kernel waits for all processors.
    ///
    /// # Errors
    /// [`FileError`] for the first hierarchy that refuses; the process stays in those before it.
    pub fn attach(&self, pid: i32) -> Result<(), FileError> {
        self.members.iter().try_for_each(|member| member.directory.write("cgroup.procs", &pid.to_string()))
    }

    /// Whether the cgroup2 group gives controllers to groups below it, and so takes no process itself (`cgroups(7)`, "no
    /// internal processes").
    ///
    /// # Errors
    /// [`FileError`] if that can not be read.
    pub fn delegates(&self) -> Result<bool, FileError> {
        let Some(member) = self.unified() else { return Ok(false) };
        Ok(!member.directory.read("cgroup.subtree_control")?.trim().is_empty())
    }

    /// The processes in the group and all groups below it, in one hierarchy (cgroup2 if there), sorted. Zero stands
    /// for a process outside of the reader's pid namespace.
    ///
    /// # Errors
    /// [`FileError`] if a list can not be read.
    pub fn processes(&self) -> Result<Vec<i32>, FileError> {
        match self.unified().or(self.members.first()) {
            Some(member) => member.processes(),
            None => Ok(Vec::new()),
        }
    }

    /// The cgroup2 member.
    fn unified(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.hierarchy.version == Version::V2)
    }

    /// The member in whose v1 hierarchy `controller` is.
    fn legacy(&self, controller: Controllers) -> Option<&Member> {
        let has = |member: &&Member| member.hierarchy.controllers.contains(controller);
        self.members.iter().filter(|member| member.hierarchy.version == Version::V1).find(has)
    }

    /// The directory where `controller`'s files are, and its interface.
    pub(crate) fn directory(&self, controller: Controllers) -> Option<(Version, &Directory)> {
        let member = self.legacy(controller).or_else(|| self.unified())?;
        Some((member.hierarchy.version, &member.directory))
    }
}

impl Member {
    /// Opens the group at `place`.
    fn open(place: &Place) -> Result<Self, FileError> {
        let hierarchy = place.hierarchy();
        let directory = Directory::top(&hierarchy)?.at(&place.path)?;
        Ok(Self { hierarchy, place: place.clone(), directory })
    }

    /// The processes here and below, sorted.
    fn processes(&self) -> Result<Vec<i32>, FileError> {
        let mut pids = Vec::new();
        for below in self.directory.subtree()? {
            let read = match below.as_os_str().is_empty() {
                true => listed(&self.directory),
                false => self.directory.open(&below).and_then(|directory| listed(&directory)),
            };
            match read {
                Ok(list) => pids.extend(list.lines().filter_map(|line| line.parse::<i32>().ok())),
                Err(error) if error.is(Errno::NOENT) || error.is(Errno::NODEV) => {}
                Err(error) => return Err(error),
            }
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }
}

/// The processes of one group, or the threads where the kernel lists only those: in a threaded group of cgroup v2.
fn listed(directory: &Directory) -> Result<String, FileError> {
    match directory.read("cgroup.procs") {
        Err(error) if error.is(Errno::OPNOTSUPP) => directory.read("cgroup.threads"),
        other => other,
    }
}

/// Moves the calling thread into the groups whose `tasks` files are `joins`: for a child that has a single thread,
/// right after it was cloned. A thread that moves itself through `tasks` spares the kernel a wait for all processors.
///
/// # Errors
/// As `write(2)`; the thread stays in the groups joined before the error.
pub fn join_from(joins: &[impl AsFd]) -> std::io::Result<()> {
    joins.iter().try_for_each(|join| stockade_kernel::procfs::write_once(join.as_fd(), b"0"))
}
