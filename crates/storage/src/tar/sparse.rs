//! Sparse files: where their data goes. Four forms of GNU tar are in use: the type `S` with places in the header and in blocks
//! after it, and pax records with them (0.0, 0.1) or with them before the data (1.0).

use tar::{GnuExtSparseHeader, GnuSparseHeader};

use super::header::Block;

/// The most pieces of one file.
pub(super) const MOST_PIECES: usize = 1 << 16;

/// Data that is in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where in the file it goes.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
}

/// A file of which the archive has pieces only. They are in order, do not overlap, and are together as long as the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sparse {
    /// The pieces; zeros are between them.
    pub pieces: Vec<Piece>,
    /// The length of the file.
    pub length: u64,
}

impl Sparse {
    /// Pieces of offsets and lengths in turn, for a file of `length` with `data` bytes in the archive; `None` if they are
    /// not what is promised of them.
    pub(super) fn new(numbers: &[u64], length: u64, data: u64) -> Option<Self> {
        let (mut end, mut sum) = (0, 0_u64);
        let (pairs, rest) = numbers.as_chunks::<2>();
        let mut pieces = Vec::with_capacity(pairs.len());
        for [offset, size] in pairs {
            if *offset < end {
                return None;
            }
            end = offset.checked_add(*size)?;
            sum = sum.checked_add(*size)?;
            pieces.push(Piece { offset: *offset, length: *size });
        }
        // Offsets of the kernel are signed.
        let fits = end <= length && i64::try_from(length).is_ok();
        (rest.is_empty() && sum == data && pieces.len() <= MOST_PIECES && fits).then_some(Self { pieces, length })
    }
}

/// What pax records say of a sparse file.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    /// The name of the file: the entry's own is for readers that know nothing of sparse files.
    pub(super) name: Option<Vec<u8>>,
    /// The length of the file, which has two keys.
    pub(super) length: Option<u64>,
    /// How many pieces there are.
    pub(super) count: Option<u64>,
    /// Offsets and lengths in turn.
    pub(super) numbers: Vec<u64>,
}

/// Where the places are.
pub(super) enum Places {
    Here(Vec<u64>),
    /// Before the data.
    InData,
}

impl Records {
    /// Another offset (`odd` is 0) or length (1) of version 0.0.
    pub(super) fn push(&mut self, odd: usize, number: Option<u64>) -> Option<()> {
        let fits = self.numbers.len() % 2 == odd && self.numbers.len() < 2 * MOST_PIECES;
        self.numbers.push(number.filter(|_| fits)?);
        Some(())
    }

    /// The offsets and lengths of version 0.1.
    pub(super) fn map(&mut self, numbers: impl Iterator<Item = Option<u64>>) -> Option<()> {
        self.numbers = numbers.take(2 * MOST_PIECES + 1).collect::<Option<_>>()?;
        (self.numbers.len() <= 2 * MOST_PIECES).then_some(())
    }

    /// The places and the length of the file; `None` for a version that is not known, or one that lacks something.
    pub(super) fn places(self) -> Option<(Places, u64)> {
        let length = self.length?;
        match (self.major.unwrap_or(0), self.minor.unwrap_or(0)) {
            (1, 0) if self.numbers.is_empty() => Some((Places::InData, length)),
            (0, 0 | 1) => {
                let counted = self.count.is_none_or(|count| count == self.numbers.len() as u64 / 2);
                counted.then_some((Places::Here(self.numbers), length))
            }
            _ => None,
        }
    }
}

/// What the header of type `S` says: offsets and lengths, the length of the file, and whether a block with more follows.
pub(super) fn of_header(header: &tar::Header) -> Option<(Vec<u64>, u64, bool)> {
    let gnu = header.as_gnu()?;
    let numbers = numbers(&gnu.sparse)?;
    Some((numbers, gnu.real_size().ok()?, gnu.is_extended()))
}

/// What such a block says, and whether another one follows.
pub(super) fn of_block(block: &Block) -> Option<(Vec<u64>, bool)> {
    let mut header = GnuExtSparseHeader::new();
    header.as_mut_bytes().copy_from_slice(block);
    Some((numbers(header.sparse())?, header.is_extended()))
}

/// The offsets and lengths of those that are in use, which come first.
fn numbers(headers: &[GnuSparseHeader]) -> Option<Vec<u64>> {
    let mut numbers = Vec::new();
    for header in headers.iter().take_while(|header| !header.is_empty()) {
        numbers.extend([header.offset().ok()?, header.length().ok()?]);
    }
    Some(numbers)
}

/// The text before the data of version 1.0: numbers on lines of their own, the first of which counts pairs of others.
#[derive(Default)]
pub(super) struct Text {
    /// The digits of a line so far.
    number: Option<u64>,
    count: Option<usize>,
    pub(super) numbers: Vec<u64>,
}

impl Text {
    /// Reads one more block; whether that was all. `None` if it is malformed.
    pub(super) fn take(&mut self, block: &Block) -> Option<bool> {
        for byte in block {
            match byte {
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    let before = self.number.unwrap_or(0);
                    self.number = Some(before.checked_mul(10)?.checked_add(digit)?);
                }
                b'\n' => {
                    let number = self.number.take()?;
                    match self.count {
                        None => self.count = Some(usize::try_from(number).ok().filter(|count| *count <= MOST_PIECES)?),
                        Some(_) => self.numbers.push(number),
                    }
                    if self.count.is_some_and(|count| self.numbers.len() == 2 * count) {
                        return Some(true);
                    }
                }
                _ => return None,
            }
        }
        Some(false)
    }
}
