//! A container's log in the host's journal, read by `journalctl(1)`: the journal's files are systemd's alone.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use jiff::Timestamp;
use serde_json::Value;

use super::lines::{Line, Lines};
use super::{Coming, Entry, Follow, Found, LogsError, Query, Sink, Stream, give, is_over};
use crate::container::Folder;
use crate::files::FileError;
use crate::watch::Watch;

/// The journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// There is no such program.
    #[error("the log is in the host's journal, and journalctl, which reads it, cannot be executed")]
    Missing(#[source] io::Error),
    /// What it said could not be read.
    #[error("cannot read what journalctl says")]
    Read(#[source] io::Error),
    /// It failed.
    #[error("journalctl failed: {0}")]
    Failed(ExitStatus),
}

/// Fields that are not the container's own.
const KNOWN: [&str; 8] = [
    "MESSAGE",
    "PRIORITY",
    "IMAGE_NAME",
    "SYSLOG_IDENTIFIER",
    "SYSLOG_TIMESTAMP",
    "SYSLOG_FACILITY",
    "SYSLOG_PID",
    "SYSLOG_RAW",
];

/// Gives what is wanted of the log of the container with `folder`.
pub(super) fn read(folder: &Folder, query: Query, sink: Sink<'_>) -> Result<(), LogsError> {
    let mut cursor = None;
    let flow = match query.follow {
        Follow::No => ControlFlow::Continue(()),
        Follow::UntilEnd => follow(folder, &query, &mut cursor, sink)?,
    };
    if flow.is_break() {
        return Ok(());
    }
    // What came last may not have been told; nobody follows any more.
    let tail = if cursor.is_none() { query.tail } else { None };
    let mut child = journalctl(folder, &query, tail, cursor.as_deref(), Follow::No)?;
    let mut lines = Lines::new(stdout(&mut child)?);
    let flow = entries(&mut lines, &query, &mut cursor, sink)?;
    if flow.is_break() {
        end(child)?;
        return Ok(());
    }
    drop(lines);
    let status = child.wait().map_err(JournalError::Read)?;
    // With -g and the like 1 means nothing found; without them it does not.
    if status.success() { Ok(()) } else { Err(JournalError::Failed(status).into()) }
}

/// Reads on until the container has ended, or more than what is wanted has come.
fn follow(
    folder: &Folder,
    query: &Query,
    cursor: &mut Option<String>,
    sink: Sink<'_>,
) -> Result<ControlFlow<()>, LogsError> {
    let mut watch = Watch::new(folder).map_err(FileError::at("watch", &folder.path))?;
    let mut coming = Coming::of(folder)?;
    if coming == Coming::Nothing {
        return Ok(ControlFlow::Continue(()));
    }
    let mut child = journalctl(folder, query, query.tail, None, Follow::UntilEnd)?;
    let stdout = stdout(&mut child)?;
    rustix::io::ioctl_fionbio(&stdout, true).map_err(|errno| JournalError::Read(errno.into()))?;
    let mut lines = Lines::new(stdout);
    let flow = loop {
        let flow = entries(&mut lines, query, cursor, sink)?;
        if flow.is_break() || is_over(query) || coming == Coming::Nothing {
            break flow;
        }
        if let Some(status) = child.try_wait().map_err(JournalError::Read)? {
            return Err(JournalError::Failed(status).into());
        }
        let waited = watch.wait(Some(lines.file().as_fd()), coming.limit(query.until));
        waited.map_err(FileError::at("watch", &folder.path))?;
        coming = Coming::of(folder)?;
    };
    end(child)?;
    // What the journal has taken and not written yet is asked for once more; one that cannot be asked has written all.
    let mut sync = Command::new("journalctl");
    sync.arg("--sync").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    drop(sync.status());
    Ok(flow)
}

/// Starts the program.
fn journalctl(
    folder: &Folder,
    query: &Query,
    tail: Option<u64>,
    cursor: Option<&str>,
    follow: Follow,
) -> Result<Child, JournalError> {
    let mut command = Command::new("journalctl");
    command.args(["--output=json", "--all", "--quiet", "--no-pager"]);
    command.arg(match tail {
        Some(count) => format!("--lines={count}"),
        None => "--lines=all".into(),
    });
    let seconds = |time: Timestamp| format!("@{}.{:06}", time.as_second(), time.subsec_nanosecond() / 1000);
    // Without --tail, which comes first, the journal itself can leave out what is older.
    command.args(query.since.filter(|_| tail.is_none()).map(|since| format!("--since={}", seconds(since))));
    command.args(cursor.map(|cursor| format!("--after-cursor={cursor}")));
    command.args((follow == Follow::UntilEnd).then_some("--follow"));
    command.arg(format!("CONTAINER_ID_FULL={}", folder.id));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(JournalError::Missing)
}

fn stdout(child: &mut Child) -> Result<ChildStdout, JournalError> {
    child.stdout.take().ok_or_else(|| JournalError::Read(io::ErrorKind::BrokenPipe.into()))
}

/// Ends the program, which may have more to say.
fn end(mut child: Child) -> Result<(), JournalError> {
    child.kill().and_then(|()| child.wait()).map(drop).map_err(JournalError::Read)
}

/// Gives every entry that can be read now.
fn entries(
    lines: &mut Lines<ChildStdout>,
    query: &Query,
    cursor: &mut Option<String>,
    sink: Sink<'_>,
) -> Result<ControlFlow<()>, LogsError> {
    loop {
        let line = match lines.next() {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(ControlFlow::Continue(())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(ControlFlow::Continue(())),
            Err(error) => return Err(JournalError::Read(error).into()),
        };
        let parsed = match line {
            Line::Whole(line) => serde_json::from_slice::<BTreeMap<String, Value>>(line).ok(),
            Line::TooLong => None,
        };
        let Some(fields) = parsed else {
            sink(Found::Damaged).map_err(LogsError::Sink)?;
            continue;
        };
        if let Some(Value::String(found)) = fields.get("__CURSOR") {
            *cursor = Some(found.clone());
        }
        match entry(&fields) {
            Some(entry) => {
                if give(&entry, query, sink)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            None => sink(Found::Damaged).map_err(LogsError::Sink)?,
        }
    }
}

/// An entry of the journal as one of ours.
fn entry(fields: &BTreeMap<String, Value>) -> Option<Entry> {
    let text = |name: &str| fields.get(name).and_then(bytes);
    let word = |name: &str| text(name).and_then(|bytes| String::from_utf8(bytes).ok());
    let received = || {
        let microseconds = word("__REALTIME_TIMESTAMP")?.parse().ok()?;
        Timestamp::from_microsecond(microseconds).ok()
    };
    let time = word("SYSLOG_TIMESTAMP").and_then(|time| time.parse().ok()).or_else(received)?;
    let mut message = String::from_utf8_lossy(&text("MESSAGE")?).into_owned();
    if word("CONTAINER_PARTIAL_MESSAGE").as_deref() != Some("true") {
        message.push('\n');
    }
    let own = fields
        .keys()
        .filter(|name| !name.starts_with('_') && !name.starts_with("CONTAINER_") && !KNOWN.contains(&name.as_str()));
    Some(Entry {
        stream: if word("PRIORITY").as_deref() == Some("3") { Stream::Error } else { Stream::Output },
        time,
        text: message,
        attributes: own.filter_map(|name| Some((name.clone(), word(name)?))).collect(),
    })
}

/// A field's value: what is no text comes as numbers, and what comes several times as a list, of which the first counts.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Array(list) => {
            let numbers: Option<Vec<u8>> =
                list.iter().map(|number| number.as_u64().and_then(|byte| u8::try_from(byte).ok())).collect();
            numbers.or_else(|| list.first().and_then(bytes))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_journal_is_one_of_ours() {
        let line = r#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1500000","_PID":"1","CONTAINER_NAME":"c","PRIORITY":"3","MESSAGE":[255,97],"LABEL":"x","SYSLOG_IDENTIFIER":"t"}"#;
        let found = entry(&serde_json::from_str(line).unwrap()).unwrap();
        assert_eq!((found.stream, found.text.as_str()), (Stream::Error, "\u{fffd}a\n"));
        assert_eq!(found.time.to_string(), "1970-01-01T00:00:01.5Z");
        assert_eq!(found.attributes, BTreeMap::from([("LABEL".to_owned(), "x".to_owned())]));
        let line = r#"{"SYSLOG_TIMESTAMP":"2026-01-01T00:00:00.000000001Z","PRIORITY":"6","MESSAGE":["part","twice"],"CONTAINER_PARTIAL_MESSAGE":"true"}"#;
        let found = entry(&serde_json::from_str(line).unwrap()).unwrap();
        assert_eq!((found.stream, found.text.as_str(), found.time.subsec_nanosecond()), (Stream::Output, "part", 1));
        for wrong in [r#"{"MESSAGE":"without a time"}"#, r#"{"__REALTIME_TIMESTAMP":"1"}"#] {
            assert_eq!(entry(&serde_json::from_str(wrong).unwrap()), None);
        }
    }
}
