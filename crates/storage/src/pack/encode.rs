//! Headers of a tar archive: ustar (POSIX.1-1988), and pax (POSIX.1-2001) before what does not fit.

use crate::tar::{Entry, Kind};

/// The size of a block.
const BLOCK: usize = 512;
/// The most bytes of one extension header, which readers take (ours, and Go's).
const LARGEST_EXTENSION: usize = 1 << 20;

/// The headers of an entry; `None` if its attributes are larger than readers take.
pub(super) fn header(entry: &Entry) -> Option<Vec<u8>> {
    let mut records = Vec::new();
    let mut block = [0; BLOCK];
    if !text(&mut block[..100], &entry.path) {
        record(&mut records, b"path", &entry.path);
    }
    if !text(&mut block[157..257], &entry.link) {
        record(&mut records, b"linkpath", &entry.link);
    }
    octal(&mut block[100..108], u64::from(entry.mode));
    for (field, key, id) in [(108..116, b"uid", entry.uid), (116..124, b"gid", entry.gid)] {
        if !octal(&mut block[field], id.into()) {
            record(&mut records, key, id.to_string().as_bytes());
        }
    }
    if !octal(&mut block[124..136], entry.size) {
        record(&mut records, b"size", entry.size.to_string().as_bytes());
    }
    let (seconds, nanoseconds) = entry.mtime;
    let fits = u64::try_from(seconds).is_ok_and(|seconds| octal(&mut block[136..148], seconds));
    if !fits || nanoseconds != 0 {
        record(&mut records, b"mtime", time(seconds, nanoseconds).as_bytes());
    }
    for (name, value) in &entry.xattrs {
        record(&mut records, &[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    block[156] = flag(entry.kind);
    if matches!(entry.kind, Kind::CharacterDevice | Kind::BlockDevice) {
        octal(&mut block[329..337], entry.device.0.into());
        octal(&mut block[337..345], entry.device.1.into());
    }
    if records.len() > LARGEST_EXTENSION {
        return None;
    }
    let mut bytes = extension(&records);
    bytes.extend_from_slice(&finished(block));
    Some(bytes)
}

/// What an archive ends with.
#[must_use]
pub fn end() -> [u8; 2 * BLOCK] {
    [0; 2 * BLOCK]
}

/// How many zeros follow `size` bytes of data.
pub(super) fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// The pax header with these records; nothing without any. It holds nothing of its own that could differ from one time to the next.
fn extension(records: &[u8]) -> Vec<u8> {
    if records.is_empty() {
        return Vec::new();
    }
    let mut block = [0; BLOCK];
    text(&mut block[..100], b"PaxHeaders.0");
    for (field, value) in [(100..108, 0o644), (108..116, 0), (116..124, 0), (136..148, 0)] {
        octal(&mut block[field], value);
    }
    octal(&mut block[124..136], records.len() as u64);
    block[156] = b'x';
    let mut bytes = finished(block).to_vec();
    bytes.extend_from_slice(records);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// With the magic and the checksum.
fn finished(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].copy_from_slice(b"        ");
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block[148..155], sum);
    block
}

/// The type flag.
fn flag(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::CharacterDevice => b'3',
        Kind::BlockDevice => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    }
}

/// Writes a name into its field, as far as it fits; whether it did.
fn text(field: &mut [u8], name: &[u8]) -> bool {
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
    length == name.len()
}

/// Writes a number into its field, with a zero byte behind it; zero, if it does not fit. Whether it did.
fn octal(field: &mut [u8], value: u64) -> bool {
    let digits = field.len() - 1;
    let fits = value >> (3 * digits) == 0;
    let written = format!("{:0digits$o}\0", if fits { value } else { 0 });
    field.copy_from_slice(written.as_bytes());
    fits
}

/// Appends a record `LENGTH KEY=VALUE\n`, whose length counts itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let body = key.len() + value.len() + 3;
    let mut length = body;
    // One more digit can make one more digit needed, once.
    for _ in 0..3 {
        length = body + length.to_string().len();
        if body + length.to_string().len() == length {
            break;
        }
        length = length.max(body);
    }
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Seconds with a fraction.
fn time(seconds: i64, nanoseconds: u32) -> String {
    let (sign, whole, fraction) = match (seconds < 0, nanoseconds) {
        (true, 1..) => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds),
        (true, 0) => ("-", seconds.unsigned_abs(), 0),
        (false, nanoseconds) => ("", seconds.unsigned_abs(), nanoseconds),
    };
    let text = format!("{sign}{whole}.{fraction:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_own_length() {
        for size in (0..120).chain(980..1010).chain(9_980..10_010) {
            let mut bytes = Vec::new();
            record(&mut bytes, b"key", &vec![b'v'; size]);
            let text = String::from_utf8(bytes.clone()).unwrap();
            let said: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(said, bytes.len(), "{size}");
        }
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        for ((seconds, nanoseconds), expected) in [
            ((0, 0), "0"),
            ((10, 0), "10"),
            ((1_700_000_000, 250_000_000), "1700000000.25"),
            ((1, 1), "1.000000001"),
            ((-2, 500_000_000), "-1.5"),
            ((-1, 750_000_000), "-0.25"),
            ((-3, 0), "-3"),
        ] {
            assert_eq!(time(seconds, nanoseconds), expected);
        }
    }
}
