//! What `stockade-unpack` does, and what it says to [`Layers`](crate::Layers).
//!
//! The answer is one JSON document. Whoever took that process over may have written it, so it is read as a stranger's.

use std::ffi::OsStr;
use std::io::{self, BufReader, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Digest as _;

use crate::tar::{Archive, Stream, TarError};
use crate::unpack::{Umask, UnpackError, limits, unpack as unpack_archive};
use crate::{Compression, Digest, Privilege};

/// The most bytes of an answer: the names of opaque directories are the largest part.
pub(crate) const LARGEST_ANSWER: u64 = 8 << 20;

/// The longest text in an answer that is honest: two escaped names.
const LONGEST_TEXT: usize = 36 << 10;

/// How much of the archive is held.
const CHUNK: usize = 256 << 10;

/// How unpacking went.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// All of the archive is in the folder.
    Unpacked(Unpacked),
    /// It is not what a layer may be.
    Refused(UnpackError),
    /// The process could not be confined, and read nothing.
    Unconfined(String),
}

/// A layer that was unpacked, but for what only its owner may do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Unpacked {
    /// The digest of the archive, as `sha256:` and digits.
    pub(crate) digest: String,
    /// The directories that hide what is below them, by the bytes of their names from the root of the layer.
    opaque: Vec<Vec<u8>>,
    /// How many devices were left out.
    pub(crate) devices: u64,
}

impl Unpacked {
    /// The digest of the archive, `None` if what was said is none.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.digest.parse().ok()
    }

    /// The directories that hide what is below them.
    pub(crate) fn opaque(&self) -> impl Iterator<Item = &Path> {
        self.opaque.iter().map(|name| Path::new(OsStr::from_bytes(name)))
    }
}

impl Answer {
    /// The document.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // What is not text is said in numbers, so that there is nothing that JSON cannot say.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads it as one that anybody may have written: `None` if it is none, or has what no honest one has.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        is_plain(&value).then_some(())?;
        serde_json::from_value(value).ok()
    }
}

/// Whether all text could be shown on a terminal as it is.
fn is_plain(value: &Value) -> bool {
    let text = |text: &str| text.len() <= LONGEST_TEXT && !text.chars().any(char::is_control);
    match value {
        Value::String(string) => text(string),
        Value::Array(values) => values.iter().all(is_plain),
        Value::Object(properties) => properties.iter().all(|(key, value)| text(key) && is_plain(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// Unpacks the archive with this compression in `blob` into the empty folder `root` as `privilege` allows, and reads `blob` to its
/// end. The caller's file mode creation mask is 0.
///
/// # Errors
/// See [`UnpackError`]; what was unpacked so far stays in the folder, for the caller to remove.
pub fn unpack(
    compression: Compression,
    blob: impl Read,
    root: BorrowedFd<'_>,
    privilege: Privilege,
) -> Result<Unpacked, UnpackError> {
    let hashing = Hashing { from: compression.read(blob), hasher: sha2::Sha256::new(), count: 0 };
    let mut archive = Archive::new(Stream(BufReader::with_capacity(CHUNK, hashing)));
    let told = unpack_archive(&mut archive, root, Umask::Zero, privilege)?;
    let Stream(mut rest) = archive.into_source();
    let position = rest.get_ref().count;
    let most = limits::LARGEST_LAYER.saturating_sub(position).saturating_add(1);
    let copied = io::copy(&mut (&mut rest).take(most), &mut io::sink());
    if copied.map_err(|source| TarError::Read { position, source })? >= most {
        return Err(UnpackError::TooLarge);
    }
    let digest = Digest::finish(rest.into_inner().hasher).to_string();
    let bytes = |path: PathBuf| path.into_os_string().into_encoded_bytes();
    Ok(Unpacked { digest, opaque: told.opaque.into_iter().map(bytes).collect(), devices: told.devices })
}

/// A reader that takes the digest of what passes.
struct Hashing<R> {
    from: R,
    hasher: sha2::Sha256,
    count: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_anything_odd_is_none() {
        let unpacked = Unpacked { digest: Digest::of(b"").to_string(), opaque: vec![b"a/\xff".to_vec()], devices: 0 };
        let honest = Answer::Unpacked(unpacked).to_bytes();
        let Some(Answer::Unpacked(back)) = Answer::parse(&honest) else { panic!("no answer") };
        assert_eq!(back.digest(), Some(Digest::of(b"")));
        assert_eq!(back.opaque().count(), 1);
        for text in [
            "",
            "null",
            "{}",
            "{\"Unconfined\": \"\\u001b[2J\"}",
            "{\"Unconfined\": 1}",
            "{\"Refused\": {\"TooLarge\": 1}}",
            "{\"Unconfined\": \"a\"} {}",
        ] {
            assert!(Answer::parse(text.as_bytes()).is_none(), "{text}");
        }
        let long = format!("{{\"Unconfined\": \"{}\"}}", "a".repeat(LONGEST_TEXT + 1));
        assert!(Answer::parse(long.as_bytes()).is_none());
    }
}
