//! What stands in headers before an entry: pax records and GNU long names.

use super::TarError;
use super::header::Header;
use super::sparse::Records;

/// The prefix of records that hold extended attributes.
const XATTR: &[u8] = b"SCHILY.xattr.";

/// The prefix of records of sparse files.
const SPARSE: &[u8] = b"GNU.sparse.";

/// The most extended attributes of one entry: a handful is in use, and the kernel's file systems have room for some hundred. Each
/// is compared with all others.
const MOST_XATTRS: usize = 512;

/// What the headers before an entry say about it.
#[derive(Default)]
pub(super) struct Extensions {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// What makes the entry a sparse file, of which the archive has pieces only.
    pub(super) sparse: Option<Records>,
    /// Whether there was a pax header.
    pax: bool,
}

impl Extensions {
    /// Takes in one extension header. Global ones are passed over, as Docker does: they hold comments.
    pub(super) fn take(&mut self, header: &Header<'_>, mut bytes: Vec<u8>) -> Result<(), TarError> {
        let flag = header.flag();
        if flag.is_pax_global_extensions() {
            return Ok(());
        }
        // What is said twice is read in different ways by different readers, so it is refused.
        let twice = |field| TarError::field(&header.name(), field);
        if flag.is_pax_local_extensions() {
            if std::mem::replace(&mut self.pax, true) || self.path.is_some() || self.link.is_some() {
                return Err(twice("a second extension header"));
            }
            return self.records(&bytes);
        }
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
        let field = if flag.is_gnu_longname() { &mut self.path } else { &mut self.link };
        if field.is_some() {
            return Err(twice("a second long name"));
        }
        *field = Some(bytes);
        Ok(())
    }

    /// Records of the form `LENGTH KEY=VALUE\n`, of which the last with a key is the one that counts.
    fn records(&mut self, mut rest: &[u8]) -> Result<(), TarError> {
        let malformed = |key: &[u8]| TarError::field(key, "a pax record");
        while !rest.is_empty() {
            let (key, value, after) = record(rest).ok_or_else(|| malformed(&rest[..rest.len().min(64)]))?;
            rest = after;
            let known = match key {
                b"path" => keep(&mut self.path, text(value)),
                b"linkpath" => keep(&mut self.link, text(value)),
                b"size" => keep(&mut self.size, number(value)),
                b"uid" => keep(&mut self.uid, number(value)),
                b"gid" => keep(&mut self.gid, number(value)),
                b"mtime" => keep(&mut self.mtime, time(value)),
                _ if key.starts_with(SPARSE) => self.sparse(&key[SPARSE.len()..], value),
                _ => key.strip_prefix(XATTR).map_or(Some(()), |name| self.xattr(name, value)),
            };
            known.ok_or_else(|| malformed(key))?;
        }
        Ok(())
    }

    /// A record of a sparse file. One that is not known could say that the data is not what it seems.
    fn sparse(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let records = self.sparse.get_or_insert_default();
        match key {
            b"major" => keep(&mut records.major, number(value)),
            b"minor" => keep(&mut records.minor, number(value)),
            b"name" => keep(&mut records.name, text(value)),
            b"size" | b"realsize" => keep(&mut records.length, number(value)),
            b"numblocks" => keep(&mut records.count, number(value)),
            b"offset" => records.push(0, number(value)),
            b"numbytes" => records.push(1, number(value)),
            b"map" if value.is_empty() => records.map(std::iter::empty()),
            b"map" => records.map(value.split(|byte| *byte == b',').map(number)),
            _ => None,
        }
    }

    fn xattr(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        if name.is_empty() || name.contains(&0) {
            return None;
        }
        self.xattrs.retain(|(other, _)| other != name);
        if self.xattrs.len() == MOST_XATTRS {
            return None;
        }
        self.xattrs.push((name.to_owned(), value.to_owned()));
        Some(())
    }
}

/// Puts `value` into `field`, if there is one.
fn keep<T>(field: &mut Option<T>, value: Option<T>) -> Option<()> {
    *field = Some(value?);
    Some(())
}

/// The key and value of the first record, and what follows it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(&bytes[..space])?).ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    (equals > 0).then(|| (&record[..equals], &record[equals + 1..], &bytes[length..]))
}

fn text(value: &[u8]) -> Option<Vec<u8>> {
    (!value.contains(&0) && !value.is_empty()).then(|| value.to_owned())
}

fn number(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| all)
}

/// Seconds with a fraction: `1700000000.25`, `-1.5`. Digits beyond nanoseconds are cut off.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(number(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |place: usize| u32::from(fraction.get(place).map_or(0, |byte| byte - b'0'));
    let nanoseconds = (0..9).fold(0, |sum, place| sum * 10 + digit(place));
    Some(match (negative, nanoseconds) {
        (false, nanoseconds) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        (true, nanoseconds) => (-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_fractions() {
        for (text, expected) in [
            ("0", Some((0, 0))),
            ("1700000000.25", Some((1_700_000_000, 250_000_000))),
            ("1.0000000019", Some((1, 1))),
            ("-1.5", Some((-2, 500_000_000))),
            ("-3", Some((-3, 0))),
            ("1.", Some((1, 0))),
            ("", None),
            (".5", None),
            ("1.x", None),
            ("--1", None),
            ("9223372036854775808", None),
        ] {
            assert_eq!(time(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn records_are_read_to_their_length() {
        assert_eq!(record(b"11 path=ab\nrest"), Some((&b"path"[..], &b"ab"[..], &b"rest"[..])));
        assert_eq!(record(b"13 path=a\nb\n\nx").map(|(_, value, _)| value), Some(&b"a\nb\n"[..]));
        for bytes in
            [&b"path=a\n"[..], b"5 a=b", b"99 a=b\n", b"2 a=b\n", b"6 ab\n\n", b"6 =ab\n", b"0 a=b\n", b"+6 a=b\n"]
        {
            assert_eq!(record(bytes), None, "{}", bytes.escape_ascii());
        }
    }
}
