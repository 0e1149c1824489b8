//! What a container changed: its upper folder beside the layers below it, as `docker diff` tells it.
//!
//! The upper folder may be written to meanwhile; it is walked by descriptors, and what vanishes is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use stockade_kernel::resolve;

use crate::Privilege;
use crate::pack::{Owners, marked_opaque, names};

/// The most entries of one directory, and the most changes.
const MOST: u64 = 2 << 20;
/// The most directories below each other, each of which is kept open.
const DEEPEST: usize = 256;

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It, or something in it, is not what it was.
    Changed,
    /// The layers do not have it.
    Added,
    /// Only the layers have it.
    Deleted,
}

impl Kind {
    /// Docker's letter.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Changed => 'C',
            Self::Added => 'A',
            Self::Deleted => 'D',
        }
    }
}

/// A container's root file system on the disk.
#[derive(Clone, Copy, Debug)]
pub struct Stack<'a> {
    /// What the container wrote.
    pub upper: BorrowedFd<'a>,
    /// The layers below, topmost first.
    pub lowers: &'a [OwnedFd],
    /// How the ids in the upper folder are read; those of the layers are the container's own.
    pub owners: &'a Owners,
    /// With which the overlay was made.
    pub privilege: Privilege,
    /// Paths below the root that were made to mount something on: where they are empty and the layers do not have them, they are no
    /// change, nor is the time of the directory that they are in.
    pub mount_points: &'a BTreeSet<PathBuf>,
}

/// Why the changes cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// Something could not be looked at.
    #[error("cannot look at {path:?} in {layer}")]
    Look {
        /// Its path in the container.
        path: PathBuf,
        /// Where.
        layer: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A tree that is too large.
    #[error("{0:?} is below too many directories")]
    Deep(PathBuf),
}

/// The changes by absolute path; the parents of what changed are changed too, but for the root, which is never told.
///
/// # Errors
/// See [`ChangesError`].
pub fn changes(stack: &Stack<'_>) -> Result<BTreeMap<PathBuf, Kind>, ChangesError> {
    let mut found = Comparison::new(stack);
    let upper = resolve::open_no_links(stack.upper, ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
    let upper = upper.map_err(looking(Path::new("/"), UPPER))?;
    let all: Vec<usize> = (0..stack.lowers.len()).collect();
    found.directory(&upper, Path::new(""), &all, Below::Shows, 0)?;
    Ok(found.changes)
}

/// The mount points of `stack` that are no change, for what packs the upper folder.
///
/// # Errors
/// See [`ChangesError`].
pub fn made_for_mounts(stack: &Stack<'_>) -> Result<BTreeSet<PathBuf>, ChangesError> {
    let comparison = Comparison::new(stack);
    let all: Vec<usize> = (0..stack.lowers.len()).collect();
    let mut made = BTreeSet::new();
    for path in stack.mount_points {
        let node = match resolve::open_no_links(stack.upper, path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(node) => node,
            Err(error) if is_absent(&error) => continue,
            Err(error) => return Err(looking(path, UPPER)(error)),
        };
        if is_empty(&node).map_err(looking(path, UPPER))? && matches!(comparison.find(&all, path)?, Found::Nothing) {
            made.insert(path.clone());
        }
    }
    Ok(made)
}

/// For messages.
const UPPER: &str = "the container's writable layer";
const LOWER: &str = "a layer of its image";

/// Whether what the layers have under a directory shows through it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    Shows,
    Hidden,
}

/// What the layers have at a path.
enum Found {
    Nothing,
    File,
    /// With the layers that have a part of it, topmost first.
    Directory(Stat, Vec<usize>),
}

struct Comparison<'a> {
    stack: &'a Stack<'a>,
    changes: BTreeMap<PathBuf, Kind>,
}

/// For `map_err`.
fn looking<E: Into<io::Error>>(path: &Path, layer: &'static str) -> impl Fn(E) -> ChangesError {
    move |error| ChangesError::Look { path: Path::new("/").join(path), layer, source: error.into() }
}

impl<'a> Comparison<'a> {
    fn new(stack: &'a Stack<'a>) -> Self {
        Self { stack, changes: BTreeMap::new() }
    }

    /// Compares what is in the directory `place`; whether anything in it changed, and whether something was made in it to be
    /// mounted on.
    fn directory(
        &mut self,
        upper: &OwnedFd,
        place: &Path,
        layers: &[usize],
        below: Below,
        depth: usize,
    ) -> Result<(bool, bool), ChangesError> {
        if depth > DEEPEST || self.changes.len() as u64 > MOST {
            return Err(ChangesError::Deep(Path::new("/").join(place)));
        }
        let here = names(upper.as_fd(), MOST).map_err(looking(place, UPPER))?;
        let (mut changed, mut mounted) = (false, false);
        for name in &here {
            let path = place.join(OsStr::from_bytes(name));
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let node = match rustix::fs::openat(upper, &name[..], flags, Mode::empty()) {
                Ok(node) => node,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(looking(&path, UPPER)(errno)),
            };
            let before = self.find(layers, &path)?;
            if self.stack.mount_points.contains(&path)
                && matches!(before, Found::Nothing)
                && is_empty(&node).map_err(looking(&path, UPPER))?
            {
                mounted = true;
                continue;
            }
            changed |= self.compare(node, &path, before, below, depth)?;
        }
        if below == Below::Hidden {
            for name in self.names_below(layers, place)?.difference(&here.into_iter().collect()) {
                let path = place.join(OsStr::from_bytes(name));
                if !matches!(self.find(layers, &path)?, Found::Nothing) {
                    self.note(&path, Kind::Deleted);
                    changed = true;
                }
            }
        }
        Ok((changed, mounted))
    }

    /// Compares what the upper folder has at `path` with what was there `before`; whether it changed.
    fn compare(
        &mut self,
        node: OwnedFd,
        path: &Path,
        before: Found,
        below: Below,
        depth: usize,
    ) -> Result<bool, ChangesError> {
        let stat = rustix::fs::fstat(&node).map_err(looking(path, UPPER))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if is_whiteout(&stat) {
            if !matches!(before, Found::Nothing) {
                self.note(path, Kind::Deleted);
            }
            return Ok(!matches!(before, Found::Nothing));
        }
        let replaced = if matches!(before, Found::Nothing) { Kind::Added } else { Kind::Changed };
        if kind != FileType::Directory {
            self.note(path, replaced);
            return Ok(true);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let opened = resolve::open_no_links(&node, ".", flags, Mode::empty()).map_err(looking(path, UPPER))?;
        drop(node);
        let Found::Directory(was, layers) = before else {
            self.note(path, replaced);
            self.directory(&opened, path, &[], Below::Shows, depth + 1)?;
            return Ok(true);
        };
        let opaque = marked_opaque(opened.as_fd(), self.stack.privilege).map_err(looking(path, UPPER))?;
        let below = if opaque { Below::Hidden } else { below };
        let (changed, mounted) = self.directory(&opened, path, &layers, below, depth + 1)?;
        let changed = changed || self.differs(&stat, &was, mounted);
        if changed {
            self.note(path, Kind::Changed);
        }
        Ok(changed)
    }

    /// Whether a directory has other attributes than before.
    fn differs(&self, now: &Stat, was: &Stat, mounted: bool) -> bool {
        let owners = self.stack.owners;
        let attributes = |mode: u32, uid: u32, gid: u32| (mode & 0o7777, uid, gid);
        let time = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec);
        attributes(now.st_mode, owners.uid(now.st_uid), owners.gid(now.st_gid))
            != attributes(was.st_mode, was.st_uid, was.st_gid)
            || (!mounted && time(now) != time(was))
    }

    fn note(&mut self, path: &Path, kind: Kind) {
        self.changes.insert(Path::new("/").join(path), kind);
    }

    /// What the layers that have a part of a directory have at `path` in it.
    fn find(&self, layers: &[usize], path: &Path) -> Result<Found, ChangesError> {
        let failed = looking::<io::Error>(path, LOWER);
        let mut directory: Option<(Stat, Vec<usize>)> = None;
        for index in layers {
            let Some(root) = self.stack.lowers.get(*index) else { continue };
            let node = match resolve::open_no_links(root, path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(node) => node,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(failed(error)),
            };
            let stat = rustix::fs::fstat(&node).map_err(looking(path, LOWER))?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                return Ok(match directory {
                    Some((stat, layers)) => Found::Directory(stat, layers),
                    None if is_whiteout(&stat) => Found::Nothing,
                    None => Found::File,
                });
            }
            directory.get_or_insert((stat, Vec::new())).1.push(*index);
            let opened = resolve::open_no_links(&node, ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
            let opened = opened.map_err(looking(path, LOWER))?;
            if marked_opaque(opened.as_fd(), self.stack.privilege).map_err(looking(path, LOWER))? {
                break;
            }
        }
        Ok(directory.map_or(Found::Nothing, |(stat, layers)| Found::Directory(stat, layers)))
    }

    /// All names that the layers have in the directory `place`, those of whiteouts too.
    fn names_below(&self, layers: &[usize], place: &Path) -> Result<BTreeSet<Vec<u8>>, ChangesError> {
        let mut all = BTreeSet::new();
        for index in layers {
            let Some(root) = self.stack.lowers.get(*index) else { continue };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let opened = resolve::open_no_links(root, place, flags, Mode::empty()).map_err(looking(place, LOWER))?;
            all.extend(names(opened.as_fd(), MOST).map_err(looking(place, LOWER))?);
        }
        Ok(all)
    }
}

/// Whether a node is how overlayfs writes "removed".
fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Whether it is an empty file or an empty directory.
fn is_empty(node: &OwnedFd) -> io::Result<bool> {
    let stat = rustix::fs::fstat(node)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(stat.st_size == 0),
        FileType::Directory => {
            let opened = resolve::open_no_links(node, ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
            Ok(names(opened.as_fd(), MOST)?.is_empty())
        }
        _ => Ok(false),
    }
}

/// Whether opening failed because there is nothing, or no directory on the way.
fn is_absent(error: &io::Error) -> bool {
    let errors = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP];
    errors.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests;
