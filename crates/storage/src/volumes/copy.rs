//! Copying a folder of an image into a volume: everything as it is there but device nodes.
//!
//! Both trees belong to the caller alone and do not change meanwhile; what the image says in them is hostile all the same, so
//! every name is opened below its root without following a link. Device nodes are left out: on the host they would be real ones,
//! in a folder that outlives what confines the container.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use stockade_kernel::resolve;

/// The most bytes of names that are kept until the end: those of folders, and of files that have several names.
const MOST_NAMES: usize = 64 << 20;
/// The largest list of attributes, and the largest attribute, that Linux has.
const LARGEST_ATTRIBUTE: usize = 64 << 10;
/// How much is copied at once.
const PIECE: usize = 256 << 10;

/// Why a folder was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A file or folder in it.
    #[error("cannot {action} {name:?} of the image's content")]
    Entry {
        /// What was attempted.
        action: &'static str,
        /// The entry, escaped.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// More than is remembered.
    #[error("the image's content has too many folders and linked files to copy; mount the volume with nocopy")]
    TooMany,
}

/// For `map_err`.
fn failed<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> CopyError {
    let name = path.to_string_lossy().escape_debug().to_string();
    move |source| CopyError::Entry { action, name, source: source.into() }
}

/// Copies what is in the folder `source` into the empty folder `target`, with owners, modes, times, extended attributes, holes and
/// names that are links of one another; the folder's own attributes too.
///
/// # Errors
/// See [`CopyError`]; what was copied is still there.
pub(super) fn copy_tree(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), CopyError> {
    let mut copy = Copy { source, target, folders: vec![PathBuf::new()], linked: HashMap::new(), names: 0 };
    let mut next = 0;
    while let Some(folder) = copy.folders.get(next).cloned() {
        copy.folder(&folder)?;
        next += 1;
    }
    // Children come after their parents, whose times they change.
    for folder in std::mem::take(&mut copy.folders).iter().rev() {
        let [from, to] = copy.open(folder)?;
        copy_attributes(from.as_fd(), to.as_fd()).map_err(failed("set the attributes of", folder))?;
    }
    Ok(())
}

/// One copy while it is made.
struct Copy<'fd> {
    source: BorrowedFd<'fd>,
    target: BorrowedFd<'fd>,
    /// The folders, each before those in it.
    folders: Vec<PathBuf>,
    /// Where a file with several names was copied first.
    linked: HashMap<(u64, u64), PathBuf>,
    /// How long all of these names are.
    names: usize,
}

impl Copy<'_> {
    /// The folder on both sides.
    fn open(&self, folder: &Path) -> Result<[OwnedFd; 2], CopyError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let open = |root| resolve::open_no_links(root, folder, flags, Mode::empty());
        Ok([
            open(self.source).map_err(failed("open", folder))?,
            open(self.target).map_err(failed("open the copy of", folder))?,
        ])
    }

    /// Keeps a name, within the bound.
    fn keep(&mut self, path: PathBuf) -> Result<PathBuf, CopyError> {
        self.names += path.as_os_str().len() + size_of::<PathBuf>();
        if self.names > MOST_NAMES { Err(CopyError::TooMany) } else { Ok(path) }
    }

    /// Copies what is in one folder; folders in it are made, and come later.
    fn folder(&mut self, folder: &Path) -> Result<(), CopyError> {
        let [from, to] = self.open(folder)?;
        for entry in Dir::read_from(&from).map_err(failed("read", folder))? {
            let entry = entry.map_err(failed("read", folder))?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let path = folder.join(name);
            let stat = rustix::fs::statat(&from, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed("look at", &path))?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            match kind {
                FileType::Directory => {
                    rustix::fs::mkdirat(&to, name, Mode::RWXU).map_err(failed("make the folder", &path))?;
                    let path = self.keep(path)?;
                    self.folders.push(path);
                }
                FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => {}
                _ if self.link(&stat, &path, to.as_fd(), name)? => {}
                FileType::RegularFile => {
                    copy_file(from.as_fd(), to.as_fd(), name).map_err(failed("copy", &path))?;
                }
                FileType::Symlink => {
                    copy_link(from.as_fd(), to.as_fd(), name, &stat).map_err(failed("copy the link", &path))?;
                }
                FileType::Fifo | FileType::Socket => {
                    make_special(to.as_fd(), name, kind, &stat).map_err(failed("make", &path))?;
                }
            }
        }
        Ok(())
    }

    /// Whether the file was copied before under another name, of which `name` was now made a link.
    fn link(&mut self, stat: &Stat, path: &Path, to: BorrowedFd<'_>, name: &OsStr) -> Result<bool, CopyError> {
        if stat.st_nlink < 2 {
            return Ok(false);
        }
        let file = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.linked.get(&file) {
            let linked = rustix::fs::linkat(self.target, first, to, name, AtFlags::empty());
            linked.map_err(failed("make the link", path))?;
            return Ok(true);
        }
        let path = self.keep(path.to_owned())?;
        self.linked.insert(file, path);
        Ok(false)
    }
}

/// A regular file with all that it has.
fn copy_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let from = resolve::open_no_links(from, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&from)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::STALE.into());
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let to = rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    let mut at = 0;
    while at < size {
        // ENXIO: from there on there is nothing but a hole.
        let data = match rustix::fs::seek(&from, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break,
            data => data?,
        };
        let end = rustix::fs::seek(&from, SeekFrom::Hole(data))?;
        copy_range(from.as_fd(), to.as_fd(), data, end)?;
        at = end;
    }
    rustix::fs::ftruncate(&to, size)?;
    copy_attributes(from.as_fd(), to.as_fd())
}

/// The bytes from `at` to `end`, at the same place.
fn copy_range(from: BorrowedFd<'_>, to: BorrowedFd<'_>, mut at: u64, end: u64) -> io::Result<()> {
    let mut piece = vec![0; PIECE.min(usize::try_from(end - at).unwrap_or(PIECE))];
    while at < end {
        let most = piece.len().min(usize::try_from(end - at).unwrap_or(PIECE));
        let read = rustix::io::retry_on_intr(|| rustix::io::pread(from, &mut piece[..most], at))?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut written = 0;
        while written < read {
            written +=
                rustix::io::retry_on_intr(|| rustix::io::pwrite(to, &piece[written..read], at + written as u64))?;
        }
        at += read as u64;
    }
    Ok(())
}

/// A symbolic link, whose text is copied and means nothing here.
fn copy_link(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> io::Result<()> {
    let text = rustix::fs::readlinkat(from, name, Vec::new())?;
    rustix::fs::symlinkat(text, to, name)?;
    let (owner, group) = owner(stat);
    rustix::fs::chownat(to, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(rustix::fs::utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// A FIFO, or a socket that nobody listens at.
fn make_special(to: BorrowedFd<'_>, name: &OsStr, kind: FileType, stat: &Stat) -> io::Result<()> {
    let mode = stat.st_mode & 0o7777;
    rustix::fs::mknodat(to, name, kind, Mode::from_raw_mode(mode), 0)?;
    let made = resolve::open_no_links(to, name, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?;
    let (owner, group) = owner(stat);
    rustix::fs::chownat(&made, "", Some(owner), Some(group), AtFlags::EMPTY_PATH)?;
    // The caller's umask may have taken bits away.
    if rustix::fs::fstat(&made)?.st_mode & 0o7777 != mode {
        resolve::change_mode(&made, Mode::from_raw_mode(mode))?;
    }
    Ok(rustix::fs::utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn owner(stat: &Stat) -> (Uid, Gid) {
    (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid))
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds.cast_signed() };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

/// Gives a file or folder the owner, extended attributes, mode and times of another, in the order in which none takes away
/// another: a change of owner clears set-user-id bits and `security.capability`.
pub(super) fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let stat = rustix::fs::fstat(from)?;
    let (owner, group) = owner(&stat);
    rustix::fs::fchown(to, Some(owner), Some(group))?;
    copy_extended(from, to)?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    Ok(rustix::fs::futimens(to, &times(&stat))?)
}

/// Whether the extended attribute goes with a file: those that a layer can bring (`trusted.*` steers overlayfs).
fn goes_along(name: &[u8]) -> bool {
    match name {
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => true,
        _ => name.starts_with(b"user.") && !name.starts_with(b"user.overlay."),
    }
}

fn copy_extended(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut names = vec![0; LARGEST_ATTRIBUTE];
    let length = match rustix::fs::flistxattr(from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    let mut value = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| goes_along(name)) {
        value.resize(LARGEST_ATTRIBUTE, 0);
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}
