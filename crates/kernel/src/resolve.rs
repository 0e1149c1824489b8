//! Resolving paths inside a directory that may be hostile.
//!
//! The content of a container's root file system, and of every volume that it shares, is chosen by code that is
//! not trusted and may change while it is looked at. The kernel alone can resolve a path in it without a race:
//! `openat2(2)` (Linux 5.6) with `RESOLVE_IN_ROOT` treats the directory as `/`, so that absolute links and `..`
//! stay below it, and refuses magic links. Every function here returns a descriptor; whoever has one never
//! goes back to the path. This is the class of CVE-2018-15664, 2021-30465, 2024-45310 and some twenty others.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use crate::procfs::Procfs;
use crate::sys::check;

/// `fchmodat2(2)`: the same number on every architecture.
const SYS_FCHMODAT2: libc::c_long = 452;

/// How often a resolution is tried again that the kernel broke off because of a concurrent rename or mount.
const RETRIES: u32 = 128;

/// Opens `path` inside `root`, as a process with that root directory would, with magic links refused.
///
/// # Errors
/// As `openat2(2)`: `ELOOP` at a magic link, `ENOENT`, ...; `EAGAIN` when 128 tries in a row met a concurrent rename.
pub fn open_in_root(root: impl AsFd, path: impl AsRef<Path>, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    open(root, path.as_ref(), flags, mode, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Opens `path` below `root`, refusing every symbolic link on the way: for files that the runtime itself writes.
///
/// # Errors
/// As [`open_in_root`]; `ELOOP` at any symbolic link, `EXDEV` if the path leaves `root`.
pub fn open_no_links(root: impl AsFd, path: impl AsRef<Path>, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
    let path = path.as_ref();
    let relative = path.strip_prefix("/").unwrap_or(path);
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    open(root, relative, flags, mode, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
}

/// `openat2` tried again while the kernel answers EAGAIN, which it does when a rename or mount raced a `..`.
fn open(root: impl AsFd, path: &Path, flags: OFlags, mode: Mode, resolve: ResolveFlags) -> io::Result<OwnedFd> {
    for _ in 0..RETRIES {
        match rustix::fs::openat2(root.as_fd(), path, flags | OFlags::CLOEXEC, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Opens the directory `path` inside `root` as an `O_PATH` descriptor, making what is missing with mode `mode`.
///
/// A missing component is made in the descriptor of its parent, then opened without following links, so a link
/// that is swapped in meanwhile is an error and nothing is ever made outside `root` (CVE-2024-45310).
///
/// # Errors
/// As `openat2(2)` and `mkdirat(2)`; `ELOOP` for a dangling link. Directories made before the error stay.
pub fn make_directories(root: impl AsFd, path: impl AsRef<Path>, mode: Mode) -> io::Result<OwnedFd> {
    let (root, path) = (root.as_fd(), path.as_ref());
    // Mostly all or all but the last is there: from the end on it takes the fewest system calls.
    let climbs = path.components().any(|component| component == Component::ParentDir);
    match open_in_root(root, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
        result => return result,
    }
    match split(path) {
        Ok((parent, name)) if !climbs => make_one(&make_directories(root, parent, mode)?, name, mode),
        _ => make_each(root, path, mode),
    }
}

/// Makes what is missing of `path` from its beginning on: what `..` means is known only when what is before it was made.
fn make_each(root: BorrowedFd<'_>, path: &Path, mode: Mode) -> io::Result<OwnedFd> {
    let directory = OFlags::PATH | OFlags::DIRECTORY;
    let mut here = open_in_root(root, "/", directory, Mode::empty())?;
    let mut resolved = std::path::PathBuf::from("/");
    for component in path.components() {
        let Component::Normal(name) = component else {
            if component == Component::ParentDir {
                // Resolved by the kernel from the root, so that it can not climb out.
                resolved.push("..");
                here = open_in_root(root, &resolved, directory, Mode::empty())?;
            }
            continue;
        };
        resolved.push(name);
        here = match open_in_root(root, &resolved, directory, Mode::empty()) {
            Ok(next) => next,
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => make_one(&here, name, mode)?,
            Err(error) => return Err(error),
        };
    }
    Ok(here)
}

/// Makes and opens the directory `name` in `parent`; one that another process made meanwhile is as good.
fn make_one(parent: &OwnedFd, name: &OsStr, mode: Mode) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(parent, name, mode) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    open_no_links(parent, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
}

/// Splits `path` into its parent and last name.
///
/// # Errors
/// `EINVAL` if it has no last name (`/`, `..`, the empty path).
pub fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, name)),
        _ => Err(Errno::INVAL.into()),
    }
}

/// Opens `path` inside `root` as an `O_PATH` descriptor of something that is not a directory, making an empty
/// regular file (mode 0644) and its parents (mode 0755) where nothing is: the target of a file's bind mount.
///
/// # Errors
/// As [`make_directories`]; `EISDIR` if a directory stands there, `ELOOP` for a dangling link.
pub fn make_file(root: impl AsFd, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
    let path = path.as_ref();
    match open_in_root(&root, path, OFlags::PATH, Mode::empty()) {
        Ok(file) => return refuse_directory(file),
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
        Err(error) => return Err(error),
    }
    let (parent, name) = split(path)?;
    let parent = make_directories(&root, parent, Mode::from_raw_mode(0o755))?;
    // mknodat makes the file without opening it, so an existing FIFO or device is never opened.
    match rustix::fs::mknodat(&parent, name, FileType::RegularFile, Mode::from_raw_mode(0o644), 0) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    refuse_directory(open_no_links(&parent, name, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?)
}

/// `EISDIR` for a directory.
fn refuse_directory(file: OwnedFd) -> io::Result<OwnedFd> {
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::Directory => Err(Errno::ISDIR.into()),
        FileType::Symlink => Err(Errno::LOOP.into()),
        _ => Ok(file),
    }
}

/// Whether `fd` is the character device `major`:`minor`: what must hold before an image's `/dev/null` is trusted
/// (CVE-2025-31133, CVE-2026-88265).
///
/// # Errors
/// As `fstat(2)`.
pub fn is_character_device(fd: impl AsFd, major: u32, minor: u32) -> io::Result<bool> {
    let stat = rustix::fs::fstat(fd)?;
    let wanted = rustix::fs::makedev(major, minor);
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == wanted)
}

/// Changes the permission bits of what `fd` is open on, also of an `O_PATH` descriptor, which `fchmod(2)` does not take: a name
/// that was checked must not be resolved once more for it.
///
/// By `fchmodat2(2)` (Linux 6.6), before that through the descriptor's magic link in a `/proc` that is procfs.
///
/// # Errors
/// As `chmod(2)`; `ENOTSUP` on an older kernel if `/proc` is not procfs.
pub fn change_mode(fd: impl AsFd, mode: Mode) -> io::Result<()> {
    let number = std::os::fd::AsRawFd::as_raw_fd(&fd.as_fd());
    let flags = libc::AT_EMPTY_PATH;
    // SAFETY: the path ends in zero; the call reads nothing else of ours.
    let changed = unsafe { libc::syscall(SYS_FCHMODAT2, number, c"".as_ptr(), mode.bits(), flags) };
    match check(changed) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
            change_mode_through_procfs(fd, mode)
        }
        result => result.map(|_| ()),
    }
}

/// The older way.
fn change_mode_through_procfs(fd: impl AsFd, mode: Mode) -> io::Result<()> {
    let procfs = Procfs::host()?;
    let link = format!("thread-self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd.as_fd()));
    Ok(rustix::fs::chmodat(procfs.as_fd(), link, mode, AtFlags::empty())?)
}

/// The path by which the kernel knows `fd` right now (`/proc/self/fd/N`), for messages only.
#[must_use]
pub fn describe(fd: impl AsFd) -> String {
    use std::os::fd::AsRawFd;
    let link = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    match rustix::fs::readlink(&link, Vec::new()) {
        Ok(path) => OsStr::from_bytes(path.as_bytes()).to_string_lossy().into_owned(),
        Err(_) => link,
    }
}

/// Removes the tree `name` in `parent` without following links and without crossing into another mount. A tree of any depth
/// is removed with a bounded stack and some dozens of descriptors: a container can nest directories deeper than either.
///
/// # Errors
/// The first error met; what could be removed is removed all the same. A missing tree is no error.
pub fn remove_tree(parent: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<()> {
    let (parent, name) = (parent.as_fd(), name.as_ref());
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let top = open_to_empty(parent, name)?;
    let mut removal = Removal { top: top.as_fd(), moved: 0, first: None };
    loop {
        let before = removal.moved;
        removal.empty(top.as_fd(), 0);
        // What was moved up is what is left for the next round; it has less below it than what it came from.
        if removal.moved == before {
            break;
        }
    }
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => removal.first.map_or(Ok(()), Err),
        Err(error) => Err(removal.first.unwrap_or_else(|| error.into())),
    }
}

/// How many directories below each other are emptied one within the other.
const DEEPEST_REMOVAL: usize = 32;

/// Opens the directory `name` in `parent`, if it is on the same mount.
fn open_to_empty(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    Ok(rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve)?)
}

/// The removal of one tree.
struct Removal<'fd> {
    /// The root of the tree.
    top: BorrowedFd<'fd>,
    /// How many directories were moved up to it.
    moved: u64,
    /// The first error.
    first: Option<io::Error>,
}

impl Removal<'_> {
    /// Removes what is in `directory`, which is `depth` below the top.
    fn empty(&mut self, directory: BorrowedFd<'_>, depth: usize) {
        let entries = match rustix::fs::Dir::read_from(directory) {
            Ok(entries) => entries,
            Err(error) => return self.note(error.into()),
        };
        for entry in entries {
            match entry {
                Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Ok(entry) => {
                    if let Err(error) = self.remove(directory, OsStr::from_bytes(entry.file_name().to_bytes()), depth) {
                        self.note(error);
                    }
                }
                Err(error) => return self.note(error.into()),
            }
        }
    }

    fn remove(&mut self, parent: BorrowedFd<'_>, name: &OsStr, depth: usize) -> io::Result<()> {
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        if depth == DEEPEST_REMOVAL {
            return self.move_up(parent, name);
        }
        let directory = open_to_empty(parent, name)?;
        self.empty(directory.as_fd(), depth + 1);
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves the directory `name` of `parent` to the top, under a name that nothing has there.
    fn move_up(&mut self, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        loop {
            self.moved += 1;
            let new = format!(".removed-{}", self.moved);
            match rustix::fs::renameat_with(parent, name, self.top, new, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                Err(error) => {
                    // Nothing was moved, so there is no reason for another round.
                    self.moved -= 1;
                    return Err(error.into());
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    fn note(&mut self, error: io::Error) {
        self.first.get_or_insert(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn directory() -> (tempfile::TempDir, OwnedFd) {
        let temporary = tempfile::tempdir().unwrap();
        let fd = rustix::fs::open(temporary.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        (temporary, fd)
    }

    #[test]
    fn links_and_dots_stay_inside() {
        let (temporary, root) = directory();
        symlink("/", temporary.path().join("absolute")).unwrap();
        symlink("../../../..", temporary.path().join("climb")).unwrap();
        std::fs::create_dir(temporary.path().join("etc")).unwrap();
        for path in ["absolute/etc", "climb/etc", "../../etc", "/etc"] {
            let found = open_in_root(&root, path, OFlags::PATH, Mode::empty()).unwrap();
            assert_eq!(describe(&found), temporary.path().join("etc").to_string_lossy(), "{path}");
        }
    }

    #[test]
    fn magic_links_are_refused() {
        let (temporary, root) = directory();
        std::fs::create_dir(temporary.path().join("a")).unwrap();
        let proc_root = rustix::fs::open("/proc/self", OFlags::PATH, Mode::empty()).unwrap();
        assert!(open_in_root(&proc_root, "root/etc", OFlags::PATH, Mode::empty()).is_err());
        assert!(open_in_root(&root, "a", OFlags::PATH, Mode::empty()).is_ok());
    }

    #[test]
    fn a_dangling_link_makes_nothing_outside() {
        let (temporary, root) = directory();
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path().join("victim"), temporary.path().join("link")).unwrap();
        assert!(make_directories(&root, "link/x", Mode::from_raw_mode(0o755)).is_err());
        assert!(make_file(&root, "link").is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn missing_parts_are_made_below() {
        let (temporary, root) = directory();
        symlink("/real", temporary.path().join("link")).unwrap();
        std::fs::create_dir(temporary.path().join("real")).unwrap();
        make_directories(&root, "/link/a/../b/c", Mode::from_raw_mode(0o755)).unwrap();
        assert!(temporary.path().join("real/b/c").is_dir());
        let made = make_directories(&root, "//link/d/./e/f/", Mode::from_raw_mode(0o750)).unwrap();
        assert_eq!(describe(&made), temporary.path().join("real/d/e/f").to_string_lossy());
        assert!(make_directories(&root, "", Mode::from_raw_mode(0o755)).is_ok());
        std::fs::write(temporary.path().join("file"), "").unwrap();
        assert!(make_directories(&root, "file/below", Mode::from_raw_mode(0o755)).is_err());
        make_file(&root, "/link/f/g").unwrap();
        assert!(temporary.path().join("real/f/g").is_file());
        assert!(make_file(&root, "/link/f").is_err());
    }

    #[test]
    fn the_mode_is_changed_by_the_descriptor() {
        use std::os::unix::fs::PermissionsExt;
        let (temporary, root) = directory();
        let mode = |name: &str| temporary.path().join(name).metadata().unwrap().permissions().mode() & 0o7777;
        let ways: [fn(&OwnedFd, Mode) -> io::Result<()>; 2] =
            [|fd, mode| change_mode(fd, mode), |fd, mode| change_mode_through_procfs(fd, mode)];
        for change in ways {
            std::fs::write(temporary.path().join("file"), "").unwrap();
            let file = open_in_root(&root, "file", OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()).unwrap();
            // The name leads elsewhere meanwhile.
            std::fs::rename(temporary.path().join("file"), temporary.path().join("moved")).unwrap();
            std::fs::write(temporary.path().join("file"), "").unwrap();
            let before = mode("file");
            change(&file, Mode::from_raw_mode(0o4705)).unwrap();
            assert_eq!((mode("moved"), mode("file")), (0o4705, before));
        }
    }

    #[test]
    fn trees_are_removed_and_links_are_not_followed() {
        let (temporary, root) = directory();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("kept"), "x").unwrap();
        std::fs::create_dir_all(temporary.path().join("t/u")).unwrap();
        symlink(outside.path(), temporary.path().join("t/u/link")).unwrap();
        remove_tree(&root, "t").unwrap();
        assert!(!temporary.path().join("t").exists());
        assert!(outside.path().join("kept").exists());
        remove_tree(&root, "t").unwrap();
    }

    /// A container can nest directories without end, by changing into each and making the next.
    #[test]
    fn a_tree_deeper_than_any_path_is_removed() {
        // In memory where that is possible: a disk takes its time for so many directories.
        let temporary = tempfile::tempdir_in("/dev/shm").or_else(|_none| tempfile::tempdir()).unwrap();
        let root = rustix::fs::open(temporary.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let mut here = rustix::fs::openat(&root, ".", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..20_000 {
            rustix::fs::mkdirat(&here, "d", Mode::from_raw_mode(0o700)).unwrap();
            rustix::fs::mknodat(&here, "f", FileType::RegularFile, Mode::from_raw_mode(0o600), 0).unwrap();
            here = rustix::fs::openat(&here, "d", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        drop(here);
        for number in 1..5 {
            std::fs::create_dir(temporary.path().join(format!("d/.removed-{number}"))).unwrap();
        }
        remove_tree(&root, "d").unwrap();
        assert!(!temporary.path().join("d").exists());
        assert!(temporary.path().join("f").exists());
    }
}
