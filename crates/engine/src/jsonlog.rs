//! Docker's `json-file` format, read: one JSON object a line, `{"log":"text\n","stream":"stdout","time":"RFC 3339"}`.

use std::io::{self, Read, Seek, SeekFrom};

use serde::Deserialize;

/// Which stream a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Stream {
    /// Standard output, or the terminal.
    #[serde(rename = "stdout")]
    Output,
    /// Standard error.
    #[serde(rename = "stderr")]
    Error,
}

/// A line, or a part of one that was very long.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// Where it was written to.
    pub stream: Stream,
    /// When: RFC 3339, UTC.
    pub time: String,
    /// The text with its line end, if it has one.
    #[serde(rename = "log", default)]
    pub text: String,
}

impl Entry {
    /// Reads a line of the file.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }
}

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// The whole lines of a file that may grow. A last line without its end is not written to its end yet, or never will be.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    file: R,
    buffer: Vec<u8>,
    /// Where in the buffer the next line begins.
    next: usize,
    /// Up to where no line end was found.
    searched: usize,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(file: R) -> Self {
        Self { file, buffer: Vec::new(), next: 0, searched: 0 }
    }

    /// The next line, without its end; `None` if no whole one is there now.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            if let Some(length) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let (start, end) = (self.next, self.searched + length);
                (self.next, self.searched) = (end + 1, end + 1);
                return Ok(Some(&self.buffer[start..end]));
            }
            self.buffer.drain(..self.next);
            (self.next, self.searched) = (0, self.buffer.len());
            let mut chunk = [0; CHUNK];
            match self.file.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(length) => self.buffer.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Where the last `count` whole lines of `file` begin.
pub(crate) fn tail<F: Read + Seek>(file: &mut F, count: u64) -> io::Result<u64> {
    let mut at = file.seek(SeekFrom::End(0))?;
    // The end of the last line counts too: it ends the line that is to be found last.
    let (mut ends, mut chunk) = (0, vec![0; CHUNK]);
    while at > 0 {
        let length = at.min(CHUNK as u64);
        at -= length;
        file.seek(SeekFrom::Start(at))?;
        let part = &mut chunk[..length as usize];
        file.read_exact(part)?;
        for (place, _) in part.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            ends += 1;
            if ends > count {
                return Ok(at + place as u64 + 1);
            }
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::io::Cursor;

    /// A file that is read in pieces, with an end of file after each.
    struct Pieces(VecDeque<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let piece = self.0.pop_front().unwrap_or_default();
            into[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    #[test]
    fn an_entry_is_dockers() {
        let entry =
            Entry::parse(br#"{"log":"a\u2028\n","stream":"stderr","time":"2026-01-01T00:00:00.5Z","attrs":{}}"#);
        let expected =
            Entry { stream: Stream::Error, time: "2026-01-01T00:00:00.5Z".into(), text: "a\u{2028}\n".into() };
        assert_eq!(entry.unwrap(), expected);
        for wrong in
            ["", "{}", r#"{"log":"a","stream":"stdlog","time":""}"#, r#"{"log":1,"stream":"stdout","time":""}"#]
        {
            assert!(Entry::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn lines_are_whole_however_the_file_grows(pieces in prop::collection::vec("[ab\n]{1,9}", 0..12)) {
            let all = pieces.concat();
            let whole = all.rfind('\n').map_or("", |end| &all[..end]);
            let expected: Vec<&str> = if all.contains('\n') { whole.split('\n').collect() } else { Vec::new() };
            let mut lines = Lines::new(Pieces(pieces.iter().map(|piece| piece.clone().into_bytes()).collect()));
            let mut found = Vec::new();
            for _ in 0..=pieces.len() {
                while let Some(line) = lines.next().unwrap() {
                    found.push(String::from_utf8(line.to_vec()).unwrap());
                }
            }
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn the_tail_is_the_last_lines(text in "([ab]{0,3}\n){0,9}[ab]{0,2}", count in 0u64..12) {
            let start = tail(&mut Cursor::new(text.as_bytes()), count).unwrap() as usize;
            let lines = |text: &str| text.matches('\n').count() as u64;
            prop_assert!(start == 0 || text.as_bytes()[start - 1] == b'\n');
            prop_assert_eq!(lines(&text[start..]), count.min(lines(&text)));
        }
    }
}
