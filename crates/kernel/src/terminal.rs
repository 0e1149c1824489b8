//! A terminal in raw mode, which always gets its mode back.

use std::io::{self, Write};

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, Winsize, isatty, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr};

/// A terminal in raw mode (`termios(3)`): what is typed is passed on as it is. It gets its mode back when the value is dropped.
#[derive(Debug)]
pub struct RawMode {
    terminal: OwnedFd,
    saved: Termios,
}

impl RawMode {
    /// Puts `terminal` into raw mode; `None` if it is no terminal.
    ///
    /// # Errors
    /// As `tcgetattr(3)`, `tcsetattr(3)` and `fcntl(2)`; the mode is unchanged.
    pub fn enter(terminal: impl AsFd) -> io::Result<Option<Self>> {
        if !isatty(&terminal) {
            return Ok(None);
        }
        let guard = Self { saved: tcgetattr(&terminal)?, terminal: rustix::io::fcntl_dupfd_cloexec(&terminal, 0)? };
        let mut raw = guard.saved.clone();
        raw.make_raw();
        tcsetattr(&guard.terminal, OptionalActions::Now, &raw)?;
        Ok(Some(guard))
    }

    /// Gives the mode back now.
    ///
    /// # Errors
    /// As `tcsetattr(3)`; it is tried once more when the value is dropped.
    pub fn leave(self) -> io::Result<()> {
        self.restore()
    }

    /// Gives the mode back for a while, as for a process that is about to be stopped.
    ///
    /// # Errors
    /// As `tcsetattr(3)`.
    pub fn give_back(&self) -> io::Result<()> {
        self.restore()
    }

    /// Puts the terminal into raw mode again if this process is in its foreground, or it is not its controlling terminal: in the
    /// background it is somebody else's. Whether it did.
    ///
    /// # Errors
    /// As `tcgetattr(3)` and `tcsetattr(3)`.
    pub fn take_again(&self) -> io::Result<bool> {
        match tcgetpgrp(&self.terminal) {
            Ok(group) if group != rustix::process::getpgrp() => return Ok(false),
            Ok(_) | Err(Errno::NOTTY) => {}
            // It has hung up.
            Err(Errno::IO) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
        let mut raw = self.saved.clone();
        raw.make_raw();
        tcsetattr(&self.terminal, OptionalActions::Now, &raw)?;
        Ok(true)
    }

    fn restore(&self) -> io::Result<()> {
        match tcsetattr(&self.terminal, OptionalActions::Now, &self.saved) {
            // One that has hung up needs no mode.
            Ok(()) | Err(Errno::IO) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Nobody else is told by a drop, and the user would sit before a terminal that shows nothing.
        if let Err(error) = self.restore() {
            // There may be nobody left to tell.
            drop(writeln!(io::stderr(), "cannot give the terminal its mode back: {error}"));
        }
    }
}

/// The size of the terminal, `None` if it is no terminal, or one that has hung up.
///
/// # Errors
/// As `tcgetwinsize(3)`.
pub fn size(terminal: impl AsFd) -> io::Result<Option<Winsize>> {
    match tcgetwinsize(terminal) {
        Ok(size) => Ok(Some(size)),
        Err(Errno::NOTTY | Errno::IO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::LocalModes;

    #[test]
    fn the_mode_comes_back_and_what_is_no_terminal_has_none() {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let terminal = rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let echoes = || tcgetattr(&terminal).unwrap().local_modes.contains(LocalModes::ECHO);
        assert!(echoes());
        let raw = RawMode::enter(&terminal).unwrap().unwrap();
        assert!(!echoes());
        drop(raw);
        assert!(echoes());
        RawMode::enter(&terminal).unwrap().unwrap().leave().unwrap();
        assert!(echoes());
        let raw = RawMode::enter(&terminal).unwrap().unwrap();
        raw.give_back().unwrap();
        assert!(echoes());
        assert!(raw.take_again().unwrap() && !echoes());
        drop(raw);
        assert!(echoes());
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        assert!(RawMode::enter(&reader).unwrap().is_none());
        assert!(size(&reader).unwrap().is_none());
    }
}
