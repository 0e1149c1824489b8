//! The engine's own files: written as a whole, read up to a bound.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

/// No file of ours is larger.
const LARGEST: u64 = 16 << 20;
/// What nearly every one of them is smaller than.
const USUAL: usize = 8 << 10;

/// A failed action on a file of the engine's.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was attempted.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`.
    pub(crate) fn at<E: Into<io::Error>>(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(E) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self { action, path, source: source.into() }
    }

    /// Whether there is no room for it, or the disk is read-only.
    pub(crate) fn is_no_room(&self) -> bool {
        let errno = Errno::from_io_error(&self.source);
        errno.is_some_and(|errno| [Errno::NOSPC, Errno::DQUOT, Errno::ROFS].contains(&errno))
    }
}

/// Opens a folder for what is in it; a link as last name is refused.
pub(crate) fn open_folder(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Makes a folder that only its owner can enter.
pub(crate) fn make_folder(path: &Path) -> Result<(), Errno> {
    rustix::fs::mkdirat(CWD, path, Mode::RWXU)
}

/// Makes the file `name` in `folder`, which must not have one, with `content` on the disk.
pub(crate) fn write_new(folder: BorrowedFd<'_>, name: &str, content: &[u8], mode: u32) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(mode))?;
    // Not the mode that the caller's umask leaves.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    fill(file, content)
}

/// Replaces the file `name` in `folder` by `content`: written beside, synchronised, renamed, so that a reader never sees half of
/// it. The caller holds the lock of the folder.
pub(crate) fn replace(folder: BorrowedFd<'_>, name: &str, content: &[u8]) -> io::Result<()> {
    let new = format!("{name}.new");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fill(rustix::fs::openat(folder, &new, flags, Mode::RUSR | Mode::WUSR)?, content)?;
    Ok(rustix::fs::renameat(folder, &new, folder, name)?)
}

fn fill(file: OwnedFd, content: &[u8]) -> io::Result<()> {
    let mut file = File::from(file);
    file.write_all(content)?;
    file.sync_data()
}

/// The content of the file `name` in `folder`; `None` if there is none.
pub(crate) fn read(folder: BorrowedFd<'_>, name: &str) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(folder.as_fd(), name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let mut begin = [0; USUAL];
    let length = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut begin))?;
    let mut content = begin[..length].to_vec();
    // Less is read of a file only at its end (`read(2)`), so that most are read by one call.
    if length == USUAL {
        File::from(file).take(LARGEST + 1 - length as u64).read_to_end(&mut content)?;
    }
    if content.len() as u64 > LARGEST {
        return Err(Errno::FBIG.into());
    }
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_made_once() {
        let place = tempfile::tempdir().unwrap();
        let folder = open_folder(place.path()).unwrap();
        assert_eq!(read(folder.as_fd(), "a").unwrap(), None);
        replace(folder.as_fd(), "a", b"one").unwrap();
        // What a killed command left beside is in nobody's way.
        std::fs::write(place.path().join("a.new"), "a longer text than that").unwrap();
        replace(folder.as_fd(), "a", b"two").unwrap();
        assert_eq!(read(folder.as_fd(), "a").unwrap().as_deref(), Some(&b"two"[..]));
        write_new(folder.as_fd(), "b", b"", 0o644).unwrap();
        assert_eq!(std::fs::metadata(place.path().join("b")).unwrap().permissions().mode() & 0o777, 0o644);
        assert!(write_new(folder.as_fd(), "b", b"", 0o644).is_err());
        std::os::unix::fs::symlink("/etc/passwd", place.path().join("c")).unwrap();
        assert!(read(folder.as_fd(), "c").is_err());
    }
}
