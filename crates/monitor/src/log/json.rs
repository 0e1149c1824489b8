//! The log in Docker's `json-file` format.
//!
//! One JSON object per line: `{"log":"...","stream":"stdout","attrs":{...},"time":"..."}`, `attrs` only if there are some. The
//! escapes are those of Docker's writer, which are Go's for HTML: a reader of either finds the same bytes. What is not UTF-8
//! becomes U+FFFD, one for each byte, as in Go.
//!
//! What is in the file are whole entries at any time, but for the last one: where a write was cut off (a full disk) the rest of that
//! entry is kept and written first when there is room, and then an entry that says how many others are lost.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use jiff::Timestamp;
use stockade_monitor::order::{JsonFile, LOST};

use super::pieces::{Piece, Taken};
use super::rotation::Place;
use crate::folder::Folder;
use crate::streams::Stream;

/// How much text is collected for one `write(2)`: what one read of lines of the usual length becomes.
const ENOUGH: usize = 96 << 10;
/// How much memory is kept for it.
const KEPT: usize = 128 << 10;

/// A file that is written.
#[derive(Debug)]
pub(super) struct JsonLog {
    place: Place,
    file: File,
    /// How long the file is.
    size: u64,
    max_size: Option<u64>,
    /// What stands in each entry before its time.
    attributes: Vec<u8>,
    /// Whole entries to be written.
    text: Vec<u8>,
    /// The rest of an entry that is in the file in part.
    rest: Vec<u8>,
    /// How many entries were lost since the last one that was written, and why.
    lost: u64,
    why: Option<io::Error>,
    /// The file that should be replaced and could not be: not tried again for each entry.
    stays: bool,
    stamp: Stamp,
}

/// A time as text: many entries have the same.
#[derive(Debug, Default)]
struct Stamp {
    time: Timestamp,
    text: String,
}

impl JsonLog {
    /// Opens the file.
    ///
    /// # Errors
    /// As `open(2)`; `EINVAL` for what is no regular file.
    pub(super) fn open(order: &JsonFile, folder: &Folder) -> io::Result<Self> {
        let place = Place::open(&folder.path(&order.path), order.max_file)?;
        let (file, size) = place.file()?;
        let mut log = Self {
            place,
            file,
            size,
            max_size: order.max_size.map(std::num::NonZero::get),
            attributes: attributes(order.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()))),
            text: Vec::new(),
            rest: Vec::new(),
            lost: 0,
            why: None,
            stays: false,
            stamp: Stamp::default(),
        };
        // Who wrote it last was killed within an entry, which is lost; what follows is not.
        let mut last = [b'\n'];
        if size > 0 {
            log.file.read_exact_at(&mut last, size - 1)?;
        }
        if last != [b'\n'] {
            log.rest.push(b'\n');
        }
        Ok(log)
    }

    /// Takes a piece; it is in the file after the next [`JsonLog::flush`] at the latest.
    ///
    /// # Errors
    /// As [`JsonLog::flush`].
    pub(super) fn push(&mut self, piece: Piece<'_>) -> io::Result<Taken> {
        let full = |log: &Self| log.max_size.is_some_and(|most| log.size + log.text.len() as u64 >= most);
        let mut done = Ok(());
        if full(self) && !self.stays {
            done = self.flush();
            if full(self) && self.rest.is_empty() {
                done = done.and(self.rotate());
            }
        }
        self.entry(piece);
        if self.text.len() >= ENOUGH {
            done = done.and(self.flush());
        }
        done.map(|()| Taken::Yes)
    }

    fn entry(&mut self, piece: Piece<'_>) {
        let text = &mut self.text;
        text.extend_from_slice(b"{\"log\":\"");
        escape(text, piece.bytes);
        text.extend_from_slice(match piece.stream {
            Stream::Output => b"\",\"stream\":\"stdout\",",
            Stream::Error => b"\",\"stream\":\"stderr\",",
        });
        text.extend_from_slice(&self.attributes);
        text.extend_from_slice(b"\"time\":\"");
        text.extend_from_slice(self.stamp.of(piece.time).as_bytes());
        text.extend_from_slice(b"\"}\n");
    }

    /// Writes what was taken. What can not be written is lost, but for the rest of an entry that was begun.
    ///
    /// # Errors
    /// As `write(2)`. The next call tries again.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.stays = false;
        if self.text.is_empty() && self.rest.is_empty() {
            return Ok(());
        }
        let rest = std::mem::take(&mut self.rest);
        let gap = self.gap();
        let end_of_gap = rest.len() + gap.len();
        let all = if end_of_gap == 0 {
            std::mem::take(&mut self.text)
        } else {
            let all = [rest.as_slice(), &gap, &self.text].concat();
            self.text.clear();
            all
        };
        let (length, result) = write(&mut self.file, &all);
        self.size += length as u64;
        if length > rest.len() {
            // The entry about what was lost is in the file, or will be.
            self.lost = 0;
        }
        if let Err(error) = &result {
            // Where the entry begins that was cut off, if one was; the rest of an older one counts as one.
            let cut = length > 0 && all[length - 1] != b'\n' || length < rest.len();
            let next = all[length..].iter().position(|byte| *byte == b'\n').map_or(all.len(), |end| length + end + 1);
            let from = if cut { next } else { length };
            self.rest = all[length..from].to_vec();
            let from = if from <= rest.len() { end_of_gap } else { from };
            self.lost += all[from..].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.why = error.raw_os_error().map(io::Error::from_raw_os_error);
        }
        // Most of the time it is the same memory again; after much at once it is given back.
        self.text = all;
        self.text.clear();
        self.text.shrink_to(KEPT);
        result
    }

    /// Writes that something was lost, if it was and nothing has been written since.
    ///
    /// # Errors
    /// As [`JsonLog::flush`].
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        if self.lost > 0 {
            self.text = self.gap();
            self.lost = 0;
            self.flush()?;
        }
        Ok(())
    }

    /// Whether the file is all that it should be, or tells what is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.lost == 0 && self.rest.is_empty() && !self.stays
    }

    /// The entry that tells what was lost; nothing if nothing was.
    fn gap(&self) -> Vec<u8> {
        let Some(why) = self.why.as_ref().filter(|_| self.lost > 0) else { return Vec::new() };
        let mut text = b"{\"log\":\"".to_vec();
        escape(&mut text, super::gap(self.lost, why).as_bytes());
        text.extend_from_slice(b"\\n\",\"stream\":\"stderr\",");
        text.extend_from_slice(&attributes([(LOST, self.lost.to_string().as_str())].into_iter()));
        text.extend_from_slice(format!("\"time\":\"{}\"}}\n", Timestamp::now()).as_bytes());
        text
    }

    /// Puts a new file in the place of this one.
    fn rotate(&mut self) -> io::Result<()> {
        match self.place.rotate() {
            Ok(file) => {
                self.file = file;
                self.size = 0;
                Ok(())
            }
            Err(error) => {
                self.stays = true;
                Err(error)
            }
        }
    }
}

impl Stamp {
    /// RFC 3339, UTC, with the zeros at the end left out, as Go does.
    fn of(&mut self, time: Timestamp) -> &str {
        if self.text.is_empty() || self.time != time {
            *self = Self { time, text: time.to_string() };
        }
        &self.text
    }
}

/// Writes as much as is taken: how much that was, and why not all.
fn write(file: &mut File, text: &[u8]) -> (usize, io::Result<()>) {
    let mut done = 0;
    while done < text.len() {
        match file.write(&text[done..]) {
            Ok(0) => return (done, Err(io::ErrorKind::WriteZero.into())),
            Ok(length) => done += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (done, Err(error)),
        }
    }
    (done, Ok(()))
}

/// The member `attrs` and its comma; nothing if there are none.
fn attributes<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in all {
        text.extend_from_slice(if text.is_empty() { b"\"attrs\":{\"" } else { b",\"" });
        escape(&mut text, key.as_bytes());
        text.extend_from_slice(b"\":\"");
        escape(&mut text, value.as_bytes());
        text.push(b'"');
    }
    if !text.is_empty() {
        text.extend_from_slice(b"},");
    }
    text
}

/// Appends the inside of a JSON string.
fn escape(text: &mut Vec<u8>, log: &[u8]) {
    // Nearly everything is UTF-8, which is seen faster as a whole.
    if let Ok(valid) = std::str::from_utf8(log) {
        return escape_valid(text, valid);
    }
    for chunk in log.utf8_chunks() {
        escape_valid(text, chunk.valid());
        for _ in chunk.invalid() {
            text.extend_from_slice(b"\\ufffd");
        }
    }
}

/// Whether a byte may begin a character that is escaped: those of [`escape_valid`], and U+2028 and U+2029 begin with 0xe2.
const MAY_ESCAPE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte < 0x20 || matches!(byte as u8, b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
        byte += 1;
    }
    table
};

/// How far it is to the first byte that may begin a character that is escaped.
fn ahead(bytes: &[u8]) -> Option<usize> {
    // Eight at a time, without a decision for each.
    let (blocks, _) = bytes.as_chunks::<8>();
    let plain = |block: &&[u8; 8]| !block.iter().fold(false, |found, byte| found | MAY_ESCAPE[usize::from(*byte)]);
    let start = blocks.iter().take_while(plain).count() * 8;
    bytes[start..].iter().position(|byte| MAY_ESCAPE[usize::from(*byte)]).map(|ahead| start + ahead)
}

fn escape_valid(text: &mut Vec<u8>, valid: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = valid.as_bytes();
    let (mut copied, mut at) = (0, 0);
    while let Some(ahead) = ahead(&bytes[at..]) {
        at += ahead;
        let (length, code) = match &bytes[at..] {
            [0xe2, 0x80, last @ (0xa8 | 0xa9), ..] => (3, 0x2028 + usize::from(*last - 0xa8)),
            [0xe2, ..] => {
                at += 3;
                continue;
            }
            [byte, ..] => (1, usize::from(*byte)),
            [] => break,
        };
        text.extend_from_slice(&bytes[copied..at]);
        match bytes[at] {
            byte @ (b'"' | b'\\') => text.extend_from_slice(&[b'\\', byte]),
            b'\n' => text.extend_from_slice(b"\\n"),
            b'\r' => text.extend_from_slice(b"\\r"),
            _ => {
                text.extend_from_slice(b"\\u");
                text.extend([12, 8, 4, 0].map(|shift| HEX[code >> shift & 15]));
            }
        }
        at += length;
        copied = at;
    }
    text.extend_from_slice(&bytes[copied..]);
}

#[cfg(test)]
mod tests;
