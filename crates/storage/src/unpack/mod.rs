//! Unpacking one layer into a folder, in the form that overlayfs stacks.
//!
//! Every name comes from a stranger. It is cut into components first ([`name`]), its parent is resolved by the kernel
//! with the layer's folder as root (`openat2(2)`, `RESOLVE_IN_ROOT`), so that links in the layer can lead nowhere else,
//! and what is made is made in that parent's descriptor, by its last component, without following links, and given its
//! attributes through a descriptor of its own. So nothing is ever written outside, also not while another process swaps
//! links in the folder (CVE-2025-47290, CVE-2021-32760, CVE-2026-17106).
//!
//! Differences to what is in the archive, on purpose: in a user namespace devices are left out, and owners too where it has one id only
//! ([`Privilege`]); whiteouts become overlayfs's (image-spec, layer.md), directories that
//! no entry describes are made with mode 0755 for root, labels of other machines' security modules (`security.*` but
//! for `security.capability`) and the extended attributes of links and devices are left out.

mod attributes;
mod content;
mod error;
pub(crate) mod limits;
mod name;
mod parents;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use stockade_kernel::resolve;

use crate::Privilege;
use crate::tar::{Archive, Entry, Kind, Source};
use name::{Meaning, Name};
use parents::{Parent, Parents};

pub(crate) use attributes::{is_opaque, set_opaque};
pub use error::UnpackError;

/// The mode of a directory that no entry describes, as in Docker.
const IMPLIED: Mode = Mode::from_raw_mode(0o755);
/// How much of a file is copied at once.
const CHUNK: usize = 256 << 10;

/// What the file mode creation mask of this process is (`umask(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Umask {
    /// Nothing is masked: what is made has its mode at once.
    Zero,
    /// Somebody else's matter.
    #[cfg(any(test, fuzzing))]
    Unknown,
}

/// What unpacking leaves to tell.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The directories that are to hide what is below them ([`set_opaque`]): that may take more power than unpacking.
    pub(crate) opaque: BTreeSet<PathBuf>,
    /// How many devices were left out.
    pub(crate) devices: u64,
}

/// Unpacks `archive` into the empty folder `root`, and reads it to the end, as `privilege` allows.
///
/// # Errors
/// See [`UnpackError`]; what was unpacked so far stays in the folder, for the caller to remove.
pub(crate) fn unpack<S: Source>(
    archive: &mut Archive<S>,
    root: BorrowedFd<'_>,
    umask: Umask,
    privilege: Privilege,
) -> Result<Told, UnpackError> {
    let own = match privilege {
        Privilege::SingleId => None,
        _ => Some((rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())),
    };
    let mut unpacker = Unpacker {
        root,
        umask,
        privilege,
        own,
        devices: 0,
        parents: Parents::new(attributes::has_default_acl(root)),
        times: BTreeMap::new(),
        opaque: BTreeSet::new(),
        names: 0,
        buffer: vec![0; CHUNK],
    };
    let mut count = 0;
    while let Some(entry) = archive.next_entry()? {
        count += 1;
        if count > limits::MOST_ENTRIES {
            return Err(UnpackError::TooManyEntries);
        }
        if entry.position.saturating_add(entry.size).max(entry.length()) > limits::LARGEST_LAYER {
            return Err(UnpackError::TooLarge);
        }
        unpacker.entry(archive, &entry)?;
    }
    unpacker.set_times()?;
    Ok(Told { opaque: unpacker.opaque, devices: unpacker.devices })
}

/// What stood where an entry is to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// A directory, which stays because the entry is one too.
    Directory,
    /// A whiteout, which was removed.
    Whiteout,
}

struct Unpacker<'fd> {
    root: BorrowedFd<'fd>,
    umask: Umask,
    privilege: Privilege,
    /// Whose the files are that this process makes; `None` if all are.
    own: Option<(u32, u32)>,
    /// How many devices were left out.
    devices: u64,
    /// The directories that the last entries went to, as most go to the same ones.
    parents: Parents,
    /// The times of directories: set last, because every entry in a directory changes them.
    times: BTreeMap<PathBuf, (i64, u32)>,
    /// The directories that hide what is below them.
    opaque: BTreeSet<PathBuf>,
    /// The memory that `times` and `opaque` take.
    names: usize,
    buffer: Vec<u8>,
}

/// What a name takes beside its bytes where it is kept.
const NAME_COST: usize = 96;

/// The longest part of a name that is said in a message.
const SHOWN: usize = 4096;

/// A failed step with an entry.
fn failed<E: Into<io::Error>>(entry: &Entry, step: &'static str) -> impl Fn(E) -> UnpackError {
    move |error| UnpackError::Entry { entry: shown(&entry.path), step: step.into(), source: error.into() }
}

/// A name for messages.
fn shown(name: &[u8]) -> String {
    name[..name.len().min(SHOWN)].escape_ascii().to_string()
}

impl Unpacker<'_> {
    fn entry<S: Source>(&mut self, archive: &mut Archive<S>, entry: &Entry) -> Result<(), UnpackError> {
        let wrong = |reason: &'static str| UnpackError::Name { entry: shown(&entry.path), reason: reason.into() };
        match name::meaning(&entry.path).map_err(wrong)? {
            Meaning::Ignored => Ok(()),
            Meaning::Root if entry.kind == Kind::Directory => {
                attributes::set_all(self.root, entry, self.privilege)?;
                self.changed_directory(Path::new(""), entry)
            }
            Meaning::Root => Err(wrong("is that of the layer's root, which must be a directory")),
            Meaning::Opaque(directory) => self.opaque(directory.as_ref(), entry),
            Meaning::Whiteout(name) => self.whiteout(&name, entry),
            Meaning::Entry(name) => match entry.kind {
                Kind::Directory => self.directory(&name, entry),
                Kind::File => self.file(archive, &name, entry),
                Kind::HardLink => self.hard_link(&name, entry),
                Kind::Symlink => self.symlink(&name, entry),
                Kind::CharacterDevice | Kind::BlockDevice | Kind::Fifo => self.special(&name, entry),
            },
        }
    }

    /// The directory at `path`, made where it is missing.
    fn parent(&mut self, path: &Path, entry: &Entry) -> Result<Rc<Parent>, UnpackError> {
        if let Some(known) = self.parents.find(path) {
            return Ok(known);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let opened = match resolve::open_in_root(self.root, Path::new("/").join(path), flags, Mode::empty()) {
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
                resolve::make_directories(self.root, path, IMPLIED)
            }
            opened => opened,
        };
        let opened = opened.map_err(failed(entry, "open the directory that it is in"))?;
        self.parents.remember(path, opened).map_err(failed(entry, "look at the directory that it is in"))
    }

    /// Makes room for `name` in `parent`: a later entry takes the place of an earlier one.
    fn room(&mut self, parent: &Parent, name: &Name, entry: &Entry) -> Result<Before, UnpackError> {
        let stat = match rustix::fs::statat(parent, name.last(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Before::Nothing),
            Err(error) => return Err(failed(entry, "look at its place")(error)),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory && entry.kind == Kind::Directory {
            return Ok(Before::Directory);
        }
        // What is removed may be, hold, or lead to the directories that are remembered.
        self.parents.forget();
        if kind == FileType::Directory {
            let below = self.opaque.range(name.path().to_owned()..).take_while(|path| path.starts_with(name.path()));
            let below: Vec<PathBuf> = below.cloned().collect();
            below.iter().for_each(|path| drop(self.opaque.take(path)));
        }
        resolve::remove_tree(parent, name.last()).map_err(failed(entry, "remove an earlier entry of that name"))?;
        Ok(if is_whiteout(kind, stat.st_rdev) { Before::Whiteout } else { Before::Nothing })
    }

    /// Makes `name` by `make`, first as if nothing were there, as is nearly always the case.
    fn place<T, E: Into<io::Error>>(
        &mut self,
        name: &Name,
        entry: &Entry,
        step: &'static str,
        make: impl Fn(&Parent) -> Result<T, E>,
    ) -> Result<(Rc<Parent>, T), UnpackError> {
        let parent = self.parent(name.parent(), entry)?;
        let made = match make(&parent).map_err(Into::into) {
            Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => {
                self.room(&parent, name, entry)?;
                make(&parent).map_err(Into::into)
            }
            made => made,
        };
        Ok((parent, made.map_err(failed(entry, step))?))
    }

    /// Whether what is made in `parent` with a mode has that mode and this process's owner and group, and nothing else.
    fn is_exact(&self, parent: &Parent) -> bool {
        self.umask == Umask::Zero && !parent.passes_on
    }

    /// Whether nothing of `entry` is left to set on what this process just made with its mode.
    fn is_plain(&self, entry: &Entry) -> bool {
        entry.xattrs.is_empty() && self.own.is_none_or(|own| own == (entry.uid, entry.gid))
    }

    fn directory(&mut self, name: &Name, entry: &Entry) -> Result<(), UnpackError> {
        let parent = self.parent(name.parent(), entry)?;
        // Set-user-id and the like are not for mkdirat.
        let exact = self.is_exact(&parent) && entry.mode & 0o6000 == 0 && self.is_plain(entry);
        let mode = Mode::from_raw_mode(if exact { entry.mode } else { 0o700 });
        let before = match rustix::fs::mkdirat(&parent, name.last(), mode) {
            Ok(()) if exact => return self.changed_directory(name.path(), entry),
            Ok(()) => Before::Nothing,
            Err(Errno::EXIST) => {
                let before = self.room(&parent, name, entry)?;
                if before != Before::Directory {
                    rustix::fs::mkdirat(&parent, name.last(), Mode::from_raw_mode(0o700))
                        .map_err(failed(entry, "make the directory"))?;
                }
                before
            }
            Err(error) => return Err(failed(entry, "make the directory")(error)),
        };
        let directory = open_directory(&parent, name.last()).map_err(failed(entry, "open the directory"))?;
        attributes::set_all(directory.as_fd(), entry, self.privilege)?;
        if before == Before::Whiteout {
            // It was removed and made anew: nothing below shows through.
            self.hide(name.path())?;
        }
        self.changed_directory(name.path(), entry)
    }

    fn file<S: Source>(&mut self, archive: &mut Archive<S>, name: &Name, entry: &Entry) -> Result<(), UnpackError> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW;
        // A change of owner would take set-user-id away again, and nobody is to run it before.
        let mode = Mode::from_raw_mode(entry.mode & 0o1777);
        let (parent, opened) = self
            .place(name, entry, "make the file", |parent| resolve::open_no_links(parent, name.last(), flags, mode))?;
        let file = std::fs::File::from(opened);
        content::write(archive, &file, entry, &mut self.buffer)?;
        if !self.is_exact(&parent) || entry.mode & 0o6000 != 0 || !self.is_plain(entry) {
            attributes::set_all(file.as_fd(), entry, self.privilege)?;
        }
        attributes::set_time(file.as_fd(), entry.mtime).map_err(failed(entry, "set its time"))
    }

    /// The target is an earlier entry: a hard link to anything else cannot be told from an escape.
    fn hard_link(&mut self, name: &Name, entry: &Entry) -> Result<(), UnpackError> {
        let target = shown(&entry.link);
        let wrong = |reason: &'static str| UnpackError::HardLink {
            entry: shown(&entry.path),
            target: target.clone(),
            reason: reason.into(),
        };
        let place = name::place(&entry.link).map_err(wrong)?.ok_or_else(|| wrong("which is the layer's root"))?;
        let directory = OFlags::PATH | OFlags::DIRECTORY;
        let holder = resolve::open_in_root(self.root, Path::new("/").join(place.parent()), directory, Mode::empty());
        let holder = holder.map_err(|_missing| wrong("which is not in the layer before it"))?;
        let stat = rustix::fs::statat(&holder, place.last(), AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.map_err(|_missing| wrong("which is not in the layer before it"))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            return Err(wrong("which is a directory"));
        }
        if is_whiteout(kind, stat.st_rdev) {
            return Err(wrong("which is a whiteout"));
        }
        let link = |parent: &Parent| rustix::fs::linkat(&holder, place.last(), parent, name.last(), AtFlags::empty());
        self.place(name, entry, "make the hard link", link).map(drop)
    }

    fn symlink(&mut self, name: &Name, entry: &Entry) -> Result<(), UnpackError> {
        let make = |parent: &Parent| rustix::fs::symlinkat(&entry.link[..], parent, name.last());
        let (parent, ()) = self.place(name, entry, "make the link", make)?;
        let link = open_itself(&parent, name.last()).map_err(failed(entry, "open the link"))?;
        attributes::set_owner(link.as_fd(), entry, self.privilege)?;
        attributes::set_time(link.as_fd(), entry.mtime).map_err(failed(entry, "set its time"))
    }

    /// A device or a FIFO, which is never opened.
    fn special(&mut self, name: &Name, entry: &Entry) -> Result<(), UnpackError> {
        let kind = match entry.kind {
            Kind::CharacterDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let number = rustix::fs::makedev(entry.device.0, entry.device.1);
        if is_whiteout(kind, number) {
            return Err(UnpackError::WhiteoutDevice(shown(&entry.path)));
        }
        if kind != FileType::Fifo && self.privilege != Privilege::Host {
            return self.leave_out(name, entry);
        }
        let mode = Mode::from_raw_mode(entry.mode & 0o1777);
        let make = |parent: &Parent| rustix::fs::mknodat(parent, name.last(), kind, mode, number);
        let (parent, ()) = self.place(name, entry, "make the device or FIFO", make)?;
        let node = open_itself(&parent, name.last()).map_err(failed(entry, "open the device or FIFO"))?;
        attributes::set_owner(node.as_fd(), entry, self.privilege)?;
        if !self.is_exact(&parent) || entry.mode & 0o6000 != 0 {
            let mode = Mode::from_raw_mode(entry.mode);
            resolve::change_mode(&node, mode).map_err(failed(entry, "set its mode"))?;
        }
        attributes::set_time(node.as_fd(), entry.mtime).map_err(failed(entry, "set its time"))
    }

    /// Leaves a device out, which nobody can make in a user namespace: what the layers below have in its place does not show either.
    fn leave_out(&mut self, name: &Name, entry: &Entry) -> Result<(), UnpackError> {
        self.devices += 1;
        let make =
            |parent: &Parent| rustix::fs::mknodat(parent, name.last(), FileType::CharacterDevice, Mode::empty(), 0);
        self.place(name, entry, "leave the device out", make).map(drop)
    }

    /// Hides `name` of the layers below. What this layer has under that name stays (image-spec: whiteouts apply to the
    /// layers below only), whether it comes before or after.
    fn whiteout(&mut self, name: &Name, entry: &Entry) -> Result<(), UnpackError> {
        let parent = self.parent(name.parent(), entry)?;
        match rustix::fs::mknodat(&parent, name.last(), FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => match open_directory(&parent, name.last()) {
                Ok(_directory) => self.hide(name.path()),
                // Whatever else it is hides what is below by itself.
                Err(error) if is_no_directory(&error) => Ok(()),
                Err(error) => Err(failed(entry, "open what it removes")(error)),
            },
            Err(error) => Err(failed(entry, "make the whiteout")(error)),
        }
    }

    fn opaque(&mut self, directory: Option<&Name>, entry: &Entry) -> Result<(), UnpackError> {
        let path = directory.map_or(Path::new(""), Name::path);
        self.parent(path, entry)?;
        self.hide(path)
    }

    /// Notes that the directory at `path` hides what the layers below have in it.
    fn hide(&mut self, path: &Path) -> Result<(), UnpackError> {
        if self.opaque.insert(path.to_owned()) {
            self.names += path.as_os_str().len() + NAME_COST;
        }
        let told: usize = self.opaque.iter().map(|path| path.as_os_str().len()).sum();
        let many = told > limits::MOST_OPAQUE_NAMES || self.names > limits::MOST_DIRECTORY_NAMES;
        if many { Err(UnpackError::TooManyNames) } else { Ok(()) }
    }

    /// Notes the time of a directory, and that its mode may be another one than before.
    fn changed_directory(&mut self, path: &Path, entry: &Entry) -> Result<(), UnpackError> {
        self.parents.changed(path, attributes::sets_default_acl(entry));
        if self.times.insert(path.to_owned(), entry.mtime).is_none() {
            self.names += path.as_os_str().len() + NAME_COST;
        }
        if self.names > limits::MOST_DIRECTORY_NAMES { Err(UnpackError::TooManyNames) } else { Ok(()) }
    }

    /// Sets the times of the directories that are still there.
    fn set_times(&self) -> Result<(), UnpackError> {
        for (path, time) in &self.times {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let failed = |source| UnpackError::Entry {
                entry: shown(path.as_os_str().as_encoded_bytes()),
                step: "set its time".into(),
                source,
            };
            match resolve::open_in_root(self.root, Path::new("/").join(path), flags, Mode::empty()) {
                Ok(directory) => attributes::set_time(directory.as_fd(), *time).map_err(failed)?,
                Err(error) if is_no_directory(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }
}

/// Whether a node is how overlayfs writes "removed".
fn is_whiteout(kind: FileType, number: u64) -> bool {
    kind == FileType::CharacterDevice && number == 0
}

/// Opens the directory `name` in `parent` so that its attributes can be set.
fn open_directory(parent: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    resolve::open_no_links(parent, name, flags, Mode::empty())
}

/// Opens whatever is called `name` in `parent`, be it a link or a device, without using it.
fn open_itself(parent: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    resolve::open_no_links(parent, name, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())
}

/// Whether opening failed because there is none, or something else in its place.
fn is_no_directory(error: &io::Error) -> bool {
    let errors = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP];
    errors.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Reads any bytes as the name of an entry, and asserts that what is accepted leads nowhere but down.
#[cfg(fuzzing)]
pub(crate) fn fuzz_meaning(bytes: &[u8]) {
    let down = |name: &Name| {
        let parts = name.path().components().all(|part| matches!(part, std::path::Component::Normal(_)));
        assert!(parts && !name.last().is_empty(), "{}", bytes.escape_ascii());
    };
    match name::meaning(bytes) {
        Ok(Meaning::Entry(name) | Meaning::Whiteout(name) | Meaning::Opaque(Some(name))) => down(&name),
        Ok(Meaning::Root | Meaning::Opaque(None) | Meaning::Ignored) | Err(_) => {}
    }
}
