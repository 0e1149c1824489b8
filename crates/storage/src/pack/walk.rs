//! The walk through a tree that others may be writing to.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use stockade_kernel::procfs::Subject;

use super::{Form, PackError, RootEntry, Tree, attributes, encode, shown};
use crate::Privilege;
use crate::tar::{Entry, Kind};

/// The most entries: as many as are unpacked.
const MOST_ENTRIES: u64 = 2 << 20;
/// The longest name: the kernel's PATH_MAX without its zero byte.
const LONGEST_PATH: usize = 4095;
/// The most directories below each other, each of which is kept open: as many as are unpacked.
const DEEPEST: usize = 256;
/// How much of a file is copied at once.
const CHUNK: usize = 128 << 10;

/// Writes the entries of `tree`.
pub(super) fn walk(tree: &Tree<'_>, out: &mut impl Write) -> Result<(), PackError> {
    let name = shown(tree.name);
    let failed = |step, source| PackError::Read { path: name.clone(), step, source };
    let descriptors = tree.procfs.open(Subject::Myself, "fd", OFlags::PATH | OFlags::DIRECTORY);
    let descriptors = descriptors.map_err(|source| failed("open /proc for", source))?;
    let stat = rustix::fs::fstat(tree.root).map_err(|errno| failed("look at", errno.into()))?;
    let privilege =
        Privilege::by(tree.procfs).map_err(|source| failed("learn this process's privilege for", source))?;
    let mut walker =
        Walker { tree, out, descriptors, privilege, first: BTreeMap::new(), count: 0, buffer: vec![0; CHUNK] };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return walker.file(tree.root, &stat, tree.name.to_vec());
    }
    let root = walker.reopen(tree.root, OFlags::DIRECTORY).map_err(|source| failed("open", source))?;
    let prefix = if tree.name == b"." { Vec::new() } else { [tree.name, b"/"].concat() };
    if tree.root_entry == RootEntry::Written {
        walker.directory_entry(root.as_fd(), &stat, [tree.name, b"/"].concat(), &prefix)?;
    }
    walker.directory(&root, stat.st_dev, &prefix, Path::new(""), 0)
}

struct Walker<'a, W> {
    tree: &'a Tree<'a>,
    out: &'a mut W,
    /// `/proc/thread-self/fd`, by which what was looked at is opened and nothing else.
    descriptors: OwnedFd,
    /// The names of files with several, by file system and number.
    first: BTreeMap<(u64, u64), Vec<u8>>,
    count: u64,
    buffer: Vec<u8>,
    /// With which the overlay was made, if it is one.
    privilege: Privilege,
}

/// For `map_err`: a failed step with what is called `path` in the archive.
fn failed<E: Into<io::Error>>(path: &[u8], step: &'static str) -> impl Fn(E) -> PackError {
    move |error| PackError::Read { path: shown(path), step, source: error.into() }
}

impl<W: Write> Walker<'_, W> {
    /// Opens for reading what `node` is open on.
    fn reopen(&self, node: BorrowedFd<'_>, more: OFlags) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | more;
        Ok(rustix::fs::openat(&self.descriptors, node.as_raw_fd().to_string(), flags, Mode::empty())?)
    }

    /// Writes what is in `directory`, whose names begin with `prefix` and which is at `below`.
    fn directory(
        &mut self,
        directory: &OwnedFd,
        device: u64,
        prefix: &[u8],
        below: &Path,
        depth: usize,
    ) -> Result<(), PackError> {
        if depth > DEEPEST {
            return Err(PackError::Unfit { path: shown(prefix), reason: "is below too many directories" });
        }
        for name in names(directory.as_fd(), MOST_ENTRIES).map_err(failed(prefix, "read the directory"))? {
            let path = [prefix, &name[..]].concat();
            let place = below.join(OsStr::from_bytes(&name));
            if self.tree.left_out.contains(&place) {
                continue;
            }
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let node = match rustix::fs::openat(directory, &name[..], flags, Mode::empty()) {
                Ok(node) => node,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(failed(&path, "open")(errno)),
            };
            let stat = rustix::fs::fstat(&node).map_err(failed(&path, "look at"))?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => self.subdirectory(node, &stat, device, &path, &place, depth)?,
                _ => self.node(node.as_fd(), &stat, prefix, &name)?,
            }
        }
        Ok(())
    }

    fn subdirectory(
        &mut self,
        node: OwnedFd,
        stat: &Stat,
        device: u64,
        path: &[u8],
        place: &Path,
        depth: usize,
    ) -> Result<(), PackError> {
        let opened = self.reopen(node.as_fd(), OFlags::DIRECTORY).map_err(failed(path, "open"))?;
        drop(node);
        let kernels = stat.st_dev != device && is_the_kernels(opened.as_fd()).map_err(failed(path, "look at"))?;
        let prefix = [path, b"/"].concat();
        self.directory_entry(opened.as_fd(), stat, prefix.clone(), &prefix)?;
        if kernels {
            return Ok(());
        }
        self.directory(&opened, stat.st_dev, &prefix, place, depth + 1)
    }

    /// The entry of a directory called `path`, and its mark if nothing below shows through it.
    fn directory_entry(
        &mut self,
        directory: BorrowedFd<'_>,
        stat: &Stat,
        path: Vec<u8>,
        prefix: &[u8],
    ) -> Result<(), PackError> {
        let xattrs = attributes::read(directory, self.tree.owners).map_err(failed(&path, "read the attributes of"))?;
        let entry = Entry { xattrs, ..self.entry(stat, Kind::Directory, path) };
        self.write_header(&entry)?;
        if self.tree.form == Form::Layer {
            let mark = |name: &[u8]| attributes::value(directory, name).map_err(failed(prefix, "read the marks of"));
            if mark(self.privilege.redirect().as_bytes())?.is_some() {
                return Err(PackError::Unfit { path: shown(prefix), reason: "was moved by overlayfs (redirect_dir)" });
            }
            if marked_opaque(directory, self.privilege).map_err(failed(prefix, "read the marks of"))? {
                let mark = Entry { mode: 0, ..self.entry(stat, Kind::File, [prefix, b".wh..wh..opq"].concat()) };
                self.write_header(&mark)?;
            }
        }
        Ok(())
    }

    /// Anything but a directory: `name` in the directory whose names begin with `prefix`.
    fn node(&mut self, node: BorrowedFd<'_>, stat: &Stat, prefix: &[u8], name: &[u8]) -> Result<(), PackError> {
        let path = [prefix, name].concat();
        if self.tree.form == Form::Layer {
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
                let path = [prefix, b".wh.", name].concat();
                let entry = Entry { mode: 0, ..self.entry(stat, Kind::File, path) };
                return self.write_header(&entry);
            }
            if name.starts_with(b".wh.") {
                return Err(PackError::Unfit { path: shown(&path), reason: "would be read as a whiteout" });
            }
        }
        self.file(node, stat, path)
    }

    /// Anything but a directory and a whiteout.
    fn file(&mut self, node: BorrowedFd<'_>, stat: &Stat, path: Vec<u8>) -> Result<(), PackError> {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::CharacterDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::Fifo => Kind::Fifo,
            _ => return Ok(()),
        };
        if stat.st_nlink > 1 {
            let number = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.first.get(&number) {
                let entry = Entry { link: first.clone(), ..self.entry(stat, Kind::HardLink, path) };
                return self.write_header(&entry);
            }
            self.first.insert(number, path.clone());
        }
        match kind {
            Kind::File => self.regular(node, path),
            Kind::Symlink => {
                let link = rustix::fs::readlinkat(node, "", Vec::new()).map_err(failed(&path, "read the link"))?;
                let entry = Entry { link: link.into_bytes(), ..self.entry(stat, kind, path) };
                self.write_header(&entry)
            }
            _ => {
                let entry = self.entry(stat, kind, path);
                self.write_header(&entry)
            }
        }
    }

    fn regular(&mut self, node: BorrowedFd<'_>, path: Vec<u8>) -> Result<(), PackError> {
        let file = self.reopen(node, OFlags::empty()).map_err(failed(&path, "open"))?;
        // Once more, because its size counts from here on.
        let stat = rustix::fs::fstat(&file).map_err(failed(&path, "look at"))?;
        let xattrs =
            attributes::read(file.as_fd(), self.tree.owners).map_err(failed(&path, "read the attributes of"))?;
        if self.tree.form == Form::Layer && self.is_without_data(&file, &path)? {
            return Err(PackError::Unfit { path: shown(&path), reason: "has its data in another layer (metacopy)" });
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let entry = Entry { xattrs, size, ..self.entry(&stat, Kind::File, path) };
        self.write_header(&entry)?;
        self.data(std::fs::File::from(file), &entry)
    }

    fn is_without_data(&self, file: &OwnedFd, path: &[u8]) -> Result<bool, PackError> {
        Ok(attributes::value(file.as_fd(), self.privilege.metacopy().as_bytes())
            .map_err(failed(path, "read the marks of"))?
            .is_some())
    }

    /// As many bytes as the header says, whatever becomes of the file.
    fn data(&mut self, mut file: std::fs::File, entry: &Entry) -> Result<(), PackError> {
        let mut left = entry.size;
        let mut ended = false;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
            let chunk = &mut self.buffer[..most];
            let count = match if ended { Ok(0) } else { file.read(chunk) } {
                Ok(0) => {
                    ended = true;
                    chunk.fill(0);
                    most
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(&entry.path, "read")(error)),
            };
            self.out.write_all(&chunk[..count]).map_err(PackError::Write)?;
            left -= count as u64;
        }
        let padding = [0; 512];
        self.out.write_all(&padding[..encode::padding(entry.size)]).map_err(PackError::Write)
    }

    /// An entry without size, target and attributes.
    fn entry(&self, stat: &Stat, kind: Kind, path: Vec<u8>) -> Entry {
        let owners = self.tree.owners;
        let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
        Entry {
            path,
            link: Vec::new(),
            kind,
            size: 0,
            sparse: None,
            mode: stat.st_mode & 0o7777,
            uid: owners.uid(stat.st_uid),
            gid: owners.gid(stat.st_gid),
            mtime: (stat.st_mtime, nanoseconds),
            device: (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)),
            xattrs: Vec::new(),
            position: 0,
        }
    }

    fn write_header(&mut self, entry: &Entry) -> Result<(), PackError> {
        self.count += 1;
        if self.count > MOST_ENTRIES {
            return Err(PackError::TooMany(MOST_ENTRIES));
        }
        let unfit = |reason| PackError::Unfit { path: shown(&entry.path), reason };
        if entry.path.len() > LONGEST_PATH {
            return Err(unfit("has a name that is longer than a path may be"));
        }
        let header = encode::header(entry).ok_or_else(|| unfit("has more extended attributes than readers take"))?;
        self.out.write_all(&header).map_err(PackError::Write)
    }
}

/// Whether a directory of an overlay that was made with `privilege` hides what the layers below have in it.
///
/// # Errors
/// As `fgetxattr(2)`.
pub(crate) fn marked_opaque(directory: BorrowedFd<'_>, privilege: Privilege) -> io::Result<bool> {
    Ok(attributes::value(directory, privilege.opaque().as_bytes())?.as_deref() == Some(b"y"))
}

/// The names in `directory`, sorted, at most `most`.
///
/// # Errors
/// As `getdents64(2)`; `EOVERFLOW` if there are more.
pub(crate) fn names(directory: BorrowedFd<'_>, most: u64) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(name.to_vec());
        }
        if names.len() as u64 > most {
            return Err(Errno::OVERFLOW.into());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether a directory is on a file system that is no storage but a view of the kernel's.
///
/// # Errors
/// As `fstatfs(2)`.
pub fn is_the_kernels(directory: BorrowedFd<'_>) -> io::Result<bool> {
    // linux/magic.h: proc, sysfs, devpts, mqueue, cgroup, cgroup2, debugfs, tracefs, securityfs, bpf, configfs, efivarfs,
    // pstore, nsfs, binfmt_misc, fusectl.
    const THEIRS: [u64; 16] = [
        0x9fa0,
        0x6265_6572,
        0x1cd1,
        0x1980_0202,
        0x27_e0eb,
        0x6367_7270,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
        0xcafe_4a11,
        0x6265_6570,
        0xde5e_81e4,
        0x6165_676c,
        0x6e73_6673,
        0x4249_4e4d,
        0x6573_5543,
    ];
    let magic = rustix::fs::fstatfs(directory)?.f_type as u64;
    Ok(THEIRS.contains(&magic))
}
