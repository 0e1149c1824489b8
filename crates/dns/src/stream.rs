//! Messages over TCP, each with its length before it, one at a time in each direction.

use std::io;

use rustix::event::PollFlags;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// What is read at once.
const PART: usize = 4096;
/// The bytes of a length.
const PREFIX: usize = 2;

/// A stream of messages.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: OwnedFd,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, input: Vec::new(), output: Vec::new() }
    }

    /// Has a message sent. What is longer than a message can be is cut off by whoever made it.
    pub(crate) fn put(&mut self, message: &[u8]) {
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
        self.output.extend(length.to_be_bytes());
        self.output.extend(&message[..usize::from(length)]);
    }

    /// What `poll(2)` is to look at: nothing is read as long as something is to be sent.
    pub(crate) fn interest(&self) -> (&OwnedFd, PollFlags) {
        (&self.socket, if self.output.is_empty() { PollFlags::IN } else { PollFlags::OUT })
    }

    /// Sends what is to be sent, then reads; a message, once it is there.
    ///
    /// # Errors
    /// If the other side is gone.
    pub(crate) fn turn(&mut self) -> io::Result<Option<Vec<u8>>> {
        while !self.output.is_empty() {
            match rustix::net::send(&self.socket, &self.output, SendFlags::NOSIGNAL) {
                Ok(sent) => drop(self.output.drain(..sent)),
                Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
        }
        if let Some(message) = self.message() {
            return Ok(Some(message));
        }
        let mut part = [0; PART];
        match rustix::net::recv(&self.socket, &mut part[..], RecvFlags::empty()) {
            Ok((_, 0)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((_, length)) => {
                self.input.extend(&part[..length.min(PART)]);
                Ok(self.message())
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The next message, if all of it is there.
    fn message(&mut self) -> Option<Vec<u8>> {
        let (prefix, rest) = self.input.split_at_checked(PREFIX)?;
        let length = usize::from(u16::from_be_bytes([prefix[0], prefix[1]]));
        let message = rest.get(..length)?.to_vec();
        drop(self.input.drain(..PREFIX + length));
        Some(message)
    }
}
