//! The connection to a systemd: its own socket, at which it speaks D-Bus without a bus in between.
//!
//! Whoever listens there was started by the machine's (or the user's) systemd; the folder of the socket belongs to root or the
//! user. A client tells nothing of who it is: systemd asks the kernel (`SO_PEERCRED`), so that root of a user namespace, who does not know
//! his name outside, is who he is.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::SystemdError;
use super::wire::{self, FIXED, Kind, Message, Method, Writer};

/// How long systemd may take for a call with its job. It answers at once, unless the machine is choked.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest line of the authentication.
const LONGEST_LINE: usize = 256;

/// A connection.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Ends of jobs that were told while something else was waited for.
    ends: Vec<Message>,
    deadline: Instant,
}

impl Bus {
    /// Connects to the systemd that listens at `socket`.
    pub(super) fn connect(socket: &Path) -> Result<Self, SystemdError> {
        let stream = UnixStream::connect(socket)
            .map_err(|source| SystemdError::Connect { socket: PathBuf::from(socket), source })?;
        let mut bus = Self { stream, serial: 0, ends: Vec::new(), deadline: Instant::now() + PATIENCE };
        bus.authenticate().map_err(SystemdError::Speak)?;
        Ok(bus)
    }

    /// SASL's mechanism EXTERNAL with an empty identity: "who the kernel says that I am" (systemd 246).
    ///
    /// All of it goes at once, as systemd's own clients do it: what comes together with the last line it would leave unread.
    fn authenticate(&mut self) -> io::Result<()> {
        self.stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        for expected in ["DATA", "OK "] {
            let answer = self.line()?;
            if !answer.starts_with(expected) {
                let what = format!("instead of {expected:?} it answers {answer:?}");
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
            }
        }
        Ok(())
    }

    /// A line of the authentication. What follows the last one comes only when something is called.
    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.read(&mut byte)?;
            line.push(byte[0]);
            if line.len() > LONGEST_LINE {
                return Err(Errno::MSGSIZE.into());
            }
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).map_err(|_no_text| Errno::BADMSG.into())
    }

    /// Fills `buffer` before the deadline.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Errno::TIMEDOUT.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut buffer[filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Errno::TIMEDOUT.into()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn message(&mut self) -> io::Result<Message> {
        let mut fixed = [0; FIXED];
        self.read(&mut fixed)?;
        let mut whole = vec![0; wire::whole_length(&fixed)?];
        whole[..FIXED].copy_from_slice(&fixed);
        self.read(&mut whole[FIXED..])?;
        Message::parse(&whole)
    }

    /// Calls `method` with the arguments in `body` and waits for the answer.
    pub(super) fn call(&mut self, method: Method<'_>, body: Writer) -> Result<Message, SystemdError> {
        self.deadline = Instant::now() + PATIENCE;
        self.serial += 1;
        let sent = self.stream.write_all(&wire::call(self.serial, method, body));
        sent.map_err(SystemdError::Speak)?;
        loop {
            let message = self.message().map_err(SystemdError::Speak)?;
            match message.kind {
                Kind::Reply if message.reply_to == Some(self.serial) => return Ok(message),
                Kind::Error if message.reply_to == Some(self.serial) => {
                    let text = message.arguments().text().unwrap_or_default();
                    let (call, name) = (method.member.to_owned(), message.error);
                    return Err(SystemdError::Refused { call, name, message: text });
                }
                Kind::Signal if message.member == "JobRemoved" => self.ends.push(message),
                _ => {}
            }
        }
    }

    /// Waits for the end of `job`, about which the call that made it was answered last; returns how it ended.
    pub(super) fn result_of(&mut self, job: &str) -> Result<String, SystemdError> {
        loop {
            while let Some(message) = self.ends.pop() {
                // JobRemoved(u id, o job, s unit, s result)
                let mut arguments = message.arguments();
                let mut read = || {
                    arguments.number()?;
                    let path = arguments.text()?;
                    arguments.text()?;
                    Ok((path, arguments.text()?))
                };
                let (path, result) = read().map_err(SystemdError::Speak)?;
                if path == job {
                    return Ok(result);
                }
            }
            let message = self.message().map_err(SystemdError::Speak)?;
            if message.kind == Kind::Signal && message.member == "JobRemoved" {
                self.ends.push(message);
            }
        }
    }
}
