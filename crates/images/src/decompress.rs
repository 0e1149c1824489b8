//! Layers as they come: plain, gzip or zstd, decompressed in this process (CVE-2026-41567), in bounded memory and to a
//! bounded size.

mod zstd;

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use crate::store::Part;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), of one or more members.
    Gzip,
    /// Zstandard (RFC 8878), of one or more frames.
    Zstd,
}

/// What any layer may become, in bytes.
const FREE: u64 = 1 << 30;
/// How many bytes one compressed byte may become beyond that. Programs and text shrink to a fifth or a tenth; gzip could
/// reach 1032, zstd some 30 000, with files of zeros only.
const RATIO: u64 = 200;

impl Compression {
    /// What the first bytes of `part` say; for archives that do not say it otherwise.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn of(part: &Part) -> io::Result<Self> {
        let mut start = Vec::new();
        part.clone().take(4).read_to_end(&mut start)?;
        Ok(match start.as_slice() {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            _ => Self::None,
        })
    }

    /// Reads `from`, which has `size` bytes, decompressed. What is broken, or becomes too large, is an error of reading.
    pub(crate) fn read<'a>(self, from: impl Read + 'a, size: u64) -> Box<dyn Read + 'a> {
        let left = allowance(size);
        let buffered = BufReader::with_capacity(64 << 10, from);
        match self {
            Self::None => Box::new(buffered),
            Self::Gzip => Box::new(Bounded { from: MultiGzDecoder::new(buffered), left }),
            Self::Zstd => Box::new(Bounded { from: zstd::Frames::new(buffered), left }),
        }
    }
}

/// What a layer of `size` compressed bytes may become, in bytes.
fn allowance(size: u64) -> u64 {
    FREE.saturating_add(size.saturating_mul(RATIO))
}

/// A reader that fails when more comes than may.
struct Bounded<R> {
    from: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(Bomb)),
        }
        Ok(count)
    }
}

/// A layer that expands as only one made for it does.
#[derive(Debug, thiserror::Error)]
#[error("the layer expands to more than {FREE} bytes and {RATIO} times its compressed size")]
struct Bomb;

#[cfg(test)]
mod tests;
