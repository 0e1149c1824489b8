//! `logs`: what a container has written.

use std::io;
use std::path::PathBuf;

use crate::container::{ContainerError, Folder};
use crate::files::FileError;
use crate::jsonlog::{Lines, tail};
use crate::lifecycle::State;
use crate::{ContainerId, Engine};

pub use crate::jsonlog::{Entry, Stream};

/// What is wanted of a log; the default is all that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// `--tail`: only the last so many lines.
    pub tail: Option<u64>,
    /// `--follow`.
    pub follow: Follow,
}

/// Whether a log is read on as it grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// It is read to its end.
    #[default]
    No,
    /// It is read until the container has ended.
    UntilEnd,
}

/// Why a log could not be read (on).
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// It keeps none.
    #[error("container {} keeps no log: it was made with --log-driver none", .0.short())]
    NoLog(ContainerId),
    /// The log's file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line that is no entry.
    #[error("line {line} of {} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Counted from one, from where the reading began.
        line: u64,
        /// Why.
        source: serde_json::Error,
    },
    /// What takes the entries failed.
    #[error("cannot write the log on")]
    Sink(#[source] io::Error),
}

/// Gives every entry that is wanted to `sink`, in order.
///
/// # Errors
/// See [`LogsError`]; an error of `sink` ends the reading.
pub fn logs(
    engine: &Engine,
    id: &ContainerId,
    query: Query,
    sink: &mut dyn FnMut(&Entry) -> io::Result<()>,
) -> Result<(), LogsError> {
    let folder = engine.folder(id)?;
    let view = engine.view(id)?;
    let path = view.record.log_path(&folder.path).ok_or_else(|| LogsError::NoLog(id.clone()))?;
    let mut reading = Reading { lines: None, number: 0, tail: query.tail, path, sink };
    loop {
        // Asked before the file is read: what is written until the end is then read below.
        let goes_on = query.follow == Follow::UntilEnd && runs(&folder)?;
        let grown = reading.read()?;
        if !goes_on && !grown {
            return Ok(());
        }
        if !grown {
            wait_for_growth(&reading.path, &folder.path).map_err(FileError::at("watch", &reading.path))?;
        }
    }
}

/// Whether more can come.
fn runs(folder: &Folder) -> Result<bool, ContainerError> {
    match folder.view() {
        Ok(view) => Ok(matches!(view.life.state, State::Starting | State::Running) && !view.lost),
        Err(ContainerError::Missing(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A log that is being read.
struct Reading<'a> {
    /// The file, once there is one.
    lines: Option<Lines<std::fs::File>>,
    /// The lines read.
    number: u64,
    tail: Option<u64>,
    path: PathBuf,
    sink: &'a mut dyn FnMut(&Entry) -> io::Result<()>,
}

impl Reading<'_> {
    /// Gives all whole lines that are there on; whether there were some.
    fn read(&mut self) -> Result<bool, LogsError> {
        if self.lines.is_none() {
            self.lines = self.open().map_err(FileError::at("read", &self.path))?;
        }
        let Some(lines) = &mut self.lines else { return Ok(false) };
        let before = self.number;
        while let Some(line) = lines.next().map_err(FileError::at("read", &self.path))? {
            self.number += 1;
            let damaged = |source| LogsError::Damaged { path: self.path.clone(), line: self.number, source };
            let entry = Entry::parse(line).map_err(damaged)?;
            (self.sink)(&entry).map_err(LogsError::Sink)?;
        }
        Ok(self.number > before)
    }

    /// A container that was never started has no file yet.
    fn open(&self) -> io::Result<Option<Lines<std::fs::File>>> {
        use std::io::Seek;
        let mut file = match std::fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if let Some(lines) = self.tail {
            let start = tail(&mut file, lines)?;
            file.seek(io::SeekFrom::Start(start))?;
        }
        Ok(Some(Lines::new(file)))
    }
}

/// Sleeps until the log or the container's state may have changed; at most a quarter of a second, for what was missed.
fn wait_for_growth(log: &std::path::Path, folder: &std::path::Path) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::inotify;
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    for (path, what) in [(log, inotify::WatchFlags::MODIFY), (folder, inotify::WatchFlags::MOVED_TO)] {
        match inotify::add_watch(&watch, path, what) {
            Ok(_) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let limit = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
    match poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
