//! Writing a tar archive of plain files, the same bytes for the same files: no times, no owners.

use std::io::{self, Read, Write};

use tar::{EntryType, Header};

/// The size of a block, which data is padded to.
const BLOCK: u64 = 512;

/// An archive that is being written.
pub(super) struct Tarball<W> {
    out: W,
}

impl<W: Write> Tarball<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out }
    }

    /// A folder; `name` ends with a slash.
    pub(super) fn folder(&mut self, name: &str) -> io::Result<()> {
        self.header(name, EntryType::Directory, 0, 0o755)
    }

    /// A file that is in memory.
    pub(super) fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.stream(name, content.len() as u64, content)
    }

    /// A file of `size` bytes, of which `content` must have as many.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if it has fewer; then the archive is broken.
    pub(super) fn stream(&mut self, name: &str, size: u64, content: impl Read) -> io::Result<()> {
        self.header(name, EntryType::Regular, size, 0o444)?;
        if io::copy(&mut content.take(size), &mut self.out)? != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let padding = size.next_multiple_of(BLOCK) - size;
        io::copy(&mut io::repeat(0).take(padding), &mut self.out)?;
        Ok(())
    }

    /// The end of the archive, written through.
    pub(super) fn finish(mut self) -> io::Result<W> {
        io::copy(&mut io::repeat(0).take(2 * BLOCK), &mut self.out)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn header(&mut self, name: &str, kind: EntryType, size: u64, mode: u32) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_path(name)?;
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }
}
