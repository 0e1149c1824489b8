//! The index of a tar archive: where its files are. Their data is read in place and never unpacked.

use std::collections::HashMap;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags};
use stockade_storage::tar::{self, Entry, Kind};

use super::{Part, StoreError};

/// The most entries of an archive: an image has a handful of files for each of at most some hundred layers, an archive
/// of many images some thousands.
pub(super) const MOST_ENTRIES: usize = 1 << 16;
/// The longest name and link that are remembered, which with [`MOST_ENTRIES`] bounds the memory. The names of an image's files
/// have some hundred bytes.
const LONGEST_NAME: usize = 512;
/// The most links that are followed: `docker save` makes one link from a layer to an equal one.
const MOST_LINKS: usize = 8;

/// What stands under a name.
#[derive(Debug)]
enum Found {
    File {
        position: u64,
        size: u64,
    },
    /// The name that a link leads to.
    Link(String),
    Other,
}

/// An archive with its entries by name.
#[derive(Debug)]
pub(crate) struct Index {
    file: Arc<std::fs::File>,
    entries: HashMap<String, Found>,
}

impl Index {
    /// Reads the headers of the archive at `path` and passes over the data.
    pub(super) fn read(path: &Path) -> Result<Self, StoreError> {
        let failed = |source: std::io::Error| StoreError::Open { path: path.to_owned(), source };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let stat = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(StoreError::NoArchive(path.to_owned()));
        }
        Self::of(std::fs::File::from(file), path)
    }

    /// Reads the headers of the archive in `file`, a regular file, from its start. Errors call it `path`.
    pub(super) fn of(mut file: std::fs::File, path: &Path) -> Result<Self, StoreError> {
        let failed = |source: std::io::Error| StoreError::Open { path: path.to_owned(), source };
        file.rewind().map_err(failed)?;
        refuse_compressed(&mut file, path)?;
        file.rewind().map_err(failed)?;
        let mut archive = tar::Archive::new(file);
        let mut entries = HashMap::new();
        let broken = |source| StoreError::Archive { path: path.to_owned(), source };
        while let Some(entry) = archive.next_entry().map_err(broken)? {
            if entries.len() == MOST_ENTRIES {
                return Err(StoreError::TooManyEntries);
            }
            // No file of an image has a name that is long or not text.
            if entry.path.len() > LONGEST_NAME || entry.link.len() > LONGEST_NAME {
                continue;
            }
            let Ok(name) = std::str::from_utf8(&entry.path) else { continue };
            let Some(name) = normal(Path::new(name)) else { continue };
            let found = found(&entry, &name);
            if matches!(found, Found::Other) {
                entries.entry(name).or_insert(found);
            } else if entries.insert(name.clone(), found).is_some() {
                return Err(StoreError::Twice(name));
            }
        }
        Ok(Self { file: Arc::new(archive.into_source()), entries })
    }

    /// As [`super::Store::find`].
    pub(super) fn find(&self, name: &str) -> Result<Option<Part>, StoreError> {
        let Some(mut current) = normal(Path::new(name)) else { return Ok(None) };
        for _ in 0..MOST_LINKS {
            match self.entries.get(&current) {
                None => return Ok(None),
                Some(Found::File { position, size }) => {
                    let part = Part { file: self.file.clone(), position: *position, end: position + size };
                    return Ok(Some(part));
                }
                Some(Found::Link(target)) => current.clone_from(target),
                Some(Found::Other) => break,
            }
        }
        Err(StoreError::NotAFile(name.to_owned()))
    }
}

/// What `entry`, whose normal name is `name`, is.
fn found(entry: &Entry, name: &str) -> Found {
    let target = std::str::from_utf8(&entry.link).ok().map(Path::new);
    let target = match entry.kind {
        // No program that makes archives of images makes files with holes in them.
        Kind::File if entry.sparse.is_some() => None,
        Kind::File => return Found::File { position: entry.position, size: entry.size },
        Kind::HardLink => target.and_then(normal),
        Kind::Symlink => {
            let beside = |target| Path::new(name).parent().unwrap_or(Path::new("")).join(target);
            target.and_then(|target| normal(&beside(target)))
        }
        _ => None,
    };
    target.map_or(Found::Other, Found::Link)
}

/// The name without `.`, `..` and slashes at its ends; `None` if it leads out of the archive, or is none.
fn normal(path: &Path) -> Option<String> {
    let mut parts = PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::Normal(part) => parts.push(part),
            std::path::Component::ParentDir => parts.pop().then_some(())?,
            _ => {}
        }
    }
    let text = parts.into_os_string().into_string().ok()?;
    (!text.is_empty()).then_some(text)
}

/// Says the way out for an archive that is compressed as a whole.
fn refuse_compressed(file: &mut std::fs::File, path: &Path) -> Result<(), StoreError> {
    let mut start = Vec::new();
    let read = file.take(6).read_to_end(&mut start);
    read.map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
    let programs: [(&[u8], &str); 4] =
        [(b"\x1f\x8b", "gunzip"), (b"\x28\xb5\x2f\xfd", "unzstd"), (b"BZh", "bunzip2"), (b"\xfd7zXZ\0", "unxz")];
    match programs.iter().find(|(magic, _)| start.starts_with(magic)) {
        Some((_, program)) => Err(StoreError::Compressed { path: path.to_owned(), program }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_archive() {
        for (text, expected) in [
            ("./a/b", Some("a/b")),
            ("a/../b", Some("b")),
            ("/a", Some("a")),
            ("../a", None),
            ("a/../../b", None),
            ("./", None),
            ("", None),
        ] {
            assert_eq!(normal(Path::new(text)).as_deref(), expected, "{text}");
        }
    }
}
