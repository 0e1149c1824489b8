//! The lines of a file that may grow.

use std::io::{self, Read, Seek, SeekFrom};

/// How much is read at once.
const CHUNK: usize = 64 << 10;
/// No line is longer that a monitor wrote: 16 KiB with every byte escaped, and what is around them.
const LONGEST: usize = 8 << 20;

/// The whole lines of a file that may grow. A last line without its end is not written to its end yet, or never will be.
#[derive(Debug)]
pub(super) struct Lines<R> {
    file: R,
    buffer: Vec<u8>,
    /// Where in the buffer the next line begins.
    next: usize,
    /// Up to where no line end was found.
    searched: usize,
    /// Whether the beginning of this line was thrown away, because it was too long.
    cut: bool,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// A line, without its end.
    Whole(&'a [u8]),
    /// One that is too long to be one of a log.
    TooLong,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(file: R) -> Self {
        Self { file, buffer: Vec::new(), next: 0, searched: 0, cut: false }
    }

    /// The file.
    pub(super) fn file(&self) -> &R {
        &self.file
    }

    /// Whether something was read that has no end yet.
    pub(super) fn is_within_a_line(&self) -> bool {
        self.cut || self.next < self.buffer.len()
    }

    /// The next line; `None` if no whole one is there now.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            if let Some(length) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let (start, end) = (self.next, self.searched + length);
                (self.next, self.searched) = (end + 1, end + 1);
                if std::mem::take(&mut self.cut) {
                    return Ok(Some(Line::TooLong));
                }
                return Ok(Some(Line::Whole(&self.buffer[start..end])));
            }
            self.buffer.drain(..self.next);
            if self.buffer.len() > LONGEST {
                self.buffer.clear();
                self.cut = true;
            }
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

/// Where the last `count` whole lines of `file` begin, and how many there are if it has fewer.
pub(super) fn tail<F: Read + Seek>(file: &mut F, count: u64) -> io::Result<(u64, u64)> {
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
                return Ok((at + place as u64 + 1, count));
            }
        }
    }
    Ok((0, ends))
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
    fn what_is_too_long_for_a_line_is_told_and_not_kept() {
        let long = [vec![b'x'; LONGEST + 2 * CHUNK], b"\nnext\n".to_vec()].concat();
        let mut lines = Lines::new(Cursor::new(long));
        assert_eq!(lines.next().unwrap(), Some(Line::TooLong));
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"next")));
        assert_eq!(lines.next().unwrap(), None);
        assert!(!lines.is_within_a_line());
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
                while let Some(Line::Whole(line)) = lines.next().unwrap() {
                    found.push(String::from_utf8(line.to_vec()).unwrap());
                }
            }
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn the_tail_is_the_last_lines(text in "([ab]{0,3}\n){0,9}[ab]{0,2}", count in 0u64..12) {
            let (start, found) = tail(&mut Cursor::new(text.as_bytes()), count).unwrap();
            let start = start as usize;
            let lines = |text: &str| text.matches('\n').count() as u64;
            prop_assert!(start == 0 || text.as_bytes()[start - 1] == b'\n');
            prop_assert_eq!(lines(&text[start..]), count.min(lines(&text)));
            prop_assert_eq!(found, lines(&text[start..]));
        }
    }
}
