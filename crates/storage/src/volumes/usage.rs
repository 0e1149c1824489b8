//! How much the files of a tree have, while containers change it.

use std::collections::HashSet;
use std::io;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// How many folders below each other are looked into: as many descriptors are open at once.
const DEEPEST: usize = 256;
/// How many files with several names are remembered: a container can make more, and they are then counted by name.
const MOST_LINKED: usize = 1 << 20;

/// The sum of the sizes of all files below `top`, each counted once. Neither links nor other mounts are followed, and what is
/// gone before it was looked at counts as nothing.
pub(super) fn bytes(top: OwnedFd) -> io::Result<u64> {
    let mut seen = HashSet::new();
    let mut sum = 0;
    let mut open = vec![Dir::new(top)?];
    loop {
        let depth = open.len();
        let Some(folder) = open.last_mut() else { break };
        let Some(entry) = folder.next() else {
            open.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let here = folder.fd()?;
        let stat = match rustix::fs::statat(here.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno.into()),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if depth < DEEPEST => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let stay = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
                match rustix::fs::openat2(here, name, flags, Mode::empty(), stay) {
                    Ok(below) => open.push(Dir::new(below)?),
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::AGAIN) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            FileType::Directory => {}
            _ if stat.st_nlink > 1 && seen.contains(&(stat.st_dev, stat.st_ino)) => {}
            _ => {
                if stat.st_nlink > 1 && seen.len() < MOST_LINKED {
                    seen.insert((stat.st_dev, stat.st_ino));
                }
                sum += u64::try_from(stat.st_size).unwrap_or_default();
            }
        }
    }
    Ok(sum)
}
