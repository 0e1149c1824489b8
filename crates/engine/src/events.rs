//! `events`: what happened, and what happens, from the files that commands and monitors append to.
//!
//! A reader keeps the segments open that it reads, by number, and sleeps until the kernel tells of a change in their folder. Who
//! opened a segment before the next was begun may still append to it: so the last but one is read on, and what is removed is read
//! to its end. Such a writer finds out that its segment is gone and appends once more; what is told twice so is told on once.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use stockade_monitor::events::{LARGEST, segment_name, segments};

use crate::Engine;
use crate::files;

pub use stockade_monitor::events::{Actor, Event, Kind};

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// Why events cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// Their files.
    #[error("cannot {action} the events in {}", folder.display())]
    Files {
        /// What was attempted.
        action: &'static str,
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// More happened than is kept, before it was read.
    #[error("events were removed before they were read: whoever reads them must be faster, or start again")]
    Lost,
}

/// Somebody who is told what happens.
#[derive(Debug)]
pub struct Listener {
    folder: OwnedFd,
    path: PathBuf,
    changes: OwnedFd,
    tails: Vec<Tail>,
    /// The last segment that was opened.
    last: Option<u64>,
    /// What was read from segments that are removed, and may have been appended again.
    doubtful: BTreeSet<Vec<u8>>,
}

/// A segment of which everything is read but what is not there yet.
#[derive(Debug)]
struct Tail {
    number: u64,
    file: File,
    /// The beginning of a line.
    rest: Vec<u8>,
}

/// Listens from now on; all that is kept is read first.
///
/// # Errors
/// [`EventsError::Files`].
pub fn listen(engine: &Engine) -> Result<Listener, EventsError> {
    let path = engine.events();
    let fail = |action, source: io::Error| EventsError::Files { action, folder: path.clone(), source };
    match files::make_folder(&path) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(fail("make the folder of", errno.into())),
    }
    let folder = rustix::fs::openat(CWD, &path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let folder = folder.map_err(|errno| fail("open", errno.into()))?;
    let watch = || -> Result<OwnedFd, Errno> {
        let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&changes, &path, WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::DELETE)?;
        Ok(changes)
    };
    let changes = watch().map_err(|errno| fail("watch", errno.into()))?;
    Ok(Listener { folder, path, changes, tails: Vec::new(), last: None, doubtful: BTreeSet::new() })
}

impl Listener {
    /// All that has happened since the last call, in the order in which it was appended.
    ///
    /// # Errors
    /// See [`EventsError`].
    pub fn read(&mut self) -> Result<Vec<Event>, EventsError> {
        let fail = |path: &PathBuf, source| EventsError::Files { action: "read", folder: path.clone(), source };
        let listed = segments(&self.folder).map_err(|source| fail(&self.path, source))?;
        let new = self.last.map_or(0, |last| last + 1);
        if let (Some(last), Some(first)) = (self.last, listed.first())
            && *first > last + 1
        {
            return Err(EventsError::Lost);
        }
        for number in listed.iter().copied().filter(|number| *number >= new) {
            match self.open(number) {
                Ok(Some(tail)) => self.tails.push(tail),
                // It was removed meanwhile: more than is kept went by between two looks.
                Ok(None) if self.last.is_some() => return Err(EventsError::Lost),
                Ok(None) => {}
                Err(source) => return Err(fail(&self.path, source)),
            }
            self.last = Some(number);
        }
        let mut events = Vec::new();
        for tail in &mut self.tails {
            let lines = tail.lines().map_err(|source| fail(&self.path, source))?;
            let gone = !listed.contains(&tail.number);
            for line in lines {
                if self.doubtful.remove(&line) {
                    continue;
                }
                // What is none was cut off when it was written.
                events.extend(serde_json::from_slice::<Event>(&line));
                if gone {
                    self.doubtful.insert(line);
                }
            }
        }
        self.tails.retain(|tail| listed.contains(&tail.number));
        Ok(events)
    }

    fn open(&self, number: u64) -> io::Result<Option<Tail>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.folder, segment_name(number), flags, Mode::empty()) {
            Ok(file) => Ok(Some(Tail { number, file: File::from(file), rest: Vec::new() })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sleeps until something may have happened, or for `limit` at most.
    ///
    /// # Errors
    /// [`EventsError::Files`].
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<(), EventsError> {
        let waited = self.sleep(limit);
        waited.map_err(|errno| EventsError::Files { action: "watch", folder: self.path.clone(), source: errno.into() })
    }

    fn sleep(&self, limit: Option<Duration>) -> Result<(), Errno> {
        let limit = limit.map(|limit| Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        let mut fds = [PollFd::new(&self.changes, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut fds, limit.as_ref()))?;
        // What has changed is found by looking: here it is only forgotten.
        let mut buffer = [0; 4096];
        loop {
            match rustix::io::retry_on_intr(|| rustix::io::read(&self.changes, &mut buffer)) {
                Ok(_) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl Tail {
    /// The whole lines that were appended since the last call.
    fn lines(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut lines = Vec::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = self.file.read(&mut chunk)?;
            if length == 0 {
                return Ok(lines);
            }
            self.rest.extend_from_slice(&chunk[..length]);
            let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
                // No event is so long.
                if self.rest.len() > 4 * LARGEST {
                    self.rest.clear();
                }
                continue;
            };
            let after = self.rest.split_off(end + 1);
            let whole = std::mem::replace(&mut self.rest, after);
            lines.extend(whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::engine;
    use std::collections::BTreeMap;
    use stockade_monitor::events::{ContainerAction, SEGMENT, append};

    fn event(name: &str) -> Event {
        Event::container(&ContainerAction::Start, "0123", BTreeMap::from([("name".to_owned(), name.to_owned())]))
    }

    fn names(events: &[Event]) -> Vec<String> {
        let name = |event: &Event| event.actor.attributes["name"].split(' ').next().unwrap_or_default().to_owned();
        events.iter().map(name).collect()
    }

    #[test]
    fn what_happened_and_what_happens() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(folder.path());
        engine.happened(event("before"));
        let mut listener = listen(&engine).unwrap();
        assert_eq!(names(&listener.read().unwrap()), ["before"]);
        engine.happened(event("after"));
        listener.wait(None).unwrap();
        assert_eq!(names(&listener.read().unwrap()), ["after"]);
        assert_eq!(listener.read().unwrap(), []);
    }

    #[test]
    fn half_a_line_is_read_when_it_is_whole_and_a_torn_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(folder.path());
        engine.happened(event("one"));
        let segment = engine.events().join(segment_name(1));
        let whole = std::fs::read(&segment).unwrap();
        let (begin, end) = whole.split_at(whole.len() / 2);
        std::fs::write(&segment, begin).unwrap();
        let mut listener = listen(&engine).unwrap();
        assert_eq!(listener.read().unwrap(), []);
        std::fs::write(&segment, [begin, end].concat()).unwrap();
        assert_eq!(names(&listener.read().unwrap()), ["one"]);
        std::fs::write(&segment, [begin, end, begin].concat()).unwrap();
        engine.happened(event("two"));
        assert_eq!(names(&listener.read().unwrap()), ["two"]);
    }

    #[test]
    fn a_reader_misses_and_repeats_nothing_over_rotations_by_many_writers() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(folder.path());
        let (writers, each) = (4, SEGMENT as usize * 3 / 30_000 / 4);
        let long = "x".repeat(30_000);
        let mut seen = Vec::new();
        let mut listener = listen(&engine).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..writers {
                let (place, long) = (engine.events(), &long);
                let write = move || {
                    for number in 0..each {
                        append(&place, event(&format!("{writer}.{number:04} {long}"))).unwrap();
                        // Nobody is to be faster than a reader can be.
                        std::thread::sleep(Duration::from_millis(1));
                    }
                };
                scope.spawn(write);
            }
            while seen.len() < writers * each {
                listener.wait(Some(Duration::from_secs(10))).unwrap();
                let new = listener.read().unwrap();
                assert!(!new.is_empty() || seen.len() < writers * each);
                seen.extend(names(&new));
            }
        });
        for writer in 0..writers {
            let own: Vec<&String> = seen.iter().filter(|name| name.starts_with(&format!("{writer}."))).collect();
            let expected: Vec<String> = (0..each).map(|number| format!("{writer}.{number:04}")).collect();
            assert_eq!(own, expected.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn who_is_too_slow_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(folder.path());
        engine.happened(event("one"));
        let mut listener = listen(&engine).unwrap();
        listener.read().unwrap();
        let long = "x".repeat(60_000);
        (0..SEGMENT as usize * 4 / 60_000).for_each(|_| engine.happened(event(&long)));
        assert!(matches!(listener.read(), Err(EventsError::Lost)));
    }
}
