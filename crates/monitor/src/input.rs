//! The container's standard input: what clients send, one packet at a time.
//!
//! While the container does not take what a client sent, no further packet of that client is read, whatever its kind: its
//! socket fills, and it waits. So one packet of each client is kept at most.

use std::io;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use stockade_monitor::frame::LONGEST;
use stockade_monitor::order::Stdin;

use crate::clients::ClientId;

/// What a terminal's line discipline takes for the end of input (`VEOF`, control-D).
const END_OF_INPUT: u8 = 4;

/// The outer end of standard input.
#[derive(Debug)]
pub(crate) struct Input {
    /// `None`: closed; what comes is dropped.
    end: Option<OwnedFd>,
    stdin: Stdin,
    terminal: bool,
    waiting: Vec<u8>,
    /// The client whose end is the end of the input.
    owner: Option<ClientId>,
    /// Whether the input ends after what waits.
    ends: bool,
}

impl Input {
    /// `end` is a pipe or, with `terminal`, the terminal's outer side; `None` if nothing can be put in. It does not block.
    pub(crate) fn new(end: Option<OwnedFd>, stdin: Stdin, terminal: bool) -> Self {
        let end = end.filter(|_| stdin != Stdin::Closed);
        Self { end, stdin, terminal, waiting: Vec::new(), owner: None, ends: false }
    }

    /// Whether nothing waits for the container.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The descriptor, if something waits to be written.
    pub(crate) fn wants_to_write(&self) -> Option<&OwnedFd> {
        self.end.as_ref().filter(|_| !self.waiting.is_empty())
    }

    /// Puts `bytes` of `client` in.
    ///
    /// # Errors
    /// As `write(2)`, for which there is no reason; the input is closed then.
    pub(crate) fn put(&mut self, client: ClientId, bytes: &[u8]) -> io::Result<()> {
        if self.end.is_none() || self.ends {
            return Ok(());
        }
        self.owner.get_or_insert(client);
        self.waiting.extend_from_slice(bytes);
        self.write()
    }

    /// `client` says that its input ends. It is the end for the container if the order says so and no other client was first.
    ///
    /// # Errors
    /// As [`Input::put`].
    pub(crate) fn end(&mut self, client: ClientId) -> io::Result<()> {
        if self.stdin != Stdin::UntilFirstClientEnds || *self.owner.get_or_insert(client) != client || self.ends {
            return Ok(());
        }
        self.ends = true;
        if self.terminal {
            self.waiting.push(END_OF_INPUT);
        }
        self.write()
    }

    /// `client` has gone: for a pipe as if it had ended its input. A terminal stays open, for who left it comes back.
    ///
    /// # Errors
    /// As [`Input::put`].
    pub(crate) fn leave(&mut self, client: ClientId) -> io::Result<()> {
        if self.owner != Some(client) {
            return Ok(());
        }
        if self.terminal {
            self.owner = None;
            return Ok(());
        }
        self.end(client)
    }

    /// Writes as much of what waits as the container takes.
    ///
    /// # Errors
    /// As [`Input::put`].
    pub(crate) fn write(&mut self) -> io::Result<()> {
        if let (Some(end), false) = (&self.end, self.waiting.is_empty()) {
            match rustix::io::retry_on_intr(|| rustix::io::write(end, &self.waiting)) {
                Ok(length) => drop(self.waiting.drain(..length)),
                Err(Errno::AGAIN) => {}
                // Nobody reads any more, and with a pipe nobody ever will. A terminal's inner side may be opened again.
                Err(Errno::PIPE) => self.close(),
                Err(Errno::IO) if self.terminal => self.waiting.clear(),
                Err(errno) => {
                    self.close();
                    return Err(errno.into());
                }
            }
        }
        if self.waiting.is_empty() {
            self.waiting.shrink_to(LONGEST);
            if self.ends {
                self.end = None;
            }
        }
        Ok(())
    }

    /// Closes it; what waits is dropped.
    pub(crate) fn close(&mut self) {
        self.end = None;
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};

    fn pipe(stdin: Stdin) -> (OwnedFd, Input) {
        let (inner, outer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        (inner, Input::new(Some(outer), stdin, false))
    }

    fn read(inner: &OwnedFd) -> Result<usize, Errno> {
        rustix::io::read(inner, &mut [0; 16][..])
    }

    const A: ClientId = ClientId(1);
    const B: ClientId = ClientId(2);

    #[test]
    fn the_first_client_that_sends_ends_the_input() {
        let (inner, mut input) = pipe(Stdin::UntilFirstClientEnds);
        input.leave(B).unwrap();
        input.put(A, b"a").unwrap();
        input.put(B, b"b").unwrap();
        input.end(B).unwrap();
        input.leave(B).unwrap();
        assert_eq!(read(&inner), Ok(2));
        assert_eq!(read(&inner), Err(Errno::AGAIN));
        input.leave(A).unwrap();
        assert_eq!(read(&inner), Ok(0));
        input.put(B, b"late").unwrap();
        assert!(input.is_empty());
    }

    #[test]
    fn an_open_input_is_ended_by_nobody() {
        let (inner, mut input) = pipe(Stdin::Open);
        input.put(A, b"a").unwrap();
        input.end(A).unwrap();
        input.leave(A).unwrap();
        assert_eq!((read(&inner), read(&inner)), (Ok(1), Err(Errno::AGAIN)));
    }

    #[test]
    fn the_end_comes_after_what_waits() {
        let (inner, mut input) = pipe(Stdin::UntilFirstClientEnds);
        let most = vec![b'x'; 1 << 20];
        input.put(A, &most).unwrap();
        input.end(A).unwrap();
        assert!(!input.is_empty());
        let mut count = 0;
        let mut buffer = vec![0; 32 << 10];
        loop {
            match rustix::io::read(&inner, &mut buffer) {
                Ok(0) => break,
                Ok(length) => count += length,
                Err(errno) => assert_eq!(errno, Errno::AGAIN),
            }
            input.write().unwrap();
        }
        assert_eq!(count, most.len());
    }

    #[test]
    fn nobody_who_reads_is_no_error() {
        let (inner, mut input) = pipe(Stdin::Open);
        drop(inner);
        input.put(A, b"a").unwrap();
        assert!(input.is_empty());
    }
}
