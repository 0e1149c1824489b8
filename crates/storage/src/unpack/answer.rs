//! What the confined child says at its end, over a pipe: one line of JSON, and after it the names of the opaque directories, each
//! followed by a zero byte.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::limits;
use crate::Digest;

/// The longest line: a few names and what the kernel said.
const LONGEST_LINE: u64 = 64 << 10;

/// What was unpacked.
#[derive(Debug, PartialEq, Eq)]
pub struct Done {
    /// The digest of all of the archive.
    pub found: Digest,
    /// The directories that hide what the layers below have in them, relative to the layer's root. They are marked by whoever is not
    /// confined, because the attribute takes `CAP_SYS_ADMIN`.
    pub opaque: Vec<PathBuf>,
}

/// An error from the other side: its words, and those of its causes.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    message: String,
    /// What the kernel said, if this is that.
    errno: Option<i32>,
    #[source]
    cause: Option<Box<Refusal>>,
}

impl Refusal {
    /// The words of `error` and of all its causes.
    #[must_use]
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        Self {
            message: error.to_string(),
            errno: error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error),
            cause: error.source().map(|cause| Box::new(Self::of(cause))),
        }
    }

    /// What the kernel said, where it was the kernel who refused.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.errno.or_else(|| self.cause.as_ref()?.errno())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Done(String),
    Refused(Refusal),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The pipe.
    #[error("read the answer of the program that unpacks")]
    Read(#[from] io::Error),
    /// It says nothing that can be understood, or nothing at all.
    #[error("the program that unpacks gave no answer")]
    Form,
}

/// Says how it went.
///
/// # Errors
/// As `write(2)`.
pub fn write(outcome: Result<Done, Refusal>, mut to: impl Write) -> io::Result<()> {
    let (line, opaque) = match outcome {
        Ok(done) => (Line::Done(done.found.to_string()), done.opaque),
        Err(refusal) => (Line::Refused(refusal), Vec::new()),
    };
    let mut text = serde_json::to_vec(&line)?;
    text.push(b'\n');
    for path in opaque {
        text.extend_from_slice(path.as_os_str().as_bytes());
        text.push(0);
    }
    to.write_all(&text)
}

/// Hears how it went. The other side is not trusted: whatever it says is bounded, and the names are resolved with the layer as root.
///
/// # Errors
/// See [`AnswerError`].
pub(crate) fn read(from: impl Read) -> Result<Result<Done, Refusal>, AnswerError> {
    let most = LONGEST_LINE + 2 * limits::MOST_DIRECTORY_NAMES as u64;
    let mut from = BufReader::new(from.take(most));
    let mut line = Vec::new();
    (&mut from).take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    match serde_json::from_slice(&line).map_err(|_rubbish| AnswerError::Form)? {
        Line::Refused(refusal) => Ok(Err(refusal)),
        Line::Done(found) => {
            let found = found.parse().map_err(|_rubbish| AnswerError::Form)?;
            let mut opaque = Vec::new();
            for path in from.split(0) {
                opaque.push(PathBuf::from(OsString::from_vec(path?)));
            }
            Ok(Ok(Done { found, opaque }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unpack::UnpackError;

    fn through(outcome: Result<Done, Refusal>) -> Result<Done, Refusal> {
        let mut said = Vec::new();
        write(outcome, &mut said).unwrap();
        read(said.as_slice()).unwrap()
    }

    #[test]
    fn an_answer_arrives() {
        let opaque = vec![PathBuf::from(""), PathBuf::from(OsString::from_vec(b"a\n\xff/b".to_vec()))];
        let done = || Done { found: Digest::of(b""), opaque: opaque.clone() };
        assert_eq!(through(Ok(done())), Ok(done()));
        let source = io::Error::from_raw_os_error(28);
        let error = UnpackError::Entry { entry: "a".into(), step: "write the file", source };
        let refusal = through(Err(Refusal::of(&error))).unwrap_err();
        assert_eq!(refusal.errno(), Some(28));
        assert_eq!(stockade_kernel::chain::chain(&refusal), stockade_kernel::chain::chain(&error));
    }

    #[test]
    fn rubbish_is_no_answer() {
        for said in [&b""[..], b"\n", b"{}", b"{\"done\":\"sha256:0\"}\n", b"{\"done\":1}", &[b'x'; 100_000]] {
            assert!(matches!(read(said), Err(AnswerError::Form)), "{said:?}");
        }
    }
}
