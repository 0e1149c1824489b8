//! An archive into a directory where other things are already, as `cp` does it.
//!
//! The archive, and the directory if it is a container's, are strangers'. Names are cut into components; parents are opened below
//! the directory without following any link (`openat2(2)`, `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS`); what is made is made new
//! (`O_EXCL`) and given its attributes through its descriptor. So nothing is written outside, nothing that was there changes its
//! mode or owner (CVE-2021-41089), and nothing is written through a link or into a FIFO or device.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use stockade_kernel::resolve;

use super::{Owners, attributes, shown};
use crate::tar::{Archive, Entry, Kind, Source, Sparse, TarError};

/// How much of a file is copied at once, and how many zeros in a row are not written but left as a hole.
const CHUNK: usize = 128 << 10;
const HOLE: usize = 4096;
/// The most entries, and the most bytes of the names of directories, which are kept until the end.
const MOST_ENTRIES: u64 = 2 << 20;
const MOST_NAMES: usize = 64 << 20;
/// The longest name and its most components.
const LONGEST_PATH: usize = 4095;
const DEEPEST: usize = 256;

/// Where an archive goes.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The directory. `O_PATH` is enough.
    pub directory: BorrowedFd<'a>,
    /// What becomes of the names.
    pub naming: Naming<'a>,
    /// Whose the files become.
    pub ownership: Ownership<'a>,
    /// What is kept of what the archive says.
    pub keep: Keep,
}

/// What becomes of the names in an archive.
#[derive(Clone, Copy, Debug)]
pub enum Naming<'a> {
    /// They stay.
    Kept,
    /// The first component, which the archive's names have in common, becomes this one.
    First(&'a OsStr),
    /// The first component is taken away: what is in the archive's directory goes into the place.
    WithoutFirst,
}

/// Whose the files become.
#[derive(Clone, Copy, Debug)]
pub enum Ownership<'a> {
    /// This user's and this group's.
    Fixed(u32, u32),
    /// Those of the archive, which are ids in a container with these owners.
    Archive(&'a Owners),
}

/// What is kept of what the archive says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Everything.
    Everything,
    /// What gives nobody more rights than he has: no set-user-id bits of others, no capabilities, no access lists of other
    /// machines' users, no devices.
    Harmless,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// How many devices were left out ([`Keep::Harmless`]).
    pub devices_left_out: u64,
}

/// Why an archive is not all there. What came before stays.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The archive.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// A name that leads out, or is too long.
    #[error("the archive's entry `{entry}` {reason}")]
    Name {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Something else is there.
    #[error("cannot overwrite {there} with {new} `{entry}`")]
    InTheWay {
        /// The entry.
        entry: String,
        /// What is there.
        there: &'static str,
        /// What it should become.
        new: &'static str,
    },
    /// An id that the container's user namespace does not have.
    #[error("`{entry}` belongs to {uid}:{gid}, which the container's user namespace does not have")]
    NoSuchOwner {
        /// The entry.
        entry: String,
        /// The owner.
        uid: u32,
        /// The group.
        gid: u32,
    },
    /// A step failed.
    #[error("cannot {step} `{entry}`")]
    Step {
        /// The entry.
        entry: String,
        /// What was attempted.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// More than any tree has.
    #[error("the archive has too many entries or directories")]
    TooMany,
}

/// Puts what is in `archive` into the place. A file takes the place of what is no directory; a directory that is there stays as it
/// is, and what is in it that the archive does not name.
///
/// # Errors
/// See [`ExtractError`].
pub fn extract<S: Source>(archive: &mut Archive<S>, place: &Place<'_>) -> Result<Extracted, ExtractError> {
    let mut extraction = Extraction {
        place: *place,
        parent: None,
        times: BTreeMap::new(),
        names: 0,
        buffer: vec![0; CHUNK],
        done: Extracted::default(),
    };
    let mut count = 0;
    while let Some(entry) = archive.next_entry()? {
        count += 1;
        if count > MOST_ENTRIES {
            return Err(ExtractError::TooMany);
        }
        extraction.entry(archive, &entry)?;
    }
    extraction.set_times()?;
    Ok(extraction.done)
}

struct Extraction<'a> {
    place: Place<'a>,
    /// The directory that the last entry went to.
    parent: Option<(PathBuf, OwnedFd)>,
    /// The times of the directories that were made, set last.
    times: BTreeMap<PathBuf, (i64, u32)>,
    names: usize,
    buffer: Vec<u8>,
    done: Extracted,
}

/// For `map_err`: a failed step with an entry.
fn failed<E: Into<io::Error>>(entry: &Entry, step: &'static str) -> impl Fn(E) -> ExtractError {
    move |error| ExtractError::Step { entry: shown(&entry.path), step, source: error.into() }
}

impl Extraction<'_> {
    fn entry<S: Source>(&mut self, archive: &mut Archive<S>, entry: &Entry) -> Result<(), ExtractError> {
        let wrong = |reason| ExtractError::Name { entry: shown(&entry.path), reason };
        let path = self.path(&entry.path).map_err(wrong)?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            // The place itself, which is there and stays as it is.
            return if entry.kind == Kind::Directory { Ok(()) } else { Err(wrong("has no name")) };
        };
        let is_device = matches!(entry.kind, Kind::CharacterDevice | Kind::BlockDevice);
        if is_device && self.place.keep == Keep::Harmless {
            self.done.devices_left_out += 1;
            return Ok(());
        }
        let parent = self.parent(parent, entry)?;
        if entry.kind == Kind::Directory {
            return self.directory(&parent, name, &path, entry);
        }
        if entry.kind == Kind::HardLink {
            return self.hard_link(&parent, name, entry);
        }
        make_room(&parent, name, entry)?;
        match entry.kind {
            Kind::File => self.file(archive, &parent, name, entry),
            Kind::Symlink => {
                rustix::fs::symlinkat(&entry.link[..], &parent, name).map_err(failed(entry, "make the link"))?;
                self.finish_unopened(&parent, name, entry)
            }
            _ => {
                let kind = match entry.kind {
                    Kind::CharacterDevice => FileType::CharacterDevice,
                    Kind::BlockDevice => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                let number = rustix::fs::makedev(entry.device.0, entry.device.1);
                rustix::fs::mknodat(&parent, name, kind, Mode::from_raw_mode(entry.mode & 0o777), number)
                    .map_err(failed(entry, "make the device or FIFO"))?;
                self.finish_unopened(&parent, name, entry)
            }
        }
    }

    /// Where an entry of the archive goes, relative to the place; empty for the place itself.
    fn path(&self, name: &[u8]) -> Result<PathBuf, &'static str> {
        if name.len() > LONGEST_PATH {
            return Err("has a name that is longer than a path may be");
        }
        let mut components: Vec<&[u8]> =
            name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
        if components.contains(&&b".."[..]) {
            return Err("has `..` in its name, which leads out of the place");
        }
        if components.len() > DEEPEST {
            return Err("is below too many directories");
        }
        match self.place.naming {
            Naming::Kept => {}
            _ if components.is_empty() => {}
            Naming::First(new) => components[0] = new.as_bytes(),
            Naming::WithoutFirst => {
                components.remove(0);
            }
        }
        Ok(OsString::from_vec(components.join(&b'/')).into())
    }

    /// The directory at `path` below the place; one that is missing is made, like those that no entry describes.
    fn parent(&mut self, path: &Path, entry: &Entry) -> Result<OwnedFd, ExtractError> {
        let kept = failed(entry, "keep the directory of");
        if let Some((known, directory)) = &self.parent
            && known == path
        {
            return directory.try_clone().map_err(kept);
        }
        let opened = self.open_or_make(path).map_err(failed(entry, "open the directory of"))?;
        let copy = opened.try_clone().map_err(kept)?;
        self.parent = Some((path.to_owned(), opened));
        Ok(copy)
    }

    fn open_or_make(&self, path: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        match resolve::open_no_links(self.place.directory, path, flags, Mode::empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        let mut here = resolve::open_no_links(self.place.directory, ".", flags, Mode::empty())?;
        for name in path {
            match rustix::fs::mkdirat(&here, name, Mode::RWXU) {
                Ok(()) => {
                    here = resolve::open_no_links(&here, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
                    if let Ownership::Fixed(uid, gid) = self.place.ownership {
                        rustix::fs::fchown(&here, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
                    } else if let Ownership::Archive(owners) = self.place.ownership
                        && let Some((uid, gid)) = owners.outside(0, 0)
                    {
                        rustix::fs::fchown(&here, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
                    }
                    rustix::fs::fchmod(&here, Mode::from_raw_mode(0o755))?;
                }
                Err(Errno::EXIST) => here = resolve::open_no_links(&here, name, flags, Mode::empty())?,
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(here)
    }

    fn directory(&mut self, parent: &OwnedFd, name: &OsStr, path: &Path, entry: &Entry) -> Result<(), ExtractError> {
        match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
                let stat = stat.map_err(failed(entry, "look at the place of"))?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    return Ok(());
                }
                let entry = shown(&entry.path);
                return Err(ExtractError::InTheWay { entry, there: "non-directory", new: "directory" });
            }
            Err(errno) => return Err(failed(entry, "make the directory")(errno)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let directory = resolve::open_no_links(parent, name, flags, Mode::empty());
        let directory = directory.map_err(failed(entry, "open the directory"))?;
        self.set_attributes(directory.as_fd(), entry)?;
        self.names += path.as_os_str().len() + 1;
        if self.names > MOST_NAMES {
            return Err(ExtractError::TooMany);
        }
        self.times.insert(path.to_owned(), entry.mtime);
        Ok(())
    }

    fn file<S: Source>(
        &mut self,
        archive: &mut Archive<S>,
        parent: &OwnedFd,
        name: &OsStr,
        entry: &Entry,
    ) -> Result<(), ExtractError> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW;
        let opened = resolve::open_no_links(parent, name, flags, Mode::RUSR | Mode::WUSR);
        let mut file = std::fs::File::from(opened.map_err(failed(entry, "make the file"))?);
        if let Some(sparse) = &entry.sparse {
            self.pieces(archive, &file, sparse, entry)?;
        }
        let mut ends_in_hole = false;
        loop {
            // Whole chunks, so that what is a hole does not depend on how the archive arrives.
            let mut filled = 0;
            while filled < self.buffer.len() {
                match archive.read_data(&mut self.buffer[filled..])? {
                    0 => break,
                    count => filled += count,
                }
            }
            if filled == 0 {
                break;
            }
            for piece in self.buffer[..filled].chunks(HOLE) {
                ends_in_hole = piece.len() == HOLE && piece.iter().all(|byte| *byte == 0);
                let written = match ends_in_hole {
                    true => file.seek(SeekFrom::Current(HOLE as i64)).map(drop),
                    false => file.write_all(piece),
                };
                written.map_err(failed(entry, "write the file"))?;
            }
        }
        if ends_in_hole {
            file.set_len(entry.size).map_err(failed(entry, "write the file"))?;
        }
        self.set_attributes(file.as_fd(), entry)?;
        set_time(file.as_fd(), entry.mtime).map_err(failed(entry, "set the time of"))
    }

    /// Writes the data of a file with holes to where it goes.
    fn pieces<S: Source>(
        &mut self,
        archive: &mut Archive<S>,
        file: &std::fs::File,
        sparse: &Sparse,
        entry: &Entry,
    ) -> Result<(), ExtractError> {
        for piece in &sparse.pieces {
            let mut done = 0;
            while done < piece.length {
                let most = usize::try_from(piece.length - done).unwrap_or(usize::MAX).min(self.buffer.len());
                let count = archive.read_data(&mut self.buffer[..most])?;
                let written = file.write_all_at(&self.buffer[..count], piece.offset + done);
                written.map_err(failed(entry, "write the file"))?;
                done += count as u64;
            }
        }
        file.set_len(sparse.length).map_err(failed(entry, "write the file"))
    }

    /// The target is an earlier entry, or what was there; it is found as an entry's place is, and never a directory.
    fn hard_link(&mut self, parent: &OwnedFd, name: &OsStr, entry: &Entry) -> Result<(), ExtractError> {
        let wrong = |reason| ExtractError::Name { entry: shown(&entry.path), reason };
        let target = self.path(&entry.link).map_err(|_reason| wrong("is a hard link that leads out of the place"))?;
        let (Some(holder), Some(last)) = (target.parent(), target.file_name()) else {
            return Err(wrong("is a hard link to the place itself"));
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let holder = resolve::open_no_links(self.place.directory, holder, flags, Mode::empty());
        let holder = holder.map_err(failed(entry, "open the directory of the target of"))?;
        let target = resolve::open_no_links(&holder, last, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty());
        match target {
            // A device that was left out leaves out its other names.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.done.devices_left_out > 0 => {
                self.done.devices_left_out += 1;
                return Ok(());
            }
            other => drop(other.map_err(failed(entry, "find the target of"))?),
        }
        make_room(parent, name, entry)?;
        rustix::fs::linkat(&holder, last, parent, name, AtFlags::empty()).map_err(failed(entry, "make the hard link"))
    }

    /// Owner, mode and time of a link, a device or a FIFO.
    fn finish_unopened(&self, parent: &OwnedFd, name: &OsStr, entry: &Entry) -> Result<(), ExtractError> {
        let node = resolve::open_no_links(parent, name, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty());
        let node = node.map_err(failed(entry, "open"))?;
        self.set_owner(node.as_fd(), entry)?;
        let made = rustix::fs::fstat(&node).map_err(failed(entry, "look at"))?.st_mode & 0o777;
        // What the caller's umask took away.
        if entry.kind != Kind::Symlink && made != entry.mode & 0o777 {
            resolve::change_mode(&node, Mode::from_raw_mode(entry.mode & 0o777))
                .map_err(failed(entry, "set the mode of"))?;
        }
        set_time(node.as_fd(), entry.mtime).map_err(failed(entry, "set the time of"))
    }

    /// The ids on the disk.
    fn owner(&self, entry: &Entry) -> Result<(u32, u32), ExtractError> {
        match self.place.ownership {
            Ownership::Fixed(uid, gid) => Ok((uid, gid)),
            Ownership::Archive(owners) => {
                let Entry { uid, gid, .. } = *entry;
                let none = || ExtractError::NoSuchOwner { entry: shown(&entry.path), uid, gid };
                owners.outside(uid, gid).ok_or_else(none)
            }
        }
    }

    fn set_owner(&self, fd: BorrowedFd<'_>, entry: &Entry) -> Result<(), ExtractError> {
        let (uid, gid) = self.owner(entry)?;
        rustix::fs::chownat(fd, "", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::EMPTY_PATH)
            .map_err(failed(entry, "set the owner of"))
    }

    /// Owner, mode and extended attributes, in the order in which none takes away another.
    fn set_attributes(&self, fd: BorrowedFd<'_>, entry: &Entry) -> Result<(), ExtractError> {
        self.set_owner(fd, entry)?;
        let mut mode = entry.mode & 0o7777;
        if self.place.keep == Keep::Harmless && entry.kind == Kind::File {
            mode &= 0o1777;
        }
        rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)).map_err(failed(entry, "set the mode of"))?;
        for (name, value) in entry.xattrs.iter().filter(|(name, _)| attributes::is_packed(name)) {
            let value = match (self.place.keep, self.place.ownership) {
                (Keep::Harmless, _) if !name.starts_with(b"user.") => continue,
                (_, Ownership::Archive(owners)) => owners.attribute_outside(name, value.clone()).ok_or_else(|| {
                    ExtractError::NoSuchOwner { entry: shown(&entry.path), uid: entry.uid, gid: entry.gid }
                })?,
                _ => value.clone(),
            };
            match rustix::fs::fsetxattr(fd, &name[..], &value, XattrFlags::empty()) {
                // A file system without them, as GNU cp has it.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(failed(entry, "set an extended attribute of")(errno)),
            }
        }
        Ok(())
    }

    fn set_times(&self) -> Result<(), ExtractError> {
        for (path, time) in &self.times {
            let step = |source| ExtractError::Step {
                entry: shown(path.as_os_str().as_bytes()),
                step: "set the time of",
                source,
            };
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            match resolve::open_no_links(self.place.directory, path, flags, Mode::empty()) {
                Ok(directory) => set_time(directory.as_fd(), *time).map_err(step)?,
                // Others changed the tree meanwhile.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {}
                Err(error) => return Err(step(error)),
            }
        }
        Ok(())
    }
}

/// Takes away what is no directory.
fn make_room(parent: &OwnedFd, name: &OsStr, entry: &Entry) -> Result<(), ExtractError> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => {
            let entry = shown(&entry.path);
            Err(ExtractError::InTheWay { entry, there: "directory", new: "non-directory" })
        }
        Err(errno) => Err(failed(entry, "replace")(errno)),
    }
}

fn set_time(fd: BorrowedFd<'_>, (seconds, nanoseconds): (i64, u32)) -> io::Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(fd, "", &times, AtFlags::EMPTY_PATH)?)
}
