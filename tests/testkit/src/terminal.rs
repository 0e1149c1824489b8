//! A pseudo terminal with a test at its other end, in place of a person.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// How long a program may take to show something.
const PATIENCE: Duration = Duration::from_secs(20);

/// The outer side of a terminal.
pub struct Screen {
    master: OwnedFd,
    shown: String,
}

/// Both sides of a new terminal, neither the controlling one of anybody: the outer and the inner.
///
/// # Errors
/// As `posix_openpt(3)`.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let slave = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    Ok((master, slave))
}

impl Screen {
    /// A new terminal of this size: the test's side, and the side for programs.
    ///
    /// # Errors
    /// As `posix_openpt(3)`.
    pub fn new(rows: u16, columns: u16) -> io::Result<(Self, OwnedFd)> {
        let (master, slave) = pair()?;
        let screen = Self::over(master)?;
        screen.resize(rows, columns)?;
        Ok((screen, slave))
    }

    /// The test's side of a terminal that somebody else has made.
    ///
    /// # Errors
    /// As `ioctl(2)`.
    pub fn over(master: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&master, true)?;
        Ok(Self { master, shown: String::new() })
    }

    /// Waits at the console socket `path`, which it makes, and receives a terminal that is sent there by `start`.
    ///
    /// # Errors
    /// As [`crate::handed::receive`].
    pub fn received_at<T>(path: &Path, start: impl FnOnce() -> T) -> io::Result<(Self, T)> {
        let handed = crate::handed::receive(path, start)?;
        Ok((Self::over(handed.descriptor)?, handed.started))
    }

    /// Types `text`.
    ///
    /// # Errors
    /// As `write(2)`.
    pub fn types(&self, text: &str) -> io::Result<()> {
        let written = rustix::io::write(&self.master, text.as_bytes())?;
        if written == text.len() { Ok(()) } else { Err(Errno::AGAIN.into()) }
    }

    /// Changes the size, of which the foreground processes are told.
    ///
    /// # Errors
    /// As `ioctl(2)`.
    pub fn resize(&self, rows: u16, columns: u16) -> io::Result<()> {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(&self.master, size)?)
    }

    /// Waits until `text` has been shown.
    ///
    /// # Panics
    /// If the terminal is closed, or 20 seconds are over, before that.
    #[track_caller]
    pub fn waits_for(&mut self, text: &str) {
        let deadline = Instant::now() + crate::call::patient(PATIENCE);
        while !self.shown.contains(text) {
            let open = self.read();
            assert!(open || self.shown.contains(text), "closed before {text:?} was shown: {:?}", self.shown);
            assert!(Instant::now() < deadline, "waited in vain for {text:?}: {:?}", self.shown);
        }
    }

    /// All that has been shown when every program has closed the terminal.
    ///
    /// # Panics
    /// If that takes more than 20 seconds.
    pub fn to_the_end(mut self) -> String {
        let deadline = Instant::now() + crate::call::patient(PATIENCE);
        while self.read() {
            assert!(Instant::now() < deadline, "the terminal stays open: {:?}", self.shown);
        }
        self.shown
    }

    /// Reads what comes within a moment; whether there may be more.
    fn read(&mut self) -> bool {
        let moment = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        let mut buffer = [0; 4096];
        poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&moment)).expect("poll works");
        match rustix::io::read(&self.master, &mut buffer) {
            Ok(0) | Err(Errno::IO) => false,
            Ok(length) => {
                self.shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
                true
            }
            Err(Errno::AGAIN) => true,
            Err(error) => panic!("a terminal can be read: {error}"),
        }
    }
}

/// Whether the terminal edits lines and echoes, as it does for a shell, and is not raw.
///
/// # Errors
/// As `tcgetattr(3)`.
pub fn edits_lines(terminal: impl AsFd) -> io::Result<bool> {
    Ok(tcgetattr(terminal)?.local_modes.contains(LocalModes::ICANON | LocalModes::ECHO))
}
