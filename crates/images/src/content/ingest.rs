//! Blobs on their way in: written beside, resumed where an earlier command was stopped, shared by processes.
//!
//! `images/ingest/HEX` is what there is of the blob so far, in order. Who holds its lock (`flock(2)`) writes; the lock goes
//! with the process. What a file that was left has is never trusted: all of it goes through the digest again.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use sha2::Digest as _;
use stockade_storage::Digest;

use super::{ContentError, Images};

/// Why a blob is not stored.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The store.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// It could not be written. What was written stays for the next time.
    #[error("cannot write {digest} into the image store")]
    Write {
        /// The blob.
        digest: Digest,
        /// What the kernel said.
        source: io::Error,
    },
    /// The content is not what its name says; it was dropped.
    #[error("{expected} has the content of {found}: it was damaged on its way, or is forged")]
    Digest {
        /// The name.
        expected: Digest,
        /// The digest of the content.
        found: Digest,
    },
    /// The content ends early. What there is stays for the next time.
    #[error("{digest} has {found} bytes instead of {expected}")]
    Short {
        /// The blob.
        digest: Digest,
        /// The size that was said.
        expected: u64,
        /// What came.
        found: u64,
    },
}

/// A blob that is being written by this process alone. Dropped before [`BlobWriter::finish`], it leaves what it has for the
/// next one.
#[derive(Debug)]
pub struct BlobWriter<'a> {
    images: &'a Images,
    digest: Digest,
    size: u64,
    file: File,
    written: u64,
    hasher: sha2::Sha256,
}

impl Images {
    /// Begins to store the blob `digest` of `size` bytes; `None` if it is there. Where another process is storing it, this one
    /// waits, and then finds it done or goes on from there. What was written before is read again on the way, see
    /// [`BlobWriter::written`].
    ///
    /// # Errors
    /// If a file of the store cannot be opened, locked or read.
    pub fn writer(&self, digest: &Digest, size: u64) -> Result<Option<BlobWriter<'_>>, IngestError> {
        let Some(mut writer) = self.resume(digest, size)? else { return Ok(None) };
        writer.read_again(|_bytes| Ok(()))?;
        Ok(Some(writer))
    }

    /// As [`Images::writer`], without reading again what was written before: the caller does that by
    /// [`BlobWriter::read_again`] before anything else.
    pub(crate) fn resume(&self, digest: &Digest, size: u64) -> Result<Option<BlobWriter<'_>>, IngestError> {
        if self.has(digest, size)? {
            return Ok(None);
        }
        let name = digest.hex();
        let file = self.lock_partial(&name).map_err(ContentError::at("lock", self.path.join("ingest").join(&name)))?;
        let mut writer =
            BlobWriter { images: self, digest: *digest, size, file, written: 0, hasher: sha2::Sha256::new() };
        if self.has(digest, size)? {
            writer.remove_partial()?;
            return Ok(None);
        }
        let length = writer.file.metadata().map_err(|source| IngestError::Write { digest: *digest, source })?.len();
        if length > size {
            writer.restart()?;
        }
        Ok(Some(writer))
    }

    /// Whether the blob is there with this size. One with another size is damaged, and is replaced.
    ///
    /// # Errors
    /// If that cannot be told.
    pub fn has(&self, digest: &Digest, size: u64) -> Result<bool, ContentError> {
        Ok(self.blob(digest)?.is_some_and(|part| part.size() == size))
    }

    /// The partial file, made if it is missing, and locked.
    fn lock_partial(&self, name: &str) -> io::Result<File> {
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&self.ingest, name, flags, Mode::RUSR | Mode::WUSR)?;
            rustix::io::retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))?;
            if self.is_named(name, &file)? {
                return Ok(file.into());
            }
        }
    }

    /// Whether the partial file that was locked still is the one of that name: who had the lock before may have finished it.
    pub(super) fn is_named(&self, name: &str, file: &OwnedFd) -> io::Result<bool> {
        match rustix::fs::statat(&self.ingest, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) => Ok(named.st_ino == rustix::fs::fstat(file.as_fd())?.st_ino),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl BlobWriter<'_> {
    /// How many bytes are there: what comes next is the byte after them.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The size that the blob will have.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes what an earlier process left through the digest and through `each`, from the beginning.
    pub(crate) fn read_again(&mut self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), IngestError> {
        let mut buffer = vec![0; 128 << 10];
        loop {
            let count = self.read_left(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            each(&buffer[..count]).map_err(|source| IngestError::Write { digest: self.digest, source })?;
        }
    }

    /// The next of the bytes that an earlier process left; 0 at their end.
    pub(crate) fn read_left(&mut self, buffer: &mut [u8]) -> Result<usize, IngestError> {
        let failed = |source| IngestError::Write { digest: self.digest, source };
        let count = self.file.read_at(buffer, self.written).map_err(failed)?;
        self.hasher.update(&buffer[..count]);
        self.written += count as u64;
        Ok(count)
    }

    /// Forgets everything that is there.
    ///
    /// # Errors
    /// If the file cannot be cut.
    pub fn restart(&mut self) -> Result<(), IngestError> {
        self.file.set_len(0).map_err(|source| IngestError::Write { digest: self.digest, source })?;
        self.written = 0;
        self.hasher = sha2::Sha256::new();
        Ok(())
    }

    /// Stores everything that `from` has from here on, and finishes.
    ///
    /// # Errors
    /// If it cannot be read or written, and as [`BlobWriter::finish`].
    pub fn fill(mut self, from: &mut dyn Read) -> Result<(), IngestError> {
        let digest = self.digest;
        io::copy(from, &mut self).map_err(|source| IngestError::Write { digest, source })?;
        self.finish()
    }

    /// Compares the digest of all that is there; content that is wrong is dropped.
    ///
    /// # Errors
    /// [`IngestError::Digest`].
    pub(crate) fn check(&self) -> Result<(), IngestError> {
        let found = Digest::finish(self.hasher.clone());
        if found == self.digest {
            return Ok(());
        }
        self.remove_partial()?;
        Err(IngestError::Digest { expected: self.digest, found })
    }

    /// Compares size and digest and gives the blob its name, on the disk.
    ///
    /// # Errors
    /// If it is not what it should be or cannot be written. Content that is wrong is dropped, what is too short stays.
    pub fn finish(self) -> Result<(), IngestError> {
        if self.written < self.size {
            return Err(IngestError::Short { digest: self.digest, expected: self.size, found: self.written });
        }
        self.check()?;
        let name = self.digest.hex();
        let attempt = || -> io::Result<()> {
            self.file.sync_all()?;
            rustix::fs::renameat(&self.images.ingest, &name, &self.images.blobs, &name)?;
            Ok(rustix::fs::fsync(&self.images.blobs)?)
        };
        attempt().map_err(|source| IngestError::Write { digest: self.digest, source })
    }

    /// Drops everything: the blob is of no use to anybody.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn discard(self) -> Result<(), IngestError> {
        self.remove_partial()
    }

    fn remove_partial(&self) -> Result<(), IngestError> {
        let name = self.digest.hex();
        match rustix::fs::unlinkat(&self.images.ingest, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(ContentError::at("remove", self.images.path.join("ingest").join(name))(errno).into()),
        }
    }
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written + bytes.len() as u64 > self.size {
            return Err(io::Error::other(format!("more than its {} bytes came", self.size)));
        }
        self.file.write_all_at(bytes, self.written)?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
