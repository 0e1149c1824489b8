//! One header block.

use tar::EntryType;

use super::pax::Extensions;
use super::{BLOCK, Entry, Kind, TarError};

/// A block as bytes.
pub(super) type Block = [u8; BLOCK as usize];

/// Where the checksum is, which counts as spaces when it is formed.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// A block whose checksum is right.
pub(super) struct Header<'block>(&'block tar::Header);

impl<'block> Header<'block> {
    /// The header in `block`, `None` if its checksum is wrong. Old programs summed signed bytes.
    pub(super) fn parse(block: &'block Block) -> Option<Self> {
        let header = tar::Header::from_byte_slice(block);
        let byte = |index: usize, byte: u8| if CHECKSUM.contains(&index) { b' ' } else { byte };
        let bytes = || block.iter().enumerate().map(|(index, value)| byte(index, *value));
        let unsigned: u32 = bytes().map(u32::from).sum();
        let signed: i32 = bytes().map(|byte| i32::from(byte.cast_signed())).sum();
        let said = header.cksum().ok()?;
        (said == unsigned || i32::try_from(said) == Ok(signed)).then_some(Self(header))
    }

    /// The type flag.
    pub(super) fn flag(&self) -> EntryType {
        self.0.entry_type()
    }

    /// Whether it describes the next header and is no entry of its own.
    pub(super) fn is_extension(&self) -> bool {
        let flag = self.flag();
        flag.is_gnu_longname()
            || flag.is_gnu_longlink()
            || flag.is_pax_local_extensions()
            || flag.is_pax_global_extensions()
    }

    /// The size of the data.
    pub(super) fn size(&self) -> Result<u64, TarError> {
        self.0.entry_size().map_err(|_malformed| self.malformed("size"))
    }

    /// The name in the header itself, for messages.
    pub(super) fn name(&self) -> Vec<u8> {
        self.0.path_bytes().into_owned()
    }

    fn malformed(&self, field: &'static str) -> TarError {
        TarError::Field { entry: self.name(), field }
    }

    /// The entry, with what the extensions before it say. Its data starts at `position`.
    pub(super) fn into_entry(self, extensions: Extensions, position: u64) -> Result<Entry, TarError> {
        let path = extensions.path.unwrap_or_else(|| self.0.path_bytes().into_owned());
        let malformed = |field| TarError::Field { entry: path.clone(), field };
        let kind = kind(self.flag(), &path)?;
        if extensions.sparse {
            return Err(TarError::Unsupported { entry: path, kind: "sparse".to_owned() });
        }
        let own = || self.0.link_name_bytes().map(|name| name.into_owned()).unwrap_or_default();
        let link = extensions.link.unwrap_or_else(own);
        if path.contains(&0) || link.contains(&0) {
            return Err(malformed("a name with a zero byte"));
        }
        let size = match (kind, extensions.size) {
            (Kind::File, Some(size)) => size,
            (Kind::File, None) => self.size()?,
            _ => 0,
        };
        let id = |extension: Option<u64>, own: std::io::Result<u64>, field| {
            let id = extension.map_or(own, Ok).map_err(|_malformed| malformed(field))?;
            // The largest number means "unchanged" to chown(2).
            u32::try_from(id).ok().filter(|id| *id != u32::MAX).ok_or_else(|| malformed(field))
        };
        let uid = id(extensions.uid, self.0.uid(), "uid")?;
        let gid = id(extensions.gid, self.0.gid(), "gid")?;
        let mode = self.0.mode().map_err(|_malformed| malformed("mode"))? & 0o7777;
        let mtime = match extensions.mtime {
            Some(time) => time,
            None => (self.0.mtime().map_err(|_malformed| malformed("mtime"))?.cast_signed(), 0),
        };
        let device = if matches!(kind, Kind::CharacterDevice | Kind::BlockDevice) {
            let number = |number: std::io::Result<Option<u32>>| number.ok().flatten();
            let (major, minor) = (number(self.0.device_major()), number(self.0.device_minor()));
            major.zip(minor).ok_or_else(|| malformed("device number"))?
        } else {
            (0, 0)
        };
        Ok(Entry { link, kind, size, mode, uid, gid, mtime, device, xattrs: extensions.xattrs, position, path })
    }
}

/// What the type flag means. A directory's flag is younger than directories: their names end in a slash.
fn kind(flag: EntryType, path: &[u8]) -> Result<Kind, TarError> {
    Ok(match flag {
        EntryType::Regular if path.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Link => Kind::HardLink,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Char => Kind::CharacterDevice,
        EntryType::Block => Kind::BlockDevice,
        EntryType::Directory => Kind::Directory,
        EntryType::Fifo => Kind::Fifo,
        EntryType::GNUSparse => {
            return Err(TarError::Unsupported { entry: path.to_owned(), kind: "sparse".to_owned() });
        }
        other => {
            let kind = format!("type {}", [other.as_byte()].escape_ascii());
            return Err(TarError::Unsupported { entry: path.to_owned(), kind });
        }
    })
}
