//! Layers as they come: plain, gzip or zstd, decompressed by Rust code and no other program (CVE-2026-41567), in bounded
//! memory and to a bounded size.

mod zstd;

use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
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
/// How much is read of the compressed layer at once.
const CHUNK: usize = 128 << 10;

impl Compression {
    /// What the first bytes of `blob` say, of which four are looked at; for archives that do not say it otherwise.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(blob: impl Read) -> io::Result<Self> {
        let mut start = Vec::new();
        blob.take(4).read_to_end(&mut start)?;
        Ok(match start.as_slice() {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            _ => Self::None,
        })
    }

    /// Its name, which is the name of the program that makes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The one of this [`name`](Self::name).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Zstd].into_iter().find(|one| one.name() == name)
    }

    /// Reads `blob` decompressed, to its very end. What is broken, or has become too large for what was read of `blob` by
    /// then, is an error of reading.
    pub fn read<'a>(self, blob: impl Read + 'a) -> Box<dyn Read + 'a> {
        if self == Self::None {
            return Box::new(blob);
        }
        let taken = Rc::new(Cell::new(0));
        let buffered = BufReader::with_capacity(CHUNK, Counted { from: blob, taken: Rc::clone(&taken) });
        match self {
            Self::Zstd => Box::new(Bounded { from: zstd::Frames::new(buffered), taken, given: 0 }),
            Self::Gzip | Self::None => Box::new(Bounded { from: MultiGzDecoder::new(buffered), taken, given: 0 }),
        }
    }
}

/// What a layer may have become after `size` compressed bytes, in bytes.
fn allowance(size: u64) -> u64 {
    FREE.saturating_add(size.saturating_mul(RATIO))
}

/// A reader that says how many bytes it gave.
struct Counted<R> {
    from: R,
    taken: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.taken.set(self.taken.get() + count as u64);
        Ok(count)
    }
}

/// A reader that fails when more comes than may.
struct Bounded<R> {
    from: R,
    /// What was read of the compressed bytes.
    taken: Rc<Cell<u64>>,
    given: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.given += count as u64;
        if self.given > allowance(self.taken.get()) { Err(io::Error::other(Bomb)) } else { Ok(count) }
    }
}

/// A layer that expands as only one made for it does.
#[derive(Debug, thiserror::Error)]
#[error("the layer expands to more than {FREE} bytes and {RATIO} times its compressed size")]
struct Bomb;

#[cfg(test)]
mod tests;
