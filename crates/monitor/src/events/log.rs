//! The files of events: segments that are only appended to, of which the last [`KEPT`] are kept.
//!
//! A segment is called by its number; the one with the greatest is appended to. Each event is one `write(2)` with `O_APPEND`, so that
//! the kernel keeps those of several writers apart, and no writer waits for another. It begins with a line feed and ends
//! with one: what a full disk or a `kill -9` has cut off is a line of its own, which no reader takes for an event. Who finds the segment
//! full takes the folder's lock, or leaves it to who has it, makes the next segment and removes those before the last two.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::Event;

/// How long a segment gets before the next is begun, in bytes.
pub const SEGMENT: u64 = 4 << 20;
/// How many segments are kept.
pub const KEPT: u64 = 2;
/// The longest event. Attributes of a longer one are left out, the longest first.
pub const LARGEST: usize = 64 << 10;

/// How often a segment is looked for anew that was removed meanwhile: each time eight megabytes of others' events have gone by.
const TRIES: usize = 16;

/// Why an event was not appended.
#[derive(Debug, thiserror::Error)]
#[error("cannot append the event {action} to {}", folder.display())]
pub struct AppendError {
    action: String,
    folder: PathBuf,
    source: io::Error,
}

/// Appends `event` to the files in `folder`, with the time of now. A folder that is not there is made, with mode 0700.
///
/// # Errors
/// [`AppendError`]. What was written until then is no event to any reader.
pub fn append(folder: &Path, event: Event) -> Result<(), AppendError> {
    let fail = |action: &str, source| AppendError { action: action.to_owned(), folder: folder.to_owned(), source };
    let event = Event { time: now(), ..event };
    let action = event.action.clone();
    let text = line(event).map_err(|error| fail(&action, error.into()))?;
    write(folder, &text).map_err(|source| fail(&action, source))
}

/// The numbers of the segments in `folder`, in their order.
///
/// # Errors
/// As `getdents64(2)`.
pub fn segments(folder: impl AsFd) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?;
        let number: Option<u64> =
            name.file_name().to_str().ok().and_then(|name| name.strip_suffix(SUFFIX)?.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

const SUFFIX: &str = ".jsonl";

/// The name of a segment's file.
#[must_use]
pub fn segment_name(number: u64) -> String {
    format!("{number:010}{SUFFIX}")
}

fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// The event as it is kept, between two line feeds.
fn line(mut event: Event) -> Result<Vec<u8>, serde_json::Error> {
    loop {
        let mut text = vec![b'\n'];
        serde_json::to_writer(&mut text, &event)?;
        text.push(b'\n');
        let attributes = &mut event.actor.attributes;
        let longest = attributes.iter().max_by_key(|(name, value)| name.len() + value.len());
        match longest.map(|(name, _)| name.clone()) {
            Some(name) if text.len() > LARGEST => attributes.remove(&name),
            _ => return Ok(text),
        };
    }
}

fn write(folder: &Path, text: &[u8]) -> io::Result<()> {
    let folder = open(folder)?;
    for _ in 0..TRIES {
        let all = segments(&folder)?;
        let number = all.last().copied().unwrap_or(1);
        // Only the first segment is made here: a later one that is not there any more is one that was removed.
        let flags = if all.is_empty() { OFlags::CREATE } else { OFlags::empty() };
        let Some(segment) = open_segment(&folder, number, flags)? else { continue };
        if all.is_empty() && segments(&folder)?.last() != Some(&number) {
            continue;
        }
        let written = rustix::io::retry_on_intr(|| rustix::io::write(&segment, text))?;
        if written < text.len() {
            return Err(Errno::NOSPC.into());
        }
        let stat = rustix::fs::fstat(&segment)?;
        if stat.st_nlink == 0 {
            continue;
        }
        if stat.st_size.cast_unsigned() >= SEGMENT {
            rotate(&folder, number)?;
        }
        return Ok(());
    }
    Err(Errno::AGAIN.into())
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::NOENT) => match rustix::fs::mkdirat(CWD, path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?),
            Err(errno) => Err(errno.into()),
        },
        opened => Ok(opened?),
    }
}

fn open_segment(folder: &OwnedFd, number: u64, more: OFlags) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | more;
    match rustix::fs::openat(folder, segment_name(number), flags, Mode::RUSR | Mode::WUSR) {
        Ok(segment) => Ok(Some(segment)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Begins the segment after `full`, unless somebody else does.
fn rotate(folder: &OwnedFd, full: u64) -> io::Result<()> {
    match rustix::fs::flock(folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    }
    let all = segments(folder)?;
    if all.last() != Some(&full) {
        return Ok(());
    }
    let next = full + 1;
    open_segment(folder, next, OFlags::CREATE | OFlags::EXCL)?;
    for old in all.into_iter().filter(|number| number + KEPT <= next) {
        match rustix::fs::unlinkat(folder, segment_name(old), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::events::{ContainerAction, Kind};

    fn event(text: &str) -> Event {
        let attributes = BTreeMap::from([("name".to_owned(), text.to_owned())]);
        Event::container(&ContainerAction::Start, "0123", attributes)
    }

    fn kept(folder: &Path) -> Vec<Event> {
        let numbers = segments(open(folder).unwrap()).unwrap();
        let text: String =
            numbers.iter().map(|n| std::fs::read_to_string(folder.join(segment_name(*n))).unwrap()).collect();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    #[test]
    fn events_are_dockers_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("events");
        for name in ["one", "two"] {
            append(&place, event(name)).unwrap();
        }
        let all = kept(&place);
        assert_eq!(all.iter().map(|event| event.actor.attributes["name"].as_str()).collect::<Vec<_>>(), ["one", "two"]);
        assert!(0 < all[0].time && all[0].time <= all[1].time);
        let json = serde_json::to_value(&all[0]).unwrap();
        assert_eq!((json["Type"].as_str(), json["Action"].as_str()), (Some("container"), Some("start")));
        assert_eq!((json["Actor"]["ID"].as_str(), all[0].kind), (Some("0123"), Kind::Container));
    }

    #[test]
    fn a_torn_line_is_no_event_and_spoils_none() {
        let folder = tempfile::tempdir().unwrap();
        append(folder.path(), event("one")).unwrap();
        let segment = folder.path().join(segment_name(1));
        let whole = std::fs::read(&segment).unwrap();
        std::fs::write(&segment, [&whole[..], &whole[..whole.len() / 2]].concat()).unwrap();
        append(folder.path(), event("two")).unwrap();
        let names: Vec<_> =
            kept(folder.path()).into_iter().map(|event| event.actor.attributes["name"].clone()).collect();
        assert_eq!(names, ["one", "two"]);
    }

    #[test]
    fn many_writers_at_once_lose_nothing_over_a_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(20_000);
        let writers = 8;
        let each = (SEGMENT as usize * 3 / 2) / 20_000 / writers;
        std::thread::scope(|scope| {
            for writer in 0..writers {
                let (folder, long) = (folder.path(), &long);
                scope.spawn(move || {
                    (0..each).for_each(|n| append(folder, event(&format!("{writer}.{n} {long}"))).unwrap())
                });
            }
        });
        let all = kept(folder.path());
        let mut names: Vec<_> =
            all.iter().map(|event| event.actor.attributes["name"].split(' ').next().unwrap()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!((all.len(), names.len()), (writers * each, writers * each));
        assert_eq!(segments(open(folder.path()).unwrap()).unwrap(), [1, 2]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(60_000);
        for _ in 0..(SEGMENT as usize * 3 / 60_000 + 10) {
            append(folder.path(), event(&long)).unwrap();
        }
        assert_eq!(segments(open(folder.path()).unwrap()).unwrap(), [3, 4]);
    }

    #[test]
    fn an_event_that_is_too_long_loses_its_longest_attributes() {
        let folder = tempfile::tempdir().unwrap();
        append(folder.path(), event("kept").with("label", "x".repeat(LARGEST))).unwrap();
        let [one] = &kept(folder.path())[..] else { panic!() };
        assert_eq!(one.actor.attributes.keys().collect::<Vec<_>>(), ["name"]);
    }

    #[test]
    fn a_writer_that_finds_its_segment_removed_takes_the_last_one() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(segment_name(7)), "").unwrap();
        append(folder.path(), event("one")).unwrap();
        assert_eq!(segments(open(folder.path()).unwrap()).unwrap(), [7]);
        assert_eq!(kept(folder.path()).len(), 1);
    }
}
