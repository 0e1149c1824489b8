//! One header block.

use tar::EntryType;

use super::pax::Extensions;
use super::{BLOCK, Entry, Kind, TarError, said};

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

    /// The whole block.
    pub(super) fn fields(&self) -> &tar::Header {
        self.0
    }

    /// The size of the data.
    pub(super) fn size(&self) -> Result<u64, TarError> {
        number(&self.0.as_old().size, self.0.entry_size()).ok_or_else(|| self.malformed("size"))
    }

    /// The numbers of a device.
    fn device(&self) -> Option<(u32, u32)> {
        let part = |part: std::io::Result<Option<u32>>| part.ok().flatten();
        part(self.0.device_major()).zip(part(self.0.device_minor()))
    }

    /// The name in the header itself, for messages.
    pub(super) fn name(&self) -> Vec<u8> {
        self.0.path_bytes().into_owned()
    }

    fn malformed(&self, field: &'static str) -> TarError {
        TarError::field(&self.name(), field)
    }

    /// The entry, with what the extensions before it say. Its data starts at `position`.
    pub(super) fn to_entry(&self, extensions: Extensions, position: u64) -> Result<Entry, TarError> {
        let path = extensions.path.unwrap_or_else(|| self.0.path_bytes().into_owned());
        let malformed = |field| TarError::field(&path, field);
        let kind = kind(self.flag(), &path)?;
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
        let fields = self.0.as_old();
        // The largest number means "unchanged" to chown(2).
        let id = |id: Option<u64>| id.and_then(|id| u32::try_from(id).ok()).filter(|id| *id != u32::MAX);
        let uid = id(extensions.uid.or_else(|| number(&fields.uid, self.0.uid())));
        let uid = uid.ok_or_else(|| malformed("uid"))?;
        let gid = id(extensions.gid.or_else(|| number(&fields.gid, self.0.gid())));
        let gid = gid.ok_or_else(|| malformed("gid"))?;
        let mode = number(&fields.mode, self.0.mode()).ok_or_else(|| malformed("mode"))? & 0o7777;
        let own = || number(&fields.mtime, self.0.mtime()).map(|seconds| (seconds.cast_signed(), 0));
        let mtime = extensions.mtime.or_else(own).ok_or_else(|| malformed("mtime"))?;
        let is_device = matches!(kind, Kind::CharacterDevice | Kind::BlockDevice);
        let device = if is_device { self.device().ok_or_else(|| malformed("device number"))? } else { (0, 0) };
        Ok(Entry {
            link,
            kind,
            size,
            mode,
            uid,
            gid,
            mtime,
            device,
            xattrs: extensions.xattrs,
            sparse: None,
            position,
            path,
        })
    }
}

/// A number in a header: where nothing at all stands in its field it is 0, as in other readers.
fn number<T: Default>(field: &[u8], parsed: std::io::Result<T>) -> Option<T> {
    let blank = field.iter().all(|byte| matches!(byte, 0 | b' '));
    if blank { Some(T::default()) } else { parsed.ok() }
}

/// What the type flag means. A directory's flag is younger than directories: their names end in a slash.
fn kind(flag: EntryType, path: &[u8]) -> Result<Kind, TarError> {
    Ok(match flag {
        EntryType::Regular if path.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Link => Kind::HardLink,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Char => Kind::CharacterDevice,
        EntryType::Block => Kind::BlockDevice,
        EntryType::Directory => Kind::Directory,
        EntryType::Fifo => Kind::Fifo,
        other => {
            let kind = format!("type {}", [other.as_byte()].escape_ascii());
            return Err(TarError::Unsupported { entry: said(path), kind });
        }
    })
}
