//! `events`: what a container uses, and when it runs out of memory, as lines of JSON.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use serde_json::Value;
use stockade_cgroups::events::MemoryWatch;
use stockade_cgroups::{FileError, Group};
use stockade_spec::ContainerStatus;

use super::Context;
use crate::status::{StatusError, alive, status};
use crate::store::{ContainerId, Record, StoreError};

/// Why there are no events.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// The container's folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its status.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// In runc's words.
    #[error("container with id {0} is not running")]
    NotRunning(ContainerId),
    /// The cgroup.
    #[error(transparent)]
    Group(#[from] FileError),
    /// Waiting broke off.
    #[error("cannot wait for events")]
    Wait(#[source] rustix::io::Errno),
    /// The reader is gone.
    #[error("cannot print the event")]
    Print(#[from] io::Error),
}

/// An event, in runc's form.
#[derive(Debug, Serialize)]
struct Event<'a> {
    r#type: &'static str,
    id: &'a ContainerId,
    #[serde(skip_serializing_if = "Value::is_null")]
    data: Value,
}

/// Prints the container's statistics once.
///
/// # Errors
/// [`EventsError`].
pub fn statistics(context: &Context, id: &ContainerId) -> Result<(), EventsError> {
    let record = running(context, id)?;
    print_statistics(id, &Group::open_remaining(&record.places)?)
}

/// Prints statistics every `interval`, and each kill for want of memory, until the container ends.
///
/// # Errors
/// [`EventsError`].
pub fn follow(context: &Context, id: &ContainerId, interval: Duration) -> Result<(), EventsError> {
    let record = running(context, id)?;
    let group = Group::open_remaining(&record.places)?;
    let mut watch = group.watch_memory()?;
    let first = record.process.map(alive).transpose()?.flatten();
    let first = first.ok_or_else(|| EventsError::NotRunning(id.clone()))?;
    let mut next = Instant::now() + interval;
    loop {
        let timeout = Timespec::try_from(next.saturating_duration_since(Instant::now())).map_err(io::Error::other)?;
        let mut fds = vec![PollFd::new(&first, PollFlags::IN)];
        fds.extend(watch.as_ref().map(MemoryWatch::poll_fd));
        rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout))).map_err(EventsError::Wait)?;
        let ended = !fds[0].revents().is_empty();
        // Asked at the end too: the first process may be the one that was killed.
        if watch.as_mut().map(MemoryWatch::happened).transpose()? == Some(true) {
            print(&Event { r#type: "oom", id, data: Value::Null })?;
        }
        if ended {
            return Ok(());
        }
        if Instant::now() >= next {
            next += interval;
            print_statistics(id, &group)?;
        }
    }
}

fn running(context: &Context, id: &ContainerId) -> Result<Record, EventsError> {
    let record = context.store.read(id)?.ok_or_else(|| EventsError::NotRunning(id.clone()))?;
    match status(&context.store, &record)? {
        ContainerStatus::Stopped => Err(EventsError::NotRunning(id.clone())),
        _ => Ok(record),
    }
}

fn print_statistics(id: &ContainerId, group: &Group) -> Result<(), EventsError> {
    let data = serde_json::to_value(group.stats()?).map_err(io::Error::from)?;
    print(&Event { r#type: "stats", id, data })
}

fn print(event: &Event<'_>) -> Result<(), EventsError> {
    let mut line = serde_json::to_vec(event).map_err(io::Error::from)?;
    line.push(b'\n');
    let mut output = io::stdout();
    output.write_all(&line)?;
    Ok(output.flush()?)
}
