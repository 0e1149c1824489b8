//! A program on a pseudo-terminal, typed at and looked at as a person would.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::termios::{Termios, Winsize};

/// How long anything may take unless the test says otherwise.
const LIMIT: Duration = Duration::from_secs(30);

/// A program whose terminal this is.
pub struct Pty {
    controller: File,
    /// Kept open, so that the terminal outlives the program and can be looked at.
    terminal: OwnedFd,
    child: Child,
    seen: String,
}

impl Pty {
    /// Starts `line` with a new terminal of 24 rows and 80 columns for its standard streams and its controlling terminal.
    ///
    /// # Panics
    /// If there are no pseudo-terminals, or the program does not start.
    #[must_use]
    pub fn start(line: &[String]) -> Self {
        let (controller, terminal) = crate::terminal::pair().expect("a pseudo-terminal can be opened");
        let stream = || Stdio::from(terminal.try_clone().expect("a descriptor can be duplicated"));
        // setsid(1) makes the terminal the controlling one and then becomes the program: the process id stays.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg("--").args(line).stdin(stream()).stdout(stream()).stderr(stream());
        let child = command.spawn().expect("setsid starts");
        let pty = Self { controller: controller.into(), terminal, child, seen: String::new() };
        pty.resize(24, 80);
        pty
    }

    /// Sets the size; the program gets SIGWINCH.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.controller, size).expect("a terminal has a size");
    }

    /// Types.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn send(&mut self, keys: &str) {
        self.controller.write_all(keys.as_bytes()).expect("a terminal takes keys");
    }

    /// Waits until `text` was written since the last such call, and forgets all up to its end.
    ///
    /// # Panics
    /// If that does not happen in time; the message says what was written instead.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + crate::call::patient(LIMIT);
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            assert!(self.read_before(deadline), "waited in vain for {text:?}; seen: {:?}", self.seen);
        }
    }

    /// The modes of the terminal.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn modes(&self) -> Termios {
        rustix::termios::tcgetattr(&self.terminal).expect("a terminal has modes")
    }

    /// The program's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Waits for the program's end, reading what it writes: its exit status and the rest of its output.
    ///
    /// # Panics
    /// If it does not end in time; it is killed then.
    #[track_caller]
    pub fn wait(&mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + crate::call::patient(LIMIT);
        loop {
            let status = self.child.try_wait().expect("a child can be waited for");
            while self.read_before(Instant::now() + Duration::from_millis(20)) {}
            if let Some(status) = status {
                return (status, std::mem::take(&mut self.seen));
            }
            if Instant::now() > deadline {
                self.child.kill().expect("a child can be killed");
                self.child.wait().expect("a killed child ends");
                panic!("the program did not end; seen: {:?}", self.seen);
            }
        }
    }

    /// Reads what is there or comes before `deadline`; whether anything did.
    fn read_before(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = left.try_into().expect("a limit of hours at most");
        let mut fds = [PollFd::new(&self.controller, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("poll on a terminal: {error}"),
        }
        let mut bytes = [0; 4096];
        match self.controller.read(&mut bytes) {
            Ok(count) => {
                self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
                count > 0
            }
            Err(_hung_up) => false,
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // A test that failed leaves its program behind.
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
