//! The files of a log: the one that is written has the log's name, the one before it the suffix `.1`, the one before that `.2`.
//!
//! A reader that has a file open finds the next one by its number, which only grows. So files are renamed beginning with the
//! oldest, the one with the log's name is linked to `.1` before a new one replaces it, so that the name is always there, and no file
//! is ever truncated: what was deleted can still be read by who has it open.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::num::NonZeroU32;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Where a log is, and how many files it may have.
#[derive(Debug)]
pub(super) struct Place {
    folder: OwnedFd,
    name: OsString,
    most: NonZeroU32,
}

impl Place {
    /// The log at `path`.
    ///
    /// # Errors
    /// As `open(2)` for its folder; `EINVAL` if the path ends in no name.
    pub(super) fn open(path: &Path, most: NonZeroU32) -> io::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(Errno::INVAL.into()) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(CWD, parent, flags, Mode::empty())?;
        Ok(Self { folder, name: name.to_owned(), most })
    }

    /// Opens the file that is to be written on, and tells how long it is.
    ///
    /// # Errors
    /// As `open(2)`; `EINVAL` for what is no regular file.
    pub(super) fn file(&self) -> io::Result<(File, u64)> {
        let file = self.open_file(&self.name, OFlags::CREATE)?;
        let stat = rustix::fs::fstat(&file)?;
        let twin = self.stat(&self.numbered(1))?;
        if twin.is_some_and(|twin| (twin.st_dev, twin.st_ino) == (stat.st_dev, stat.st_ino)) {
            // Who was at it was killed between the two steps: this is the second.
            return Ok((self.replace()?, 0));
        }
        Ok((File::from(file), stat.st_size as u64))
    }

    /// Puts a new, empty file in the place of the one that was written so far.
    ///
    /// # Errors
    /// As `rename(2)`, `link(2)` and `open(2)`. The file with the log's name is then the one that it was.
    pub(super) fn rotate(&self) -> io::Result<File> {
        let last = self.most.get() - 1;
        if last > 0 {
            // A number that is free, as a killed monitor leaves it, need not be made free.
            let mut free = 1;
            while free < last && self.stat(&self.numbered(free))?.is_some() {
                free += 1;
            }
            for number in (1..free).rev() {
                rustix::fs::renameat(&self.folder, self.numbered(number), &self.folder, self.numbered(number + 1))?;
            }
            // Only with two files the place may be taken still.
            self.remove(&self.numbered(1))?;
            rustix::fs::linkat(&self.folder, &self.name, &self.folder, self.numbered(1), AtFlags::empty())?;
        }
        self.replace()
    }

    /// Renames a new file over the one with the log's name.
    fn replace(&self) -> io::Result<File> {
        let mut draft = self.name.clone();
        draft.push(".new");
        self.remove(&draft)?;
        let file = self.open_file(&draft, OFlags::CREATE | OFlags::EXCL)?;
        rustix::fs::renameat(&self.folder, &draft, &self.folder, &self.name)?;
        Ok(File::from(file))
    }

    fn numbered(&self, number: u32) -> OsString {
        let mut name = self.name.clone();
        name.push(format!(".{number}"));
        name
    }

    fn stat(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn open_file(&self, name: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::RDWR | OFlags::APPEND;
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.folder, name, flags, Mode::RUSR | Mode::WUSR)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(Errno::INVAL.into());
        }
        Ok(fd)
    }
}
