//! The log in Docker's `json-file` format.
//!
//! One JSON object per line: `{"log":"...","stream":"stdout","time":"..."}`. A line of the container that is longer than 16 KiB is
//! written in pieces, of which only the last ends in `\n`; so is a line that the container did not end. Pieces of a line
//! have the time of the first. The escapes are those of Docker's writer, which are Go's for HTML: a reader of either
//! finds the same bytes. What is not UTF-8 becomes U+FFFD, one for each byte, as in Go.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::OFlags;
use stockade_monitor::order::Log;

use crate::folder::Folder;
use crate::streams::Stream;

/// The longest piece of a line.
const LONGEST: usize = 16 << 10;

/// How much text is collected for one `write(2)`.
const ENOUGH: usize = 32 << 10;

/// A log that is written.
#[derive(Debug, Default)]
pub(crate) struct JsonLog {
    /// `None`: the output is kept nowhere.
    file: Option<File>,
    lines: [Line; 2],
    text: Vec<u8>,
    /// Whether a write ended within a line.
    torn: bool,
    /// The first write that failed, until it is told. The container goes on, and later writes are tried.
    failed: Option<io::Error>,
    told: bool,
}

/// What was read of a line that has not ended.
#[derive(Debug, Default)]
struct Line {
    kept: Vec<u8>,
    /// When its first piece was written.
    since: Option<Timestamp>,
}

impl JsonLog {
    /// Opens the log; a path is taken from the container's folder if it is relative.
    ///
    /// # Errors
    /// As `open(2)`; `EINVAL` for what is no regular file.
    pub(crate) fn open(log: &Log, folder: &Folder) -> io::Result<Self> {
        let Log::JsonFile(path) = log else { return Ok(Self::default()) };
        let file = folder.open_file(Path::new(path), OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE)?;
        Ok(Self { file: Some(file), ..Self::default() })
    }

    /// Takes what the container wrote. If it can not be written it is lost to the log, and [`JsonLog::failure`] tells.
    pub(crate) fn take(&mut self, stream: Stream, mut bytes: &[u8]) {
        if self.file.is_none() {
            return;
        }
        let now = Timestamp::now();
        while !bytes.is_empty() {
            let line = &mut self.lines[stream.index()];
            let room = LONGEST - line.kept.len();
            let window = &bytes[..room.min(bytes.len())];
            if let Some(end) = window.iter().position(|byte| *byte == b'\n') {
                line.kept.extend_from_slice(&window[..=end]);
                bytes = &bytes[end + 1..];
                let time = line.since.take().unwrap_or(now);
                entry(&mut self.text, &line.kept, stream, time);
                line.kept.clear();
            } else {
                line.kept.extend_from_slice(window);
                bytes = &bytes[window.len()..];
                if line.kept.len() == LONGEST {
                    entry(&mut self.text, &line.kept, stream, *line.since.get_or_insert(now));
                    line.kept.clear();
                }
            }
            if self.text.len() >= ENOUGH {
                self.write();
            }
        }
        self.write();
    }

    /// Writes the lines that did not end.
    pub(crate) fn finish(&mut self) {
        for stream in [Stream::Output, Stream::Error] {
            let line = std::mem::take(&mut self.lines[stream.index()]);
            if !line.kept.is_empty() {
                entry(&mut self.text, &line.kept, stream, line.since.unwrap_or_else(Timestamp::now));
            }
        }
        self.write();
    }

    /// The first failure to write; told once.
    pub(crate) fn failure(&mut self) -> Option<io::Error> {
        self.told |= self.failed.is_some();
        self.failed.take()
    }

    fn write(&mut self) {
        let Some(file) = &mut self.file else { return };
        if self.text.is_empty() {
            return;
        }
        // What follows a torn line begins a new one, so that a reader loses that line only.
        let result = if self.torn { file.write_all(b"\n") } else { Ok(()) };
        let result = result.and_then(|()| file.write_all(&self.text));
        self.torn = result.is_err();
        self.text.clear();
        self.text.shrink_to(2 * ENOUGH);
        if let (Err(error), false) = (result, self.told) {
            self.failed.get_or_insert(error);
        }
    }
}

/// Appends one object and its end of line.
fn entry(text: &mut Vec<u8>, log: &[u8], stream: Stream, time: Timestamp) {
    text.extend_from_slice(b"{\"log\":\"");
    escape(text, log);
    text.extend_from_slice(format!("\",\"stream\":\"{}\",\"time\":\"{time}\"}}\n", stream.name()).as_bytes());
}

/// Appends the inside of a JSON string.
fn escape(text: &mut Vec<u8>, log: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for chunk in log.utf8_chunks() {
        let valid = chunk.valid();
        let mut copied = 0;
        for (at, character) in valid.char_indices() {
            if !matches!(character, '\0'..='\x1f' | '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}') {
                continue;
            }
            text.extend_from_slice(&valid.as_bytes()[copied..at]);
            copied = at + character.len_utf8();
            match character {
                '"' | '\\' => text.extend([b'\\', character as u8]),
                '\n' => text.extend_from_slice(b"\\n"),
                '\r' => text.extend_from_slice(b"\\r"),
                _ => {
                    let code = character as usize;
                    text.extend_from_slice(b"\\u");
                    text.extend([12, 8, 4, 0].map(|shift| HEX[code >> shift & 15]));
                }
            }
        }
        text.extend_from_slice(&valid.as_bytes()[copied..]);
        for _ in chunk.invalid() {
            text.extend_from_slice(b"\\ufffd");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn escaped(log: &[u8]) -> String {
        let mut text = Vec::new();
        escape(&mut text, log);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn escapes_are_those_of_dockers_writer() {
        for (log, expected) in [
            (&b"plain \x7f ~"[..], "plain \x7f ~"),
            (b"a\"b\\c", r#"a\"b\\c"#),
            (b"\n\r\t\x08\x0c\0\x1b\x1f", r"\n\r\u0009\u0008\u000c\u0000\u001b\u001f"),
            (b"<a href=\"x\">&amp;</a>", r#"\u003ca href=\"x\"\u003e\u0026amp;\u003c/a\u003e"#),
            ("\u{2028}x\u{2029}".as_bytes(), r"\u2028x\u2029"),
            ("gr\u{fc}n \u{1f600}".as_bytes(), "gr\u{fc}n \u{1f600}"),
            (b"\xff", r"\ufffd"),
            // One for each byte, also of a sequence that was cut off.
            (b"\xe2\x82x", r"\ufffd\ufffdx"),
            (b"x\xf0\x9f\x98", r"x\ufffd\ufffd\ufffd"),
            // Overlong, a surrogate, and beyond the last character.
            (b"\xc0\x80", r"\ufffd\ufffd"),
            (b"\xed\xa0\x80", r"\ufffd\ufffd\ufffd"),
            (b"\xf4\x90\x80\x80", r"\ufffd\ufffd\ufffd\ufffd"),
            // A real U+FFFD is valid.
            ("\u{fffd}".as_bytes(), "\u{fffd}"),
        ] {
            assert_eq!(escaped(log), expected, "{log:?}");
        }
    }

    /// The log's lines after `pieces`, as the texts and streams.
    fn logged(pieces: &[(Stream, &[u8])]) -> Vec<(String, String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let opened = Folder::open(folder.path()).unwrap();
        let mut log = JsonLog::open(&Log::JsonFile("log".into()), &opened).unwrap();
        for (stream, bytes) in pieces {
            log.take(*stream, bytes);
        }
        log.finish();
        assert!(log.failure().is_none());
        let text = std::fs::read_to_string(folder.path().join("log")).unwrap();
        let word = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
        let parse = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
        text.lines().map(parse).map(|one| (word(&one, "log"), word(&one, "stream"), word(&one, "time"))).collect()
    }

    #[test]
    fn lines_are_joined_from_pieces_and_streams_do_not_mix() {
        let found = logged(&[
            (Stream::Output, b"one"),
            (Stream::Error, b"err\n\n"),
            (Stream::Output, b" line\ntwo"),
            (Stream::Error, b"open"),
        ]);
        let texts: Vec<(&str, &str)> = found.iter().map(|(log, stream, _)| (log.as_str(), stream.as_str())).collect();
        let expected =
            [("err\n", "stderr"), ("\n", "stderr"), ("one line\n", "stdout"), ("two", "stdout"), ("open", "stderr")];
        assert_eq!(texts, expected);
    }

    #[test]
    fn long_lines_are_split_at_16_kib_and_keep_their_time() {
        let long = vec![b'x'; LONGEST];
        let found = logged(&[(Stream::Output, &long), (Stream::Output, b"rest\n"), (Stream::Output, b"next\n")]);
        assert_eq!(found.iter().map(|one| one.0.len()).collect::<Vec<_>>(), [LONGEST, 5, 5]);
        assert_eq!(found[0].2, found[1].2);
        assert_ne!(found[1].2, found[2].2);
        // The end of the line does not fit any more: a piece of its own.
        let found = logged(&[(Stream::Output, &[&long[..], b"\n"].concat())]);
        assert_eq!(found.iter().map(|one| one.0.len()).collect::<Vec<_>>(), [LONGEST, 1]);
        let found = logged(&[(Stream::Output, &[&long[1..], b"\n"].concat())]);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_full_disk_is_told_once_and_loses_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log =
            JsonLog { file: Some(File::options().write(true).open("/dev/full").unwrap()), ..JsonLog::default() };
        log.take(Stream::Output, b"lost\n");
        log.take(Stream::Output, b"lost\n");
        assert_eq!(log.failure().unwrap().raw_os_error(), Some(28));
        assert!(log.failure().is_none());
        log.file = Some(File::create(&path).unwrap());
        log.take(Stream::Output, b"kept\n");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.starts_with("\n{\"log\":\"kept\\n\""), "{text}");
    }

    #[test]
    fn times_are_rfc_3339_with_the_zeros_left_out_as_go_does() {
        let time = |nanoseconds| Timestamp::new(1_795_496_399, nanoseconds).unwrap().to_string();
        assert_eq!(time(123_456_789), "2026-11-24T04:59:59.123456789Z");
        assert_eq!(time(120_000_000), "2026-11-24T04:59:59.12Z");
        assert_eq!(time(0), "2026-11-24T04:59:59Z");
    }

    #[test]
    fn a_link_or_a_pipe_is_no_log() {
        let folder = tempfile::tempdir().unwrap();
        let opened = Folder::open(folder.path()).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, folder.path().join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        for name in ["link", "pipe", "."] {
            assert!(JsonLog::open(&Log::JsonFile(name.into()), &opened).is_err(), "{name}");
        }
    }
}
