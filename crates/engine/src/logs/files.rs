//! The files of a log, found one from the other while they are renamed.
//!
//! The file that is written has the log's name, the one before it the suffix `.1`, and so on. A monitor that starts a new file renames
//! the oldest first, links the log's name to `.1`, and only then puts the new file in its place (`stockade-monitor`). So the number of a
//! file that a reader has open only grows, at most one number is missing at a time, and two files that are neighbours stay so. Each
//! step here is checked afterwards, and done anew if a rename came in between; nobody waits for anybody.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::fd::BorrowedFd;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// How often a step is tried: each time a whole rotation must have come in between.
const TRIES: usize = 1000;

/// A log's files.
#[derive(Debug)]
pub(super) struct Files<'a> {
    folder: BorrowedFd<'a>,
    name: OsString,
}

/// What follows a file.
#[derive(Debug)]
pub(super) enum After {
    /// Nothing: it is the newest.
    Nothing,
    /// This one.
    Next(File),
    /// It is there no more, and others may have come and gone after it: the oldest of those that are there.
    Lost(File),
}

/// Which file: the file system and the number there.
type Identity = (u64, u64);

impl<'a> Files<'a> {
    pub(super) fn new(folder: BorrowedFd<'a>, name: &str) -> Self {
        Self { folder, name: name.into() }
    }

    /// The file that is written; `None` if there is none.
    pub(super) fn newest(&self) -> io::Result<Option<File>> {
        self.open(0)
    }

    /// The oldest file.
    pub(super) fn oldest(&self) -> io::Result<Option<File>> {
        let Some(mut file) = self.newest()? else { return Ok(None) };
        while let Some(before) = self.before(&file)? {
            file = before;
        }
        Ok(Some(file))
    }

    /// The file before `file`; `None` if there is none, or if `file` itself is there no more.
    pub(super) fn before(&self, file: &File) -> io::Result<Option<File>> {
        let this = identity(file)?;
        for _ in 0..TRIES {
            let Some(number) = self.number(this)? else { return Ok(None) };
            let mut found = None;
            let mut skipped = Vec::new();
            for other in number + 1..=number + 2 {
                match self.open(other)? {
                    Some(before) if identity(&before)? != this => {
                        found = Some(before);
                        break;
                    }
                    // The log's name and `.1` are the same file for a moment.
                    Some(_) => {}
                    None => skipped.push(other),
                }
            }
            if self.still(number, this, &skipped)? {
                return Ok(found);
            }
        }
        Err(too_fast())
    }

    /// What comes after `file`.
    pub(super) fn after(&self, file: &File) -> io::Result<After> {
        let this = identity(file)?;
        for _ in 0..TRIES {
            let Some(number) = self.number(this)? else {
                return Ok(self.oldest()?.map_or(After::Nothing, After::Lost));
            };
            if number == 0 {
                return Ok(After::Nothing);
            }
            let mut found = None;
            let mut skipped = Vec::new();
            for other in (0..number).rev() {
                found = self.open(other)?;
                if found.is_some() {
                    break;
                }
                skipped.push(other);
            }
            if self.still(number, this, &skipped)? {
                return Ok(found.map_or(After::Nothing, After::Next));
            }
        }
        Err(too_fast())
    }

    /// Whether `this` still has `number`, and the numbers `missing` are still free.
    fn still(&self, number: u32, this: Identity, missing: &[u32]) -> io::Result<bool> {
        for other in missing {
            if self.stat(*other)?.is_some() {
                return Ok(false);
            }
        }
        Ok(self.stat(number)? == Some(this))
    }

    /// The number of the file `this`. It is looked for upwards, as it goes itself.
    fn number(&self, this: Identity) -> io::Result<Option<u32>> {
        let mut missing = 0;
        for number in 0.. {
            match self.stat(number)? {
                Some(found) if found == this => return Ok(Some(number)),
                Some(_) => missing = 0,
                None => missing += 1,
            }
            if missing == 2 {
                break;
            }
        }
        Ok(None)
    }

    fn path(&self, number: u32) -> OsString {
        let mut name = self.name.clone();
        if number > 0 {
            name.push(format!(".{number}"));
        }
        name
    }

    fn stat(&self, number: u32) -> io::Result<Option<Identity>> {
        match rustix::fs::statat(self.folder, self.path(number), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some((stat.st_dev, stat.st_ino))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn open(&self, number: u32) -> io::Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(self.folder, self.path(number), flags, Mode::empty()) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn identity(file: &File) -> io::Result<Identity> {
    file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn too_fast() -> io::Error {
    io::Error::other("the log's files are replaced faster than they can be opened; give it a larger max-size")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::path::Path;

    fn text(mut file: File) -> String {
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text
    }

    fn put(folder: &Path, names: &[(&str, &str)]) {
        for (name, content) in names {
            std::fs::write(folder.join(name), content).unwrap();
        }
    }

    #[test]
    fn neighbours_are_found_whatever_is_being_renamed() {
        let place = tempfile::tempdir().unwrap();
        let folder = std::fs::File::open(place.path()).unwrap();
        let files = Files::new(folder.as_fd(), "log");
        assert!(files.newest().unwrap().is_none() && files.oldest().unwrap().is_none());
        put(place.path(), &[("log", "c"), ("log.1", "b"), ("log.2", "a")]);
        let oldest = files.oldest().unwrap().unwrap();
        let After::Next(second) = files.after(&oldest).unwrap() else { panic!() };
        let After::Next(third) = files.after(&second).unwrap() else { panic!() };
        assert!(matches!(files.after(&third).unwrap(), After::Nothing));
        // Half of a rotation: .2 and .1 have moved, the log's name has not.
        std::fs::rename(place.path().join("log.2"), place.path().join("log.3")).unwrap();
        std::fs::rename(place.path().join("log.1"), place.path().join("log.2")).unwrap();
        let After::Next(still) = files.after(&second).unwrap() else { panic!() };
        assert_eq!(text(still), "c");
        assert_eq!(text(files.before(&third).unwrap().unwrap()), "b");
        assert_eq!(text(files.oldest().unwrap().unwrap()), "a");
        // The link is there, the new file not yet.
        std::fs::hard_link(place.path().join("log"), place.path().join("log.1")).unwrap();
        assert!(matches!(files.after(&third).unwrap(), After::Nothing));
        assert_eq!(text(files.before(&third).unwrap().unwrap()), "b");
        put(place.path(), &[("new", "d")]);
        std::fs::rename(place.path().join("new"), place.path().join("log")).unwrap();
        let After::Next(fourth) = files.after(&third).unwrap() else { panic!() };
        assert_eq!(text(fourth), "d");
        // The file that was read last is gone: the reader is told.
        std::fs::remove_file(place.path().join("log.3")).unwrap();
        let After::Lost(next) = files.after(&oldest).unwrap() else { panic!() };
        assert_eq!((text(oldest), text(next)), ("a".into(), "b".into()));
        assert!(files.before(&second).unwrap().is_none());
    }
}
