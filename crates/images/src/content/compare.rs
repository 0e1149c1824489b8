//! Whether an unpacked layer still is what its archive says: type, owner, mode, size and content of its files and folders.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags};
use stockade_kernel::resolve;
use stockade_storage::tar::{Archive, Entry, Kind, Stream};

/// The first thing that is otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    path: PathBuf,
    what: &'static str,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {:?} was changed since it was unpacked", self.what, self.path)
    }
}

/// Compares the layer in `folder` with the archive that it was unpacked from. Where an archive names a path twice the last counts.
///
/// # Errors
/// If the archive or the folder cannot be read.
pub(super) fn compare(archive: impl Read, folder: &Path) -> io::Result<Option<Difference>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(folder, flags, Mode::empty())?;
    let mut archive = Archive::new(Stream(archive));
    let mut differences: BTreeMap<PathBuf, &'static str> = BTreeMap::new();
    while let Some(entry) = archive.next_entry().map_err(io::Error::other)? {
        let Some(path) = place(&entry.path) else { continue };
        // What was below a folder that is something else now is gone with it.
        if entry.kind != Kind::Directory {
            differences.retain(|known, _| !known.starts_with(&path));
        }
        differences.remove(&path);
        if let Some(what) = one(&root, &path, &entry, &mut archive)? {
            differences.insert(path, what);
        }
    }
    Ok(differences.into_iter().next().map(|(path, what)| Difference { path, what }))
}

/// The path of an entry in the layer; `None` for the root and for whiteouts, which are not looked at.
fn place(name: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let parts = || name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    if parts().any(|part| part == b".." || part.starts_with(b".wh.")) || parts().next().is_none() {
        return None;
    }
    Some(parts().map(std::ffi::OsStr::from_bytes).collect())
}

/// What is otherwise with one entry.
fn one<R: Read>(
    root: &OwnedFd,
    path: &Path,
    entry: &Entry,
    archive: &mut Archive<Stream<R>>,
) -> io::Result<Option<&'static str>> {
    let kind = match entry.kind {
        Kind::File => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
        // They have no content of their own.
        _ => return Ok(None),
    };
    let place = Path::new("/").join(path);
    let found = match resolve::open_in_root(root, &place, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some("the presence")),
        Err(error) => return Err(error),
    };
    let stat = rustix::fs::fstat(&found)?;
    if FileType::from_raw_mode(stat.st_mode) != kind {
        return Ok(Some("the type"));
    }
    if (stat.st_uid, stat.st_gid) != (entry.uid, entry.gid) {
        return Ok(Some("the owner"));
    }
    if stat.st_mode & 0o7777 != entry.mode & 0o7777 {
        return Ok(Some("the mode"));
    }
    if kind == FileType::Directory {
        return Ok(None);
    }
    if stat.st_size.cast_unsigned() != entry.size {
        return Ok(Some("the size"));
    }
    let file =
        resolve::open_in_root(root, &place, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty())?;
    let mut file = File::from(file);
    let (mut expected, mut there) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let count = archive.read_data(&mut expected).map_err(io::Error::other)?;
        if count == 0 {
            return Ok(None);
        }
        file.read_exact(&mut there[..count])?;
        if there[..count] != expected[..count] {
            return Ok(Some("the content"));
        }
    }
}
