//! `logs`: what a container has written, out of all files of its log or the host's journal, and on as it grows.

mod entry;
mod files;
mod journal;
mod lines;

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

pub use self::entry::{Entry, Stream};
pub use self::journal::JournalError;

use self::files::{After, Files};
use self::lines::{Line, Lines, tail};
use crate::container::{ContainerError, Folder};
use crate::files::FileError;
use crate::lifecycle::State;
use crate::logging::{Keeper, LoggingError};
use crate::record::LOG;
use crate::watch::Watch;
use crate::{ContainerId, Engine, Logging};

/// How often it is looked whether a monitor whose container has ended has completed the log: there is nothing that tells it.
const COMPLETING: Duration = Duration::from_millis(10);

/// What is wanted of a log; the default is all that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// `--tail`: only the last so many entries.
    pub tail: Option<u64>,
    /// `--since`: of these, none that are older.
    pub since: Option<Timestamp>,
    /// `--until`: and up to the first that is younger.
    pub until: Option<Timestamp>,
    /// `--follow`.
    pub follow: Follow,
}

/// Whether a log is read on as it grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// It is read to its end.
    #[default]
    No,
    /// It is read until the container has ended, or the time of [`Query::until`] has come.
    UntilEnd,
}

/// What is found in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// An entry.
    Entry(&'a Entry),
    /// A line of the file that is no entry: what was left by a monitor that was killed, or changed by somebody.
    Damaged,
    /// The file that was read was removed before what came after it could be read: `max-file` files came faster than they were read.
    Missed,
}

/// Why a log could not be read (on).
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// It keeps none; the words are Docker's.
    #[error(
        "configured logging driver does not support reading: container {} was made with --log-driver none",
        .0.short()
    )]
    NoLog(ContainerId),
    /// The record says what is not supported.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// A file of the log.
    #[error(transparent)]
    File(#[from] FileError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What takes the entries failed.
    #[error("cannot write the log on")]
    Sink(#[source] io::Error),
}

/// What takes the entries.
type Sink<'a> = &'a mut dyn FnMut(Found<'_>) -> io::Result<()>;

/// Gives everything that is wanted to `sink`, in order.
///
/// # Errors
/// See [`LogsError`]; an error of `sink` ends the reading.
pub fn logs(
    engine: &Engine,
    id: &ContainerId,
    query: Query,
    sink: &mut dyn FnMut(Found<'_>) -> io::Result<()>,
) -> Result<(), LogsError> {
    let folder = engine.folder(id)?;
    let view = engine.view(id)?;
    match Logging::of(&view.record.host_config.log_config)?.keeper() {
        Keeper::Nobody => Err(LogsError::NoLog(id.clone())),
        Keeper::Journal => journal::read(&folder, query, sink),
        Keeper::File => {
            let mut reading = Reading { lines: None, query, path: folder.path.join(LOG), sink };
            reading.read(&folder)
        }
    }
}

/// Whether more can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coming {
    /// As long as the container runs.
    Always,
    /// The container has ended, and its log is about to be completed.
    Soon,
    /// Nothing.
    Nothing,
}

impl Coming {
    fn of(folder: &Folder) -> Result<Self, ContainerError> {
        // A monitor completes the log before it lets go of its lock.
        if !folder.monitor_lives()? {
            return Ok(Self::Nothing);
        }
        match folder.view() {
            Ok(view) if matches!(view.life.state, State::Exited | State::Failed) => Ok(Self::Soon),
            Ok(_) => Ok(Self::Always),
            Err(ContainerError::Missing(_)) => Ok(Self::Nothing),
            Err(error) => Err(error),
        }
    }

    /// How long to sleep at most.
    fn limit(self, until: Option<Timestamp>) -> Option<Duration> {
        let until = until.map(|until| Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default());
        let soon = (self == Self::Soon).then_some(COMPLETING);
        [until, soon].into_iter().flatten().min()
    }
}

/// Whether the time has come after which nothing is wanted.
fn is_over(query: &Query) -> bool {
    query.until.is_some_and(|until| Timestamp::now() > until)
}

/// Gives `entry` on if it is wanted; ends with the first that is too young.
fn give(entry: &Entry, query: &Query, sink: Sink<'_>) -> Result<ControlFlow<()>, LogsError> {
    if query.until.is_some_and(|until| entry.time > until) {
        return Ok(ControlFlow::Break(()));
    }
    if query.since.is_none_or(|since| entry.time >= since) {
        sink(Found::Entry(entry)).map_err(LogsError::Sink)?;
    }
    Ok(ControlFlow::Continue(()))
}

/// The files of a log that are being read.
struct Reading<'a> {
    /// The file that is read, once there is one.
    lines: Option<Lines<File>>,
    query: Query,
    /// For messages.
    path: PathBuf,
    sink: Sink<'a>,
}

impl Reading<'_> {
    fn read(&mut self, folder: &Folder) -> Result<(), LogsError> {
        let files = Files::new(folder.fd.as_fd(), LOG);
        let mut watch = None;
        if self.query.follow == Follow::UntilEnd {
            watch = Some(Watch::new(folder).map_err(FileError::at("watch", &folder.path))?);
        }
        loop {
            // Asked before the files are read: what is written until the end is then read below.
            let coming = if watch.is_some() { Coming::of(folder)? } else { Coming::Nothing };
            let over = is_over(&self.query);
            if self.all_files(&files)?.is_break() || over || coming == Coming::Nothing {
                return Ok(());
            }
            if let Some(watch) = &mut watch {
                let limit = coming.limit(self.query.until);
                watch.wait(None, limit).map_err(FileError::at("watch", &folder.path))?;
            }
        }
    }

    /// Gives all that is there now.
    fn all_files(&mut self, files: &Files<'_>) -> Result<ControlFlow<()>, LogsError> {
        if self.lines.is_none() {
            self.lines = self.open(files).map_err(FileError::at("read", &self.path))?;
        }
        let Some(lines) = &self.lines else { return Ok(ControlFlow::Continue(())) };
        // Asked first: once another file has taken its place nothing more comes into this one.
        let mut after = files.after(lines.file()).map_err(FileError::at("read", &self.path))?;
        loop {
            if self.one_file()?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let next = match after {
                After::Nothing => return Ok(ControlFlow::Continue(())),
                After::Next(file) => file,
                After::Lost(file) => {
                    self.found(Found::Missed)?;
                    file
                }
            };
            if self.lines.as_ref().is_some_and(Lines::is_within_a_line) {
                self.found(Found::Damaged)?;
            }
            after = files.after(&next).map_err(FileError::at("read", &self.path))?;
            self.lines = Some(Lines::new(next));
        }
    }

    /// Gives all whole lines of the file that are there.
    fn one_file(&mut self) -> Result<ControlFlow<()>, LogsError> {
        let Some(lines) = &mut self.lines else { return Ok(ControlFlow::Continue(())) };
        while let Some(line) = lines.next().map_err(FileError::at("read", &self.path))? {
            let entry = match line {
                Line::Whole(line) => Entry::parse(line),
                Line::TooLong => Entry::parse(b""),
            };
            match entry {
                Ok(entry) => {
                    if give(&entry, &self.query, self.sink)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                // Nobody is helped by where: what else is there still counts.
                Err(_damage) => (self.sink)(Found::Damaged).map_err(LogsError::Sink)?,
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn found(&mut self, found: Found<'_>) -> Result<(), LogsError> {
        (self.sink)(found).map_err(LogsError::Sink)
    }

    /// The file with the first line that is wanted. A container that was never started has none yet.
    fn open(&self, files: &Files<'_>) -> io::Result<Option<Lines<File>>> {
        let Some(mut wanted) = self.query.tail else { return Ok(files.oldest()?.map(Lines::new)) };
        let Some(mut file) = files.newest()? else { return Ok(None) };
        loop {
            let (start, count) = tail(&mut file, wanted)?;
            file.seek(SeekFrom::Start(start))?;
            wanted -= count;
            if wanted == 0 && start > 0 {
                return Ok(Some(Lines::new(file)));
            }
            match files.before(&file)? {
                Some(before) if wanted > 0 => file = before,
                _ => return Ok(Some(Lines::new(file))),
            }
        }
    }
}
