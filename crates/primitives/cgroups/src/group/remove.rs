//! Removing a group.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::files::{Directory, FileError};
use crate::place::Place;

/// How long dying processes may keep a group busy.
const PATIENCE: Duration = Duration::from_secs(2);

/// What could not be removed; everything else was.
#[derive(Debug, thiserror::Error)]
#[error("{} cgroups could not be removed: {}", failures.len(), failures.iter().map(describe).collect::<Vec<_>>().join("; "))]
pub struct RemoveError {
    /// One for each group.
    pub failures: Vec<FileError>,
}

/// One failure with its reason, since an error has only one source.
fn describe(failure: &FileError) -> String {
    format!("{failure}: {}", failure.source)
}

/// Removes the groups at `places` with all groups below them, then those ancestors in `made` that are empty by now.
/// What is gone already is no error. A group is tried for two seconds while processes are dying in it.
///
/// # Errors
/// [`RemoveError`] listing what is left. An ancestor in use by others is not a failure.
pub fn remove(places: &[Place], made: &[Place]) -> Result<(), RemoveError> {
    let deadline = Instant::now() + PATIENCE;
    let mut failures = Vec::new();
    for place in places {
        remove_group(place, deadline, &mut failures);
    }
    for place in made.iter().rev() {
        match remove_made(place) {
            Err(error) if !error.is(Errno::BUSY) => failures.push(error),
            Ok(()) | Err(_) => {}
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(RemoveError { failures }) }
}

/// Groups that are to be removed, found already: to be prepared by who waits for the end of what is in them. Dropping it
/// closes descriptors and removes nothing.
#[derive(Debug)]
pub struct Removal(Vec<Found>);

/// A group's parent, its name there, and its path for messages.
type Found = (Directory, PathBuf, PathBuf);

impl Removal {
    /// Finds the groups at `places`; what is gone already is left out.
    ///
    /// # Errors
    /// [`FileError`] for the first one that cannot be looked for.
    pub fn prepare(places: &[Place]) -> Result<Self, FileError> {
        let find = |place: &Place| {
            let found = open_parent(place).transpose()?;
            Some(found.map(|(parent, leaf)| (parent, leaf, place.directory())))
        };
        places.iter().filter_map(find).collect::<Result<_, _>>().map(Self)
    }

    /// Removes them if nothing is in any of them, no process and no group: that the kernel removes them is the proof
    /// that nobody is left to be killed. Otherwise some may be removed already; [`super::Group::open_remaining`] opens the others.
    /// What is gone already is no error.
    ///
    /// # Errors
    /// [`FileError`] for the first one that could not be removed, and not for being in use.
    pub fn remove_unused(&self) -> Result<Unused, FileError> {
        for (parent, leaf, path) in &self.0 {
            match once(parent, leaf, path.clone()) {
                Err(error) if error.is(Errno::BUSY) => return Ok(Unused::No),
                result => result?,
            }
        }
        Ok(Unused::Yes)
    }
}

/// Whether nothing was in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// It is removed.
    Yes,
    /// Something is in it.
    No,
}

/// Removes the directory at `place` if it is empty. One that is gone is no error.
pub(super) fn remove_made(place: &Place) -> Result<(), FileError> {
    match open_parent(place)? {
        Some((parent, leaf)) => once(&parent, &leaf, place.directory()),
        None => Ok(()),
    }
}

/// One `rmdir`; a directory that is gone is no error.
fn once(parent: &Directory, leaf: &Path, path: PathBuf) -> Result<(), FileError> {
    match parent.remove(leaf) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(FileError::new("remove the cgroup", path, errno)),
    }
}

/// The parent of `place` and its last name; `None` if the parent is gone.
fn open_parent(place: &Place) -> Result<Option<(Directory, PathBuf)>, FileError> {
    let Some(name) = place.path.file_name() else {
        return Err(FileError::new("remove the cgroup", place.directory(), Errno::INVAL));
    };
    let top = Directory::top(&place.hierarchy())?;
    match top.at(place.path.parent().unwrap_or(Path::new(""))) {
        Ok(parent) => Ok(Some((parent, PathBuf::from(name)))),
        Err(error) if error.is(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes one group and all below it, children first.
fn remove_group(place: &Place, deadline: Instant, failures: &mut Vec<FileError>) {
    match open_parent(place).and_then(|found| match found {
        Some((parent, leaf)) => remove_tree(&parent, &leaf, place, deadline),
        None => Ok(()),
    }) {
        Ok(()) => {}
        Err(error) => failures.push(error),
    }
}

/// Tries the group, then its children, then the group again until the deadline.
fn remove_tree(parent: &Directory, leaf: &Path, place: &Place, deadline: Instant) -> Result<(), FileError> {
    let mut pause = Duration::from_micros(50);
    loop {
        let error = match once(parent, leaf, place.directory()) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if !error.is(Errno::BUSY) || Instant::now() > deadline {
            return Err(error);
        }
        let below = match parent.open(leaf) {
            Ok(directory) => directory.subtree()?,
            Err(error) if error.is(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error),
        };
        for path in below.iter().skip(1).rev() {
            // Busy ones come round again with the group itself, which is busy as long as they are.
            once(parent, &leaf.join(path), place.directory().join(path))
                .or_else(|error| if error.is(Errno::BUSY) { Ok(()) } else { Err(error) })?;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
