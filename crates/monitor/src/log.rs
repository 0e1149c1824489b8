//! What the container wrote, kept: by Docker's log drivers `json-file`, `journald` and `none`.
//!
//! The container goes on whatever happens to its log. What could not be kept is said once, each time that it begins, and the log tells
//! how much that was as soon as it takes something again.

mod journal;
mod json;
mod pieces;
mod rotation;

use std::io;
use std::time::Duration;

use jiff::Timestamp;
use rustix::fd::OwnedFd;
use stockade_kernel::chain::chain;
use stockade_monitor::order;

use self::journal::Journal;
use self::json::JsonLog;
use self::pieces::{Piece, Pieces, Taken};
use crate::folder::Folder;
use crate::streams::Stream;

/// How long a log is waited for, all in all, when the container's output is read to its end.
const PATIENCE: Duration = Duration::from_secs(2);

/// A container's log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pieces: Pieces,
    kept: Kept,
    /// What was read and the log does not take now.
    waiting: Option<(Stream, Vec<u8>)>,
    /// How long the log was waited for at the end.
    waited: Duration,
    failed: Failed,
}

/// Where it is kept.
#[derive(Debug, Default)]
enum Kept {
    #[default]
    Nowhere,
    Json(Box<JsonLog>),
    Journal(Box<Journal>),
}

/// What is to be told.
#[derive(Debug, Default)]
enum Failed {
    /// Nothing: it works.
    #[default]
    Not,
    /// Why something could not be kept.
    ToTell(io::Error),
    /// Nothing more: it still does not work.
    Told,
}

impl Log {
    /// Opens the log that is ordered; a path is taken from the container's folder if it is relative.
    ///
    /// # Errors
    /// As `open(2)`; `EINVAL` for a file that is no regular one; as `connect(2)` for the journal.
    pub(crate) fn open(log: &order::Log, folder: &Folder) -> io::Result<Self> {
        let kept = match log {
            order::Log::None => Kept::Nowhere,
            order::Log::JsonFile(file) => Kept::Json(Box::new(JsonLog::open(file, folder)?)),
            order::Log::Journald(journal) => Kept::Journal(Box::new(Journal::open(journal)?)),
        };
        Ok(Self { kept, ..Self::default() })
    }

    /// Takes what the container wrote. If it can not be kept it is lost to the log, and [`Log::failure`] tells.
    pub(crate) fn take(&mut self, stream: Stream, bytes: &[u8]) {
        // Only at the end something comes although something waits.
        self.wait_out();
        self.go(stream, bytes);
    }

    fn go(&mut self, stream: Stream, bytes: &[u8]) {
        if matches!(self.kept, Kept::Nowhere) {
            return;
        }
        let Self { pieces, kept, failed, .. } = self;
        let left = pieces.take(stream, bytes, Timestamp::now(), &mut |piece| failed.heed(kept.push(piece)));
        if !left.is_empty() {
            // The log is asked again when it can take the next: were it asked now, and could, nothing would lead on to this.
            self.waiting = Some((stream, left.to_vec()));
            return;
        }
        let flushed = self.kept.flush();
        self.failed.heed(flushed.map(|()| Taken::Yes));
    }

    /// The descriptor to wait for until it takes something, if the log does not now: nothing is to be read of the container's
    /// output then.
    pub(crate) fn waits(&self) -> Option<&OwnedFd> {
        match &self.kept {
            Kept::Journal(journal) => journal.waits(),
            Kept::Nowhere | Kept::Json(_) => None,
        }
    }

    /// Goes on with what waits, now that it may be taken.
    pub(crate) fn go_on(&mut self) {
        let flushed = self.kept.flush();
        self.failed.heed(flushed.map(|()| Taken::Yes));
        if self.waits().is_none()
            && let Some((stream, bytes)) = self.waiting.take()
        {
            self.go(stream, &bytes);
        }
    }

    /// Completes the log: lines that did not end are ended.
    pub(crate) fn finish(&mut self) {
        self.wait_out();
        let Self { pieces, kept, failed, .. } = self;
        pieces.finish(Timestamp::now(), &mut |piece| failed.heed(kept.push(piece)));
        let finished = match &mut self.kept {
            Kept::Nowhere => Ok(()),
            Kept::Json(log) => log.finish(),
            Kept::Journal(journal) => journal.finish(PATIENCE.saturating_sub(self.waited)),
        };
        self.failed.heed(finished.map(|()| Taken::Yes));
    }

    /// Waits until all is taken that waits, but not longer than [`PATIENCE`] in the container's life; then it is lost.
    fn wait_out(&mut self) {
        while let Some(fd) = self.waits() {
            let left = PATIENCE.saturating_sub(self.waited);
            let start = std::time::Instant::now();
            if !journal::takes(fd, left) {
                if let Kept::Journal(journal) = &mut self.kept {
                    journal.lose(self.waiting.take().map_or(0, |(_, bytes)| lines(&bytes)));
                }
                self.failed.heed(Err(io::ErrorKind::TimedOut.into()));
                return;
            }
            self.waited += start.elapsed();
            self.go_on();
        }
    }

    /// Why something could not be kept, if it is new.
    pub(crate) fn failure(&mut self) -> Option<String> {
        match std::mem::replace(&mut self.failed, Failed::Told) {
            Failed::ToTell(error) => Some(format!("output is lost to the log: {}", chain(&error))),
            // What was lost is told in the log itself by now: the next failure is another one.
            Failed::Told if self.kept.is_whole() => {
                self.failed = Failed::Not;
                None
            }
            other => {
                self.failed = other;
                None
            }
        }
    }
}

impl Kept {
    fn push(&mut self, piece: Piece<'_>) -> io::Result<Taken> {
        match self {
            Self::Nowhere => Ok(Taken::Yes),
            Self::Json(log) => log.push(piece),
            Self::Journal(journal) => journal.push(piece),
        }
    }

    /// Whether nothing is lost that the log does not tell.
    fn is_whole(&self) -> bool {
        match self {
            Self::Nowhere => true,
            Self::Json(log) => log.is_whole(),
            Self::Journal(journal) => journal.is_whole(),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Json(log) => log.flush(),
            Self::Journal(journal) => journal.flush(),
        }
    }
}

impl Failed {
    /// Keeps a failure, unless there was one before.
    fn heed(&mut self, result: io::Result<Taken>) -> Taken {
        match (result, &self) {
            (Ok(taken), _) => taken,
            (Err(error), Self::Not) => {
                *self = Self::ToTell(error);
                Taken::Yes
            }
            (Err(_), _) => Taken::Yes,
        }
    }
}

/// What stands in the log for `count` entries that are lost.
fn gap(count: u64, why: &io::Error) -> String {
    let lines = if count == 1 { "line is" } else { "lines are" };
    format!("stockade: {count} {lines} missing here: {why}")
}

/// How many lines there are, the last one counted without its end, too.
fn lines(bytes: &[u8]) -> u64 {
    let ends = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    ends + u64::from(!bytes.is_empty() && !bytes.ends_with(b"\n"))
}
