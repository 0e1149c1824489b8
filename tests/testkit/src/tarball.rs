//! Writing tar archives by hand, as no honest program does: every field can be wrong.

/// The size of a block.
const BLOCK: usize = 512;

/// An archive, grown member by member.
#[derive(Clone, Default)]
pub struct Tarball {
    bytes: Vec<u8>,
}

/// One entry with everything that stands before it.
#[derive(Clone)]
pub struct Member {
    name: Vec<u8>,
    kind: u8,
    link: Vec<u8>,
    data: Vec<u8>,
    mode: u64,
    owner: (u64, u64),
    mtime: u64,
    device: (u32, u32),
    size: Option<u64>,
    records: Vec<(Vec<u8>, Vec<u8>)>,
    edit: fn(&mut [u8; BLOCK]),
    seal: Seal,
}

/// Whether the checksum fits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seal {
    Right,
    Wrong,
}

impl Member {
    /// An entry with any type flag.
    #[must_use]
    pub fn new(kind: u8, name: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.as_ref().to_owned(),
            kind,
            link: Vec::new(),
            data: Vec::new(),
            mode: if kind == b'5' { 0o755 } else { 0o644 },
            owner: (0, 0),
            mtime: 1_700_000_000,
            device: (0, 0),
            size: None,
            records: Vec::new(),
            edit: |_| {},
            seal: Seal::Right,
        }
    }

    /// A directory.
    #[must_use]
    pub fn directory(name: impl AsRef<[u8]>) -> Self {
        Self::new(b'5', name)
    }

    /// A file.
    #[must_use]
    pub fn file(name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        Self { data: data.as_ref().to_owned(), ..Self::new(b'0', name) }
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self { link: target.as_ref().to_owned(), ..Self::new(b'2', name) }
    }

    /// A hard link.
    #[must_use]
    pub fn link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self { link: target.as_ref().to_owned(), ..Self::new(b'1', name) }
    }

    /// A character (`b'3'`) or block device (`b'4'`).
    #[must_use]
    pub fn device(kind: u8, name: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        Self { device: (major, minor), ..Self::new(kind, name) }
    }

    /// A FIFO.
    #[must_use]
    pub fn fifo(name: impl AsRef<[u8]>) -> Self {
        Self::new(b'6', name)
    }

    /// With these permission bits.
    #[must_use]
    pub fn mode(self, mode: u64) -> Self {
        Self { mode, ..self }
    }

    /// With this owner and group.
    #[must_use]
    pub fn owner(self, uid: u64, gid: u64) -> Self {
        Self { owner: (uid, gid), ..self }
    }

    /// Last changed then, in seconds.
    #[must_use]
    pub fn mtime(self, mtime: u64) -> Self {
        Self { mtime, ..self }
    }

    /// Announcing that size, whatever the data has.
    #[must_use]
    pub fn size(self, size: u64) -> Self {
        Self { size: Some(size), ..self }
    }

    /// With a record in a pax header before it.
    #[must_use]
    pub fn pax(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.records.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// With an extended attribute.
    #[must_use]
    pub fn xattr(self, name: &str, value: &[u8]) -> Self {
        self.pax(format!("SCHILY.xattr.{name}"), value)
    }

    /// With a header that `edit` has changed last; the checksum is that of the result.
    #[must_use]
    pub fn edited(self, edit: fn(&mut [u8; BLOCK])) -> Self {
        Self { edit, ..self }
    }

    /// With a checksum that does not fit.
    #[must_use]
    pub fn unsealed(self) -> Self {
        Self { seal: Seal::Wrong, ..self }
    }

    fn header(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        put(&mut block[0..100], &self.name);
        number(&mut block[100..108], self.mode);
        number(&mut block[108..116], self.owner.0);
        number(&mut block[116..124], self.owner.1);
        number(&mut block[124..136], self.size.unwrap_or(self.data.len() as u64));
        number(&mut block[136..148], self.mtime);
        block[156] = self.kind;
        put(&mut block[157..257], &self.link);
        put(&mut block[257..265], b"ustar\x0000");
        if matches!(self.kind, b'3' | b'4') {
            number(&mut block[329..337], self.device.0.into());
            number(&mut block[337..345], self.device.1.into());
        }
        (self.edit)(&mut block);
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        let sum = if self.seal == Seal::Wrong { sum + 1 } else { sum };
        put(&mut block[148..156], format!("{sum:06o}\0 ").as_bytes());
        block
    }
}

impl Tarball {
    /// Members one after the other, without the end.
    #[must_use]
    pub fn of(members: impl IntoIterator<Item = Member>) -> Self {
        members.into_iter().fold(Self::default(), Self::member)
    }

    /// One member more. What does not fit in its header stands in a pax header before it.
    #[must_use]
    pub fn member(mut self, mut member: Member) -> Self {
        let mut records = std::mem::take(&mut member.records);
        let mut long = |key: &[u8], value: &[u8]| {
            let said = records.iter().any(|(known, _)| known == key);
            if value.len() > 100 && !said {
                records.push((key.to_owned(), value.to_owned()));
            }
        };
        long(b"path", &member.name);
        long(b"linkpath", &member.link);
        if !records.is_empty() {
            let text: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
            self = self.extension(b'x', &text);
        }
        self.bytes.extend_from_slice(&member.header());
        self.data(&member.data)
    }

    /// A header before the next member: `x` or `g` for pax, `L` or `K` for GNU's long names.
    #[must_use]
    pub fn extension(mut self, kind: u8, content: &[u8]) -> Self {
        let header = Member { data: content.to_owned(), ..Member::new(kind, "././@Extension") }.header();
        self.bytes.extend_from_slice(&header);
        self.data(content)
    }

    fn data(mut self, data: &[u8]) -> Self {
        self.bytes.extend_from_slice(data);
        let padding = data.len().next_multiple_of(BLOCK) - data.len();
        self.bytes.resize(self.bytes.len() + padding, 0);
        self
    }

    /// Bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// The archive with the two blocks at its end.
    #[must_use]
    pub fn end(self) -> Vec<u8> {
        self.raw(&[0; 2 * BLOCK]).bytes
    }

    /// The archive as far as it is.
    #[must_use]
    pub fn unended(self) -> Vec<u8> {
        self.bytes
    }
}

/// A pax record, whose length counts its own digits.
#[must_use]
pub fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut bytes = format!("{length} ").into_bytes();
    bytes.extend_from_slice(key);
    bytes.push(b'=');
    bytes.extend_from_slice(value);
    bytes.push(b'\n');
    bytes
}

/// What fits of `value`.
fn put(field: &mut [u8], value: &[u8]) {
    let count = value.len().min(field.len());
    field[..count].copy_from_slice(&value[..count]);
}

/// Octal digits, or base 256 for what is too large for them.
fn number(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}");
    if text.len() <= digits {
        return put(field, text.as_bytes());
    }
    let bytes = value.to_be_bytes();
    let filler = if value > i64::MAX as u64 { 0xff } else { 0 };
    field.fill(filler);
    let count = bytes.len().min(field.len());
    let start = field.len() - count;
    field[start..].copy_from_slice(&bytes[8 - count..]);
    field[0] |= 0x80;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_themselves() {
        assert_eq!(record(b"path", b"ab"), b"11 path=ab\n");
        assert!(record(b"k", &[b'v'; 93]).starts_with(b"99 k="));
        assert!(record(b"k", &[b'v'; 94]).starts_with(b"101 k="));
    }

    #[test]
    fn archives_are_whole_blocks() {
        let archive = Tarball::of([Member::file("a", "x"), Member::symlink("b".repeat(200), "a")]).end();
        assert_eq!(archive.len() % BLOCK, 0);
        assert_eq!(archive.len() / BLOCK, 2 + 3 + 2);
    }
}
