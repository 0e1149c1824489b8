//! Archives that cannot be read in place: from a pipe, or compressed as a whole. They are copied, decompressed, to a file
//! without a name, of which nothing is left however the process ends.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::store::{Part, Store, StoreError};
use stockade_storage::Compression;

/// The most bytes of an archive that are copied: some images of the largest size.
const LARGEST: u64 = 512 << 30;
/// How much is copied at once.
const BUFFER: usize = 256 << 10;

/// The files of the archive in `source`, whose copy, if it needs one, is in `folder`.
///
/// # Errors
/// If it cannot be read or copied, or is no tar archive.
pub(crate) fn open(source: File, folder: &Path) -> Result<Store, StoreError> {
    let is_file = source.metadata().map_err(StoreError::Spool)?.is_file();
    let file = if is_file { source } else { copied(source, folder)? };
    let part = Part::whole(Arc::new(file.try_clone().map_err(StoreError::Spool)?)).map_err(StoreError::Spool)?;
    match Compression::of(part.clone()).map_err(StoreError::Spool)? {
        Compression::None => Store::opened(file),
        compression => Store::opened(copied(compression.read(part), folder)?),
    }
}

/// All of `from` in a file without a name.
fn copied(mut from: impl Read, folder: &Path) -> Result<File, StoreError> {
    let mut file = nameless(folder).map_err(|error| StoreError::Spool(error.into()))?;
    let mut buffer = vec![0; BUFFER];
    let mut total: u64 = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(StoreError::Spool(error)),
        };
        total += count as u64;
        if total > LARGEST {
            return Err(StoreError::ArchiveTooLarge(LARGEST));
        }
        file.write_all(&buffer[..count]).map_err(StoreError::Spool)?;
    }
    file.rewind().map_err(StoreError::Spool)?;
    Ok(file)
}

/// A new file in `folder` that has no name, or loses it at once where the file system knows only files with names.
fn nameless(folder: &Path) -> Result<File, Errno> {
    let mode = Mode::RUSR | Mode::WUSR;
    match rustix::fs::openat(CWD, folder, OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC, mode) {
        Ok(file) => return Ok(file.into()),
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {}
        Err(error) => return Err(error),
    }
    let path = folder.join(format!("archive-{}", std::process::id()));
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, &path, flags, mode)?;
    rustix::fs::unlinkat(CWD, &path, rustix::fs::AtFlags::empty())?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(5);
        header.set_mode(0o644);
        builder.append_data(&mut header, "a/file", &b"hello"[..]).unwrap();
        builder.into_inner().unwrap()
    }

    fn hello(store: &Store) {
        let mut text = String::new();
        store.open("a/file").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    fn piped(bytes: Vec<u8>) -> File {
        let (reader, mut writer) = io::pipe().unwrap();
        std::thread::spawn(move || writer.write_all(&bytes));
        File::from(std::os::fd::OwnedFd::from(reader))
    }

    fn filed(folder: &Path, bytes: &[u8]) -> File {
        std::fs::write(folder.join("archive"), bytes).unwrap();
        File::open(folder.join("archive")).unwrap()
    }

    #[test]
    fn plain_and_compressed_from_files_and_pipes() {
        let place = tempfile::tempdir().unwrap();
        let spool = place.path().join("spool");
        std::fs::create_dir(&spool).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&archive()).unwrap();
        for bytes in [archive(), gzip.finish().unwrap()] {
            hello(&open(filed(place.path(), &bytes), &spool).unwrap());
            hello(&open(piped(bytes), &spool).unwrap());
        }
        assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 0, "nothing is left, and nothing was there to see");
    }

    #[test]
    fn what_is_no_archive() {
        let place = tempfile::tempdir().unwrap();
        for bytes in [&b"no archive"[..], b"BZh9", b"\xfd7zXZ\0", b"\x1f\x8b\x08 broken", &archive()[..700]] {
            assert!(open(piped(bytes.to_vec()), place.path()).is_err(), "{bytes:?}");
            assert!(open(filed(place.path(), bytes), place.path()).is_err(), "{bytes:?}");
        }
        assert!(open(File::open(place.path()).unwrap(), place.path()).is_err(), "a folder");
    }
}
