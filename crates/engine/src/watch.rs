//! Sleeping until a container's folder, or its monitor, has something new.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use crate::container::Folder;

/// What comes in files of the folder, and files that come and go.
const EVENTS: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// Whoever must not be missed is asked once in so long, whatever was told.
const AT_LEAST: Duration = Duration::from_secs(5);

/// The folder, watched from when this was made.
#[derive(Debug)]
pub(crate) struct Watch {
    events: OwnedFd,
    monitor: Option<OwnedFd>,
}

impl Watch {
    pub(crate) fn new(folder: &Folder) -> io::Result<Self> {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&events, format!("/proc/self/fd/{}", folder.fd.as_raw_fd()), EVENTS)?;
        let monitor = folder.monitor().map_err(io::Error::other)?;
        Ok(Self { events, monitor })
    }

    /// Sleeps until something has happened since the last call, or `other` can be read, or `limit` is over.
    pub(crate) fn wait(&mut self, other: Option<BorrowedFd<'_>>, limit: Option<Duration>) -> io::Result<()> {
        let limit = limit.unwrap_or(AT_LEAST).min(AT_LEAST);
        let limit = Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: limit.subsec_nanos().into() };
        let mut fds = vec![PollFd::new(&self.events, PollFlags::IN)];
        fds.extend(self.monitor.iter().map(|monitor| PollFd::new(monitor, PollFlags::IN)));
        fds.extend(other.into_iter().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut fds, Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let dead = self.monitor.is_some() && !fds[1].revents().is_empty();
        drop(fds);
        if dead {
            self.monitor = None;
        }
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        loop {
            match rustix::io::read(&self.events, &mut buffer) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
