//! What `ps` has read of containers that do not run, kept for the next time: it is read as one file where theirs are thousands.
//!
//! Everything that is told of such a container stands in files of its folder, each of which is replaced by `renameat(2)`. So nothing of
//! it has changed as long as the folder's `ctime` is the same, and that costs one `statx(2)`. A time that was too young to be told from
//! that of a change right after it (the clock of files ticks every few milliseconds) is not relied on.
//!
//! It is a copy: without it, or where it cannot be read or written, everything is read as ever. It is written in place, by one at a time,
//! and not read meanwhile; who is killed in between leaves what is no JSON.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fd::BorrowedFd;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, Statx, StatxFlags, flock, statx};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::files::open_folder;
use crate::ps::Found;
use crate::{ContainerId, Engine};

/// The file, in the data root.
const FILE: &str = "listed.json";

/// No more is read of it.
const LARGEST: u64 = 256 << 20;

/// The program that writes it: another one's is not read.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How old a change has to be for the next one to have another time.
const SETTLED: Duration = Duration::from_secs(2);

/// Which state of its folder a container was read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    inode: u64,
    seconds: i64,
    nanoseconds: u32,
}

impl Stamp {
    /// That of the folder that `folder` is, to be taken before anything in it is read; `None` if it has changed just now.
    ///
    /// # Errors
    /// As `statx(2)`.
    pub(crate) fn take(folder: BorrowedFd<'_>) -> Result<Option<Self>, Errno> {
        let stamp = Self::of(&statx(folder, "", AtFlags::EMPTY_PATH, StatxFlags::INO | StatxFlags::CTIME)?);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let changed = Duration::new(u64::try_from(stamp.seconds).unwrap_or(u64::MAX), stamp.nanoseconds);
        Ok(now.checked_sub(changed).is_some_and(|age| age > SETTLED).then_some(stamp))
    }

    fn of(found: &Statx) -> Self {
        Self { inode: found.stx_ino, seconds: found.stx_ctime.tv_sec, nanoseconds: found.stx_ctime.tv_nsec }
    }
}

/// One container.
#[derive(Debug, Deserialize)]
struct Entry {
    stamp: Stamp,
    found: Found,
}

/// All that was kept.
#[derive(Debug, Deserialize)]
struct Listed {
    /// [`VERSION`].
    version: String,
    entries: Vec<Entry>,
}

/// Splits `ids` into those of which it is known what `ps` would read, and the others.
pub(crate) fn known(engine: &Engine, ids: Vec<ContainerId>) -> (Vec<(Stamp, Found)>, Vec<ContainerId>) {
    let (Ok(listed), Ok(folder)) = (read(engine), open_folder(&engine.containers())) else { return (Vec::new(), ids) };
    if listed.version != VERSION {
        return (Vec::new(), ids);
    }
    let mut kept: HashMap<ContainerId, Entry> =
        listed.entries.into_iter().map(|entry| (entry.found.id().clone(), entry)).collect();
    let (mut known, mut unknown) = (Vec::with_capacity(kept.len()), Vec::new());
    for id in ids {
        let now = statx(&folder, id.as_str(), AtFlags::SYMLINK_NOFOLLOW, StatxFlags::INO | StatxFlags::CTIME);
        match (kept.remove(&id), now) {
            (Some(Entry { stamp, found }), Ok(now)) if stamp == Stamp::of(&now) => known.push((stamp, found)),
            _ => unknown.push(id),
        }
    }
    (known, unknown)
}

/// Keeps `all` for the next time.
pub(crate) fn keep<'a>(engine: &Engine, all: impl Iterator<Item = (Stamp, &'a Found)>) {
    #[derive(Serialize)]
    struct Entry<'a> {
        stamp: Stamp,
        found: &'a Found,
    }
    #[derive(Serialize)]
    struct Listed<'a> {
        version: &'a str,
        entries: Vec<Entry<'a>>,
    }
    let entries = all.map(|(stamp, found)| Entry { stamp, found }).collect();
    let kept = || -> std::io::Result<()> {
        let mut file = open(engine, OFlags::RDWR | OFlags::CREATE, FlockOperation::NonBlockingLockExclusive)?;
        file.set_len(0)?;
        file.write_all(&serde_json::to_vec(&Listed { version: VERSION, entries })?)
    };
    // Where it cannot be kept (a full disk, one that is read-only, another who keeps it now) everything is read again.
    drop(kept());
}

fn read(engine: &Engine) -> std::io::Result<Listed> {
    let file = open(engine, OFlags::RDONLY, FlockOperation::NonBlockingLockShared)?;
    let mut text = Vec::with_capacity(file.metadata()?.len().min(LARGEST) as usize + 1);
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

fn open(engine: &Engine, flags: OFlags, lock: FlockOperation) -> std::io::Result<File> {
    let path = engine.places().data.join(FILE);
    let file = rustix::fs::open(path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?;
    flock(&file, lock)?;
    Ok(file.into())
}
