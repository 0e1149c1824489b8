//! Between the caller's terminal and a container's: raw mode, window size, and copying.

use std::io;

use rustix::event::{PollFd, PollFlags};
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
        let terminal = Self { master, raw, reads_input: true, typed: Vec::new() };
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

    /// What to wait for: the master, and the caller's input while there is room for it.
    pub(crate) fn poll_fds(&self) -> [PollFd<'_>; 2] {
        let writes = if self.typed.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        let reads = if self.reads_input && self.typed.is_empty() { PollFlags::IN } else { PollFlags::empty() };
        let input = rustix::stdio::stdin();
        [PollFd::from_borrowed_fd(self.master.as_fd(), writes), PollFd::from_borrowed_fd(input, reads)]
    }

    /// Copies what there is, after `poll(2)` said `master` and `input` of the two.
    ///
    /// # Errors
    /// As `read(2)` and `write(2)` on the caller's own files.
    pub(crate) fn copy(&mut self, master: PollFlags, input: PollFlags) -> io::Result<()> {
        if master.intersects(PollFlags::IN | PollFlags::HUP) {
            self.print()?;
        }
        if !self.typed.is_empty() && master.contains(PollFlags::OUT) {
            self.type_on()?;
        }
        if self.reads_input && input.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.read_input()?;
        }
        Ok(())
    }

    /// Prints what the terminal still holds when its process has ended, and gives the caller's terminal its mode back.
    ///
    /// # Errors
    /// As `write(2)` on the caller's standard output, and `tcsetattr(3)`.
    pub fn drain(&mut self) -> io::Result<()> {
        while self.print()? {}
        self.raw.take().map_or(Ok(()), RawMode::leave)
    }

    /// Copies from the master to the caller; whether there was something.
    fn print(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 16 << 10];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.master, &mut buffer)) {
            // EIO: nobody has the inner side open any more.
            Ok(0) | Err(Errno::AGAIN | Errno::IO) => Ok(false),
            Ok(length) => {
                write_all(&buffer[..length])?;
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
