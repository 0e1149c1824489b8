//! How much disk a tree takes.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use rustix::fd::BorrowedFd;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// How deep directories are looked into, each of which holds a descriptor. What is below is not counted: honest trees have
/// some fifty levels, and whoever nests deeper hides nothing but his own bytes.
const DEEPEST: usize = 256;
/// How many files with several names are remembered, each of which counts once. More count each time.
const MOST_LINKS: usize = 1 << 20;

/// The bytes that the disk holds for the tree at `folder`, without following links or looking into other mounts. Files that come
/// and go meanwhile count or do not. `folder` itself is a path of our own; names below it may be a stranger's.
///
/// # Errors
/// If a directory cannot be opened or read, other than because it is gone.
pub fn usage(folder: &Path) -> io::Result<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = match rustix::fs::openat(CWD, folder, flags, Mode::empty()) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let device = rustix::fs::fstat(&top)?.st_dev;
    let mut walk = Walk { device, bytes: 0, linked: HashSet::new() };
    walk.directory(rustix::fd::AsFd::as_fd(&top), 0)?;
    Ok(walk.bytes)
}

struct Walk {
    device: u64,
    bytes: u64,
    linked: HashSet<u64>,
}

impl Walk {
    fn directory(&mut self, directory: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            if stat.st_dev != self.device {
                continue;
            }
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if stat.st_nlink > 1 && !is_directory && self.linked.len() < MOST_LINKS && !self.linked.insert(stat.st_ino)
            {
                continue;
            }
            self.bytes = self.bytes.saturating_add(stat.st_blocks.cast_unsigned().saturating_mul(512));
            if is_directory && depth < DEEPEST {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                match rustix::fs::openat(directory, name, flags, Mode::empty()) {
                    Ok(inner) => self.directory(rustix::fd::AsFd::as_fd(&inner), depth + 1)?,
                    // Gone, or something else by now.
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_once_and_links_lead_nowhere() {
        let place = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("large"), vec![1; 1 << 20]).unwrap();
        let top = place.path().join("top");
        std::fs::create_dir_all(top.join("a/b")).unwrap();
        std::fs::write(top.join("a/file"), vec![1; 64 << 10]).unwrap();
        let one = usage(&top).unwrap();
        assert!((64 << 10..512 << 10).contains(&one), "{one}");
        std::fs::hard_link(top.join("a/file"), top.join("a/b/again")).unwrap();
        std::os::unix::fs::symlink(outside.path(), top.join("out")).unwrap();
        let linked = usage(&top).unwrap();
        assert!(linked - one < 64 << 10, "{one} {linked}");
        assert_eq!(usage(&place.path().join("none")).unwrap(), 0);
        // A root that is a link is none of ours.
        std::os::unix::fs::symlink(outside.path(), place.path().join("link")).unwrap();
        assert!(usage(&place.path().join("link")).is_err());
    }

    #[test]
    fn no_tree_is_too_deep() {
        let place = tempfile::tempdir().unwrap();
        let mut here = rustix::fs::open(place.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..1000 {
            rustix::fs::mkdirat(&here, "d", Mode::from_raw_mode(0o700)).unwrap();
            here = rustix::fs::openat(&here, "d", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        usage(place.path()).unwrap();
        let root = rustix::fs::open(place.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        stockade_kernel::resolve::remove_tree(&root, "d").unwrap();
    }
}
