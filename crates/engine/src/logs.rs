//! `logs`: what a container has written.

use std::io;

use crate::container::ContainerError;
use crate::{ContainerId, Engine, pending};

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

/// Which stream a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or the terminal.
    Output,
    /// Standard error.
    Error,
}

/// A line, or a part of one that was very long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it was written to.
    pub stream: Stream,
    /// When: RFC 3339, UTC.
    pub time: String,
    /// The text with its line end, if it has one.
    pub text: String,
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
    /// A line that is no entry.
    #[error("line {line} of the log is damaged")]
    Damaged {
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
    pending::body((engine, id, query, sink))
}
