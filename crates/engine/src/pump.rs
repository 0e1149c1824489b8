//! Copying between a caller's streams and a container's monitor: one `poll(2)`, nothing dropped, nothing waited for elsewhere.

use std::collections::VecDeque;
use std::io;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::Signal;
use stockade_monitor::frame::{Frame, LONGEST};

use crate::session::{Attachment, Connected, FollowError, Input, SignalProxy, resize};

/// What a stream that is no regular file is given at once: as much as a pipe that can be written to takes without making its
/// writer wait (`PIPE_BUF`, `pipe(7)`).
const CHUNK: usize = 4096;
/// How much is read from the caller at once: a packet's content.
const MOST_READ: usize = LONGEST - 1;

/// How the copying ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// The container has ended.
    Exited(u8),
    /// The caller typed the keys.
    Detached,
    /// The monitor has closed the connection without a word.
    Hungup,
}

/// One of the caller's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Standard,
    Error,
}

impl Output {
    fn fd(self) -> BorrowedFd<'static> {
        match self {
            Self::Standard => rustix::stdio::stdout(),
            Self::Error => rustix::stdio::stderr(),
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::Standard => "write to standard output",
            Self::Error => "write to standard error",
        }
    }
}

/// The state of the copying.
#[derive(Debug)]
pub(crate) struct Pump {
    connected: Connected,
    signals: SignalProxy,
    /// Whether the caller's input is to be read and has not ended.
    reads: bool,
    keys: DetachKeys,
    /// Packets for the monitor that the socket has not taken yet.
    outgoing: VecDeque<Vec<u8>>,
    /// What the container wrote and the caller has not taken yet.
    incoming: Option<(Output, Vec<u8>)>,
}

impl Pump {
    pub(crate) fn new(connected: Connected, attachment: &Attachment) -> Self {
        let keys = if connected.terminal { attachment.detach_keys.clone() } else { Vec::new() };
        Self {
            connected,
            signals: attachment.signals,
            reads: attachment.input == Input::Forward,
            keys: DetachKeys { keys, matched: 0 },
            outgoing: VecDeque::new(),
            incoming: None,
        }
    }

    pub(crate) fn run(mut self) -> Result<Pumped, FollowError> {
        loop {
            let ready = self.wait()?;
            self.take_signals()?;
            if ready.input && self.read_input()? {
                // What was typed before the keys is sent as far as the socket takes it.
                self.send()?;
                return Ok(Pumped::Detached);
            }
            self.send()?;
            if self.incoming.is_some() {
                if ready.output {
                    self.write()?;
                }
            } else if ready.socket
                && let Some(end) = self.receive()?
            {
                return Ok(end);
            }
        }
    }

    /// Sleeps until something can be done.
    fn wait(&self) -> Result<Ready, FollowError> {
        let when = |wanted: bool, flags: PollFlags| if wanted { flags } else { PollFlags::empty() };
        let idle = self.outgoing.is_empty();
        let socket = when(self.incoming.is_none(), PollFlags::IN) | when(!idle, PollFlags::OUT);
        let mut fds = vec![PollFd::new(&self.connected.socket, socket)];
        // A stream that nothing is wanted of would still wake us for its hang-up: it is left out.
        let input = self.reads && idle;
        fds.extend(input.then(|| PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN)));
        fds.extend(self.incoming.iter().map(|(to, _)| PollFd::from_borrowed_fd(to.fd(), PollFlags::OUT)));
        fds.extend(self.connected.signals.iter().map(|signals| PollFd::new(signals, PollFlags::IN)));
        rustix::io::retry_on_intr(|| poll(&mut fds, None)).map_err(FollowError::doing("wait for the container"))?;
        let mut happened = fds.iter().map(|fd| !fd.revents().is_empty());
        let socket = happened.next().unwrap_or_default();
        let input = input && happened.next().unwrap_or_default();
        let output = self.incoming.is_some() && happened.next().unwrap_or_default();
        Ok(Ready { socket, input, output })
    }

    /// Passes the signals on that have arrived; a terminal's new size goes its own way.
    fn take_signals(&mut self) -> Result<(), FollowError> {
        let Some(signals) = &self.connected.signals else { return Ok(()) };
        while let Some(signal) = signals.next().map_err(FollowError::doing("read signals"))? {
            if signal.number == Signal::WINCH.as_raw() && self.connected.terminal {
                self.outgoing.extend(resize().map_err(FollowError::doing("read the terminal's size"))?);
            } else if self.signals == SignalProxy::Forward {
                self.outgoing.push_back(Frame::Signal(signal.number).encode());
            }
        }
        Ok(())
    }

    /// Reads what the caller typed; whether it was the keys that detach.
    fn read_input(&mut self) -> Result<bool, FollowError> {
        let mut buffer = [0; MOST_READ];
        match rustix::io::retry_on_intr(|| rustix::io::read(rustix::stdio::stdin(), &mut buffer)) {
            // A terminal that is gone says EIO.
            Ok(0) | Err(Errno::IO) => {
                self.reads = false;
                let rest = self.keys.rest();
                self.outgoing.extend((!rest.is_empty()).then(|| Frame::Input(&rest).encode()));
                self.outgoing.push_back(Frame::InputEnd.encode());
                Ok(false)
            }
            Ok(length) => {
                let (typed, detach) = self.keys.take(&buffer[..length]);
                // Held keys may come on top of a whole buffer.
                let packets = typed.chunks(MOST_READ).map(|chunk| Frame::Input(chunk).encode());
                self.outgoing.extend(packets);
                Ok(detach)
            }
            Err(Errno::AGAIN) => Ok(false),
            Err(errno) => Err(FollowError::doing("read standard input")(errno)),
        }
    }

    /// Sends what the socket takes. A monitor that is gone is noticed where its last words are read.
    fn send(&mut self) -> Result<(), FollowError> {
        while let Some(packet) = self.outgoing.front() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::io::retry_on_intr(|| rustix::net::send(&self.connected.socket, packet, flags)) {
                Ok(_) => drop(self.outgoing.pop_front()),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::PIPE | Errno::CONNRESET) => {
                    self.outgoing.clear();
                    self.reads = false;
                }
                Err(errno) => return Err(FollowError::doing("send to the container")(errno)),
            }
        }
        Ok(())
    }

    /// Takes one packet; the end, if it tells it.
    fn receive(&mut self) -> Result<Option<Pumped>, FollowError> {
        let mut packet = vec![0; LONGEST];
        let received = rustix::net::recv(&self.connected.socket, &mut packet, RecvFlags::DONTWAIT);
        let length = match received {
            Ok((_, length)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(Errno::CONNRESET) => 0,
            Err(errno) => return Err(FollowError::doing("hear the container")(errno)),
        };
        if length == 0 {
            return Ok(Some(Pumped::Hungup));
        }
        packet.truncate(length);
        let unknown = |error| FollowError::doing("understand the container's monitor")(io::Error::other(error));
        let to = match Frame::decode(&packet).map_err(unknown)? {
            Frame::Output(_) => Output::Standard,
            Frame::ErrorOutput(_) => Output::Error,
            Frame::Exited(code) => return Ok(Some(Pumped::Exited(code))),
            // What clients send comes from no monitor.
            Frame::Input(_) | Frame::InputEnd | Frame::Resize { .. } | Frame::Signal(_) => return Ok(None),
        };
        packet.remove(0);
        self.incoming = Some((to, packet));
        self.write()?;
        Ok(None)
    }

    /// Writes as much of what the container said as the caller takes without making us wait.
    fn write(&mut self) -> Result<(), FollowError> {
        let Some((to, bytes)) = &mut self.incoming else { return Ok(()) };
        let kind = rustix::fs::fstat(to.fd()).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let most = if kind == Ok(FileType::RegularFile) { LONGEST } else { CHUNK };
        let mut done = 0;
        while done < bytes.len() {
            if !can_write(to.fd()).map_err(FollowError::doing("wait for the caller"))? {
                break;
            }
            let chunk = &bytes[done..bytes.len().min(done + most)];
            match rustix::io::retry_on_intr(|| rustix::io::write(to.fd(), chunk)) {
                Ok(length) => done += length,
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(FollowError::doing(to.action())(errno)),
            }
        }
        bytes.drain(..done);
        if bytes.is_empty() {
            self.incoming = None;
        }
        Ok(())
    }
}

/// What can be done after the sleep.
#[derive(Clone, Copy, Debug)]
struct Ready {
    socket: bool,
    input: bool,
    output: bool,
}

/// Whether the stream takes [`CHUNK`] bytes, or an error, at once.
fn can_write(stream: BorrowedFd<'_>) -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::OUT)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::io::retry_on_intr(|| poll(&mut fds, Some(&now)))?;
    Ok(!fds[0].revents().is_empty())
}

/// The keys that detach, and how many of them were typed in a row: those are held back until it is clear what they mean.
#[derive(Debug)]
pub(crate) struct DetachKeys {
    pub(crate) keys: Vec<u8>,
    pub(crate) matched: usize,
}

impl DetachKeys {
    /// What of `typed`, with what was held back before, is for the container; and whether all keys were typed, after which nothing
    /// counts.
    pub(crate) fn take(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(typed.len());
        for byte in typed {
            if self.keys.get(self.matched) != Some(byte) {
                // No proper end of Docker's keys begins them again, and where a user's keys do, only the first one can.
                passed.extend_from_slice(&self.rest());
            }
            if self.keys.get(self.matched) == Some(byte) {
                self.matched += 1;
            } else {
                passed.push(*byte);
            }
            if self.matched > 0 && self.matched == self.keys.len() {
                return (passed, true);
            }
        }
        (passed, false)
    }

    /// What was held back, which it is no longer.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.keys[..std::mem::take(&mut self.matched)].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> DetachKeys {
        DetachKeys { keys: crate::session::DETACH_KEYS.to_vec(), matched: 0 }
    }

    #[test]
    fn the_keys_detach_wherever_reads_break_them() {
        assert_eq!(keys().take(b"ab\x10\x11cd"), (b"ab".to_vec(), true));
        let mut halves = keys();
        assert_eq!(halves.take(b"a\x10"), (b"a".to_vec(), false));
        assert_eq!(halves.take(b"\x11"), (b"".to_vec(), true));
        let mut other = keys();
        assert_eq!(other.take(b"\x10"), (b"".to_vec(), false));
        assert_eq!(other.take(b"\x10x"), (b"\x10\x10x".to_vec(), false));
        let mut end = keys();
        assert_eq!(end.take(b"\x10"), (b"".to_vec(), false));
        assert_eq!(end.rest(), b"\x10");
        let mut none = DetachKeys { keys: Vec::new(), matched: 0 };
        assert_eq!(none.take(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_made_up(reads in prop::collection::vec(prop::collection::vec(0x0fu8..0x13, 0..6), 0..6)) {
            let mut keys = keys();
            let (mut all, mut passed) = (Vec::new(), Vec::new());
            for read in &reads {
                all.extend_from_slice(read);
                let (bytes, detach) = keys.take(read);
                passed.extend(bytes);
                if detach {
                    let at = all.windows(2).position(|pair| pair == crate::session::DETACH_KEYS);
                    prop_assert_eq!(Some(passed.len()), at);
                    return Ok(());
                }
            }
            passed.extend(keys.rest());
            prop_assert!(!all.windows(2).any(|pair| pair == crate::session::DETACH_KEYS));
            prop_assert_eq!(passed, all);
        }
    }
}
