//! Reading tar archives of strangers, entry by entry, in bounded memory.
//!
//! The crate `tar` parses the fields of a header here and no more: its own iterator reads a pax header or a long name of
//! any announced size into memory, and knows nothing of `size` in pax headers when it is told not to (CVE-2017-14992,
//! CVE-2021-21285 are that class). What is read: ustar, pax (POSIX.1-2001: `path`, `linkpath`, `size`, `uid`, `gid`,
//! `mtime`, `SCHILY.xattr.*`), GNU long names, sparse files and base-256 numbers. Everything else is refused. Where
//! readers disagree (sizes of entries without data, the end of the archive) this one does as Go's `archive/tar`, by which
//! images are made and judged elsewhere.

mod header;
mod pax;
mod sparse;

use std::borrow::Cow;
use std::io::{self, Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};

use header::{Block, Header};
use pax::Extensions;
use sparse::{MOST_PIECES, Places, Text};

pub use sparse::{Piece, Sparse};

/// The size of a block: every header is one, data is padded to them.
const BLOCK: u64 = 512;
/// The most bytes of one extension header (pax or GNU long name): as in Go's `archive/tar`. A path has at most 4096.
const LARGEST_EXTENSION: u64 = 1 << 20;
/// The most extension headers before one entry: a long name, a long link, one pax and some global ones are in use.
const MOST_EXTENSIONS: usize = 16;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file with data.
    File,
    /// Another name of an earlier entry.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A FIFO.
    Fifo,
}

/// One entry of an archive. All of it was chosen by whoever made the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name as it stands in the archive; without zero bytes.
    pub path: Vec<u8>,
    /// The target of a link; without zero bytes.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The bytes of data that follow, 0 for all but files.
    pub size: u64,
    /// Where the data goes in a file that has holes; `None` for others.
    pub sparse: Option<Sparse>,
    /// The permission bits, with set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The time of its last change: seconds since 1970, and nanoseconds below 1 000 000 000.
    pub mtime: (i64, u32),
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes, by name, without zero bytes in the names.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where its data starts, in bytes from the start of the archive.
    pub position: u64,
}

impl Entry {
    /// The length of the file, with its holes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.sparse.as_ref().map_or(self.size, |sparse| sparse.length)
    }
}

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum TarError {
    /// Its source failed.
    #[error("read the archive at byte {position}")]
    Read {
        /// Where.
        position: u64,
        /// How.
        #[serde(with = "crate::said")]
        source: io::Error,
    },
    /// It ends within an entry.
    #[error("the archive ends within an entry, at byte {0}")]
    Truncated(u64),
    /// A block that should be a header and is none.
    #[error("the block at byte {0} of the archive is no tar header (it is no tar archive, or it is compressed)")]
    NoHeader(u64),
    /// A field that does not hold what it should.
    #[error("entry `{}` of the archive: {field} is malformed", entry.escape_ascii())]
    Field {
        /// The entry.
        entry: Vec<u8>,
        /// The field.
        field: Cow<'static, str>,
    },
    /// A kind of entry that has no place in an image.
    #[error("entry `{}` of the archive is of an unsupported kind ({kind})", entry.escape_ascii())]
    Unsupported {
        /// The entry.
        entry: Vec<u8>,
        /// The type flag, or `sparse`.
        kind: String,
    },
    /// An extension header that is larger than any needs to be.
    #[error("an extension header of {0} bytes in the archive: {LARGEST_EXTENSION} are the most")]
    LargeExtension(u64),
    /// Extension headers without an entry.
    #[error("more than {MOST_EXTENSIONS} extension headers before one entry, at byte {0} of the archive")]
    ManyExtensions(u64),
}

impl TarError {
    /// A malformed field of the entry called `name`, of which not more than any path is said.
    fn field(name: &[u8], field: &'static str) -> Self {
        Self::Field { entry: said(name), field: field.into() }
    }
}

/// As much of a name as a path can have.
fn said(name: &[u8]) -> Vec<u8> {
    name[..name.len().min(4096)].to_owned()
}

/// What an archive is read from.
pub trait Source: Read {
    /// Passes over `count` bytes.
    ///
    /// # Errors
    /// As reading; `UnexpectedEof` if there are fewer.
    fn skip(&mut self, count: u64) -> io::Result<()>;
}

/// An archive that can only be read from start to end.
#[derive(Debug)]
pub struct Stream<R>(pub R);

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Source for Stream<R> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.0).take(count), &mut io::sink())?;
        if skipped == count { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl Source for std::fs::File {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        // Seeking past the end is no error for the kernel, so the length is asked for.
        let end = self.stream_position()?.checked_add(count).filter(|end| i64::try_from(*end).is_ok());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        if end > self.metadata()?.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.seek(SeekFrom::Start(end)).map(|_| ())
    }
}

/// The entries of an archive.
#[derive(Debug)]
pub struct Archive<S> {
    source: S,
    position: u64,
    /// Data of the current entry that was not read yet.
    data: u64,
    /// The padding after it.
    padding: u64,
}

impl<S: Source> Archive<S> {
    /// Reads `source` from where it stands.
    pub fn new(source: S) -> Self {
        Self { source, position: 0, data: 0, padding: 0 }
    }

    /// The source, for what may follow the archive's end.
    pub fn into_source(self) -> S {
        self.source
    }

    /// The next entry, `None` at the end; what was not read of the one before is passed over.
    ///
    /// # Errors
    /// See [`TarError`]. The archive is not to be read on after one.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extensions = Extensions::default();
        for count in 0.. {
            self.skip_rest()?;
            let start = self.position;
            let Some(block) = self.header_block()? else {
                return if count == 0 { Ok(None) } else { Err(TarError::Truncated(self.position)) };
            };
            if count > MOST_EXTENSIONS {
                return Err(TarError::ManyExtensions(start));
            }
            let header = Header::parse(&block).ok_or(TarError::NoHeader(start))?;
            if !header.is_extension() {
                return self.entry(&header, extensions).map(Some);
            }
            let size = header.size()?;
            if size > LARGEST_EXTENSION {
                return Err(TarError::LargeExtension(size));
            }
            self.expect_data(size)?;
            let bytes = self.extension()?;
            extensions.take(&header, bytes)?;
        }
        Err(TarError::ManyExtensions(self.position))
    }

    /// The entry of `header`, which was read last.
    fn entry(&mut self, header: &Header<'_>, mut extensions: Extensions) -> Result<Entry, TarError> {
        let records = extensions.sparse.take();
        let malformed = |entry: &Entry| TarError::field(&entry.path, "the map of a sparse file");
        let name = records.as_ref().and_then(|records| records.name.clone());
        extensions.path = name.or(extensions.path);
        let mut entry = header.to_entry(extensions, self.position)?;
        let old = header.flag().is_gnu_sparse();
        if records.is_some() && (old || entry.kind != Kind::File) {
            return Err(malformed(&entry));
        }
        if old {
            let (numbers, length) = self.old_places(header)?.ok_or_else(|| malformed(&entry))?;
            entry.position = self.position;
            self.expect_data(entry.size)?;
            entry.sparse = Some(Sparse::new(&numbers, length, entry.size).ok_or_else(|| malformed(&entry))?);
            return Ok(entry);
        }
        self.expect_data(entry.size)?;
        if let Some((places, length)) =
            records.map(|records| records.places().ok_or_else(|| malformed(&entry))).transpose()?
        {
            let numbers = match places {
                Places::Here(numbers) => numbers,
                Places::InData => self.places_in_data()?.ok_or_else(|| malformed(&entry))?,
            };
            (entry.position, entry.size) = (self.position, self.data);
            entry.sparse = Some(Sparse::new(&numbers, length, entry.size).ok_or_else(|| malformed(&entry))?);
        }
        Ok(entry)
    }

    /// The places of the data of a file of type `S`, and its length; `None` if they are malformed.
    fn old_places(&mut self, header: &Header<'_>) -> Result<Option<(Vec<u64>, u64)>, TarError> {
        let Some((mut numbers, length, mut more)) = sparse::of_header(header.fields()) else { return Ok(None) };
        while more && numbers.len() <= 2 * MOST_PIECES {
            let block = self.block()?.ok_or(TarError::Truncated(self.position))?;
            let Some((next, goes_on)) = sparse::of_block(&block) else { return Ok(None) };
            // A block that is not full is the last one.
            if goes_on && next.len() < 42 {
                return Ok(None);
            }
            numbers.extend(next);
            more = goes_on;
        }
        Ok(Some((numbers, length)))
    }

    /// The places that stand before the data, in blocks of their own.
    fn places_in_data(&mut self) -> Result<Option<Vec<u64>>, TarError> {
        let mut text = Text::default();
        loop {
            let mut block = [0; BLOCK as usize];
            let mut filled = 0;
            while filled < block.len() {
                match self.read_data(&mut block[filled..])? {
                    0 => return Ok(None),
                    count => filled += count,
                }
            }
            match text.take(&block) {
                Some(false) => {}
                all => return Ok(all.map(|_| text.numbers)),
            }
        }
    }

    /// The whole data of an extension header, whose size was checked.
    fn extension(&mut self) -> Result<Vec<u8>, TarError> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.read_data(&mut buffer)? {
                0 => return Ok(bytes),
                count => bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Reads data of the current entry; 0 at its end.
    ///
    /// # Errors
    /// [`TarError::Read`] and [`TarError::Truncated`].
    pub fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let most = usize::try_from(self.data).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.read_some(&mut buffer[..most])?;
        if count == 0 {
            return Err(TarError::Truncated(self.position));
        }
        self.data -= count as u64;
        Ok(count)
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        loop {
            match self.source.read(buffer) {
                Ok(count) => {
                    self.position += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(TarError::Read { position: self.position, source }),
            }
        }
    }

    /// Notes that `size` bytes and their padding follow.
    fn expect_data(&mut self, size: u64) -> Result<(), TarError> {
        let padding = (BLOCK - size % BLOCK) % BLOCK;
        let end = self.position.checked_add(size).and_then(|end| end.checked_add(padding));
        end.ok_or(TarError::Truncated(self.position))?;
        (self.data, self.padding) = (size, padding);
        Ok(())
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        let count = self.data + self.padding;
        if count > 0 {
            self.source.skip(count).map_err(|source| match source.kind() {
                io::ErrorKind::UnexpectedEof => TarError::Truncated(self.position),
                _ => TarError::Read { position: self.position, source },
            })?;
            self.position += count;
        }
        (self.data, self.padding) = (0, 0);
        Ok(())
    }

    /// The next block, `None` at the end: two blocks of zeros, one at the very end, or the end of the source.
    fn header_block(&mut self) -> Result<Option<Block>, TarError> {
        let start = self.position;
        let Some(block) = self.block()? else { return Ok(None) };
        if block.iter().any(|byte| *byte != 0) {
            return Ok(Some(block));
        }
        match self.block()? {
            Some(second) if second.iter().any(|byte| *byte != 0) => Err(TarError::NoHeader(start)),
            _ => Ok(None),
        }
    }

    fn block(&mut self) -> Result<Option<Block>, TarError> {
        let mut block = [0; BLOCK as usize];
        let mut filled = 0;
        while filled < block.len() {
            match self.read_some(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(TarError::Truncated(self.position)),
                count => filled += count,
            }
        }
        Ok(Some(block))
    }
}

#[cfg(test)]
mod tests;
