//! Between the caller's terminal and a container's: raw mode, window size, and copying.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::termios::tcsetwinsize;
use stockade_kernel::terminal::{self, RawMode};

/// The outer side of a container's terminal while a process in the foreground is waited for. The caller's own terminal is in
/// raw mode meanwhile, and gets its mode back when the value is dropped.
#[derive(Debug)]
pub struct Terminal {
    master: OwnedFd,
    /// Gives the caller's terminal its mode back.
    raw: Option<RawMode>,
    /// Whether the caller's input has not ended yet.
    reads_input: bool,
    /// Whether the caller still takes what the container says; if not, it is dropped, and the container goes on.
    writes_output: bool,
    /// Whether nobody has the inner side open at the moment; somebody may open it again.
    abandoned: bool,
    /// What the caller typed and the terminal has not taken yet.
    typed: Vec<u8>,
}

impl Terminal {
    /// Takes `master` over: the caller's standard input goes to it and what it says to the caller's standard output.
    ///
    /// # Errors
    /// As `tcsetattr(3)`.
    pub fn new(master: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&master, true)?;
        let raw = RawMode::enter(rustix::stdio::stdin())?;
        let (reads_input, writes_output) = (true, true);
        let terminal = Self { master, raw, reads_input, writes_output, abandoned: false, typed: Vec::new() };
        terminal.resize()?;
        Ok(terminal)
    }

    /// Gives the container's terminal the size of the caller's, if the caller has one.
    ///
    /// # Errors
    /// As `tcsetwinsize(3)`.
    pub fn resize(&self) -> io::Result<()> {
        match terminal::size(rustix::stdio::stdin())? {
            Some(size) => Ok(tcsetwinsize(&self.master, size)?),
            None => Ok(()),
        }
    }

    /// What to wait for: the master, and the caller's input while there is room for it. A file that has hung up would never let
    /// `poll(2)` wait, so it is left out.
    pub(crate) fn poll_fds(&self) -> Vec<PollFd<'_>> {
        let mut fds = Vec::with_capacity(2);
        if !self.abandoned {
            let writes = if self.typed.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
            fds.push(PollFd::from_borrowed_fd(self.master.as_fd(), writes));
        }
        if self.reads_input && self.typed.is_empty() {
            fds.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN));
        }
        fds
    }

    /// How long to wait at most: to look whether a terminal that nobody had open is used again.
    pub(crate) fn patience(&self) -> Option<Timespec> {
        self.abandoned.then_some(Timespec { tv_sec: 0, tv_nsec: 100_000_000 })
    }

    /// Copies what there is: `news` is whether the caller's input has some, if it was waited for.
    ///
    /// # Errors
    /// As `read(2)` on the caller's input and on the master.
    pub(crate) fn copy(&mut self, news: bool) -> io::Result<()> {
        // What was not waited for may not be there, and to read it would be to wait.
        let reads = news && self.reads_input && self.typed.is_empty();
        self.print()?;
        if !self.typed.is_empty() {
            self.type_on()?;
        }
        if reads {
            self.read_input()?;
        }
        Ok(())
    }

    /// Prints what the terminal still holds when its process has ended, and gives the caller's terminal its mode back.
    ///
    /// # Errors
    /// As `read(2)` on the master, and `tcsetattr(3)`.
    pub fn drain(&mut self) -> io::Result<()> {
        while self.print()? {}
        self.raw.take().map_or(Ok(()), RawMode::leave)
    }

    /// Copies from the master to the caller; whether there was something.
    fn print(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 16 << 10];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.master, &mut buffer)) {
            Ok(0) | Err(Errno::IO) => {
                self.abandoned = true;
                Ok(false)
            }
            Err(Errno::AGAIN) => {
                self.abandoned = false;
                Ok(false)
            }
            Ok(length) => {
                self.abandoned = false;
                self.writes_output = self.writes_output && write_all(&buffer[..length]).is_ok();
                Ok(true)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    fn read_input(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4 << 10];
        match rustix::io::retry_on_intr(|| rustix::io::read(rustix::stdio::stdin(), &mut buffer)) {
            Ok(0) | Err(Errno::IO) => {
                self.reads_input = false;
                // What a terminal's line discipline takes for the end of input.
                self.typed.push(4);
            }
            Ok(length) => self.typed.extend_from_slice(&buffer[..length]),
            Err(Errno::AGAIN) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        self.type_on()
    }

    /// Gives the master as much of what was typed as it takes.
    fn type_on(&mut self) -> io::Result<()> {
        match rustix::io::retry_on_intr(|| rustix::io::write(&self.master, &self.typed)) {
            Ok(length) => {
                self.typed.drain(..length);
                Ok(())
            }
            Err(Errno::AGAIN) => Ok(()),
            Err(Errno::IO) => {
                self.typed.clear();
                Ok(())
            }
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Writes all of `text` to the caller's standard output.
fn write_all(text: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let mut output = io::stdout();
    output.write_all(text)?;
    output.flush()
}
