//! What the program `stockade-unpack` does once it is confined.

use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use sha2::Digest as _;

use crate::tar::{Archive, Stream, TarError};
use crate::unpack::{limits, unpack};
use crate::{Compression, Digest, UnpackError};

pub use crate::unpack::answer::{Done, Refusal, write as answer};

/// Unpacks `blob` into the empty folder `root` and reads it to its end; the digest is that of all of the archive in it.
///
/// # Errors
/// See [`UnpackError`]. What was unpacked stays.
pub fn unpack_blob(compression: Compression, blob: impl Read, root: BorrowedFd<'_>) -> Result<Done, UnpackError> {
    let from = compression.read(blob);
    let mut archive = Archive::new(Stream(Hashing { from, hasher: sha2::Sha256::new(), count: 0 }));
    let opaque = unpack(&mut archive, root)?;
    let Stream(mut rest) = archive.into_source();
    let position = rest.count;
    let most = limits::LARGEST_LAYER.saturating_sub(position).saturating_add(1);
    let copied = io::copy(&mut (&mut rest).take(most), &mut io::sink());
    if copied.map_err(|source| TarError::Read { position, source })? == most {
        return Err(UnpackError::TooLarge);
    }
    Ok(Done { found: Digest::finish(rest.hasher), opaque: opaque.into_iter().collect() })
}

/// A reader that takes the digest of what passes.
struct Hashing<R> {
    from: R,
    hasher: sha2::Sha256,
    count: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
    }
}
