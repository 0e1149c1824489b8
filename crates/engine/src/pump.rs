//! Copying between a caller's streams and a container's monitor: one `poll(2)`, nothing dropped, nothing waited for elsewhere.

use std::collections::VecDeque;
use std::io;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::Signal;
use stockade_kernel::fdpass;
use stockade_kernel::terminal::RawMode;
use stockade_monitor::control::{self, Command, Report};
use stockade_monitor::frame::{Frame, LONGEST};

use crate::RemoveError;
use crate::session::{Attachment, Connected, Duty, FollowError, Input, LastWords, Shown, duty, resize};

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
    /// The caller typed the keys, or has no more to say and wants to hear nothing.
    Detached,
    /// The caller is to end by this signal.
    Interrupted(Signal),
    /// The monitor has closed the connection without a word.
    Hungup,
}

/// What follows from a container's end.
pub(crate) type Finish<'a> = dyn FnMut() -> Result<(), RemoveError> + 'a;

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
pub(crate) struct Pump<'a> {
    connected: Connected,
    duty: Duty,
    shown: Shown,
    /// The caller's terminal, if it is in raw mode.
    raw: Option<&'a RawMode>,
    /// The end of what the container said.
    words: &'a mut LastWords,
    /// Whether the caller's input is to be read and has not ended.
    reads: bool,
    keys: DetachKeys,
    /// Packets for the monitor that the socket has not taken yet.
    outgoing: VecDeque<Vec<u8>>,
    /// What the container wrote and the caller has not taken yet.
    incoming: Option<(Output, Vec<u8>)>,
}

impl<'a> Pump<'a> {
    pub(crate) fn new(
        connected: Connected,
        attachment: &Attachment,
        raw: Option<&'a RawMode>,
        words: &'a mut LastWords,
    ) -> Self {
        let keys = if connected.terminal { attachment.detach_keys.clone() } else { Vec::new() };
        Self {
            duty: duty(attachment, connected.terminal),
            connected,
            shown: attachment.shown,
            raw,
            words,
            reads: attachment.input == Input::Forward,
            keys: DetachKeys { keys, matched: 0 },
            outgoing: VecDeque::new(),
            incoming: None,
        }
    }

    /// Copies. Once the container has ended `finish` does what follows from that, if this session is to do it.
    pub(crate) fn run(mut self, finish: &mut Finish<'_>) -> Result<Pumped, FollowError> {
        loop {
            if self.shown == Shown::Nothing && !self.reads && self.outgoing.is_empty() {
                return Ok(Pumped::Detached);
            }
            let ready = self.wait()?;
            if let Some(signal) = self.take_signals()? {
                return Ok(Pumped::Interrupted(signal));
            }
            if ready.control {
                self.hear_control(finish)?;
            }
            if ready.input
                && let Some(end) = self.read_input()?
            {
                // What was typed before is sent as far as the socket takes it.
                self.send()?;
                return Ok(end);
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
        fds.extend(self.connected.control.iter().map(|control| PollFd::new(control, PollFlags::IN)));
        fds.extend(self.connected.signals.iter().map(|signals| PollFd::new(signals, PollFlags::IN)));
        rustix::io::retry_on_intr(|| poll(&mut fds, None)).map_err(FollowError::doing("wait for the container"))?;
        let mut happened = fds.iter().map(|fd| !fd.revents().is_empty());
        let socket = happened.next().unwrap_or_default();
        let input = input && happened.next().unwrap_or_default();
        let output = self.incoming.is_some() && happened.next().unwrap_or_default();
        let control = self.connected.control.is_some() && happened.next().unwrap_or_default();
        Ok(Ready { socket, input, output, control })
    }

    /// Finishes the container if the monitor says so, and tells it. Where that fails the monitor is left to it, which says why.
    fn hear_control(&mut self, finish: &mut Finish<'_>) -> Result<(), FollowError> {
        let Some(control) = self.connected.control.take() else { return Ok(()) };
        let mut packet = vec![0; control::LONGEST];
        let length = match fdpass::receive(&control, &mut packet) {
            Ok((length, _)) => length,
            Err(_) => return Ok(()),
        };
        let ended = matches!(serde_json::from_slice(&packet[..length]), Ok(Report::Ended));
        if ended && finish().is_ok() {
            let finished =
                serde_json::to_vec(&Command::Finished).map_err(FollowError::doing("say that it is finished"))?;
            // A monitor that did not wait has done it itself.
            drop(fdpass::send(&control, &finished, &[]));
        }
        Ok(())
    }

    /// Passes the signals on that have arrived, or does what they do; a terminal's new size goes its own way. The signal that is
    /// to end the caller, if there is one.
    fn take_signals(&mut self) -> Result<Option<Signal>, FollowError> {
        while let Some(signals) = &self.connected.signals
            && let Some(received) = signals.next().map_err(FollowError::doing("read signals"))?
        {
            match Signal::from_named_raw(received.number) {
                Some(Signal::WINCH) if self.connected.terminal => self.tell_size()?,
                _ if self.duty == Duty::Forward => self.outgoing.push_back(Frame::Signal(received.number).encode()),
                Some(Signal::TSTP) => self.stop()?,
                Some(Signal::CONT) => self.go_on()?,
                Some(Signal::WINCH) | None => {}
                ends => return Ok(ends),
            }
        }
        Ok(None)
    }

    fn tell_size(&mut self) -> Result<(), FollowError> {
        self.outgoing.extend(resize().map_err(FollowError::doing("read the terminal's size"))?);
        Ok(())
    }

    /// Stops this process, as job control does. It is continued by a signal of its own.
    fn stop(&self) -> Result<(), FollowError> {
        let given_back = self.raw.map_or(Ok(()), RawMode::give_back);
        given_back.map_err(FollowError::doing("give the terminal its mode back"))?;
        let stopped = rustix::process::kill_process(rustix::process::getpid(), Signal::STOP);
        stopped.map_err(FollowError::doing("stop"))
    }

    /// Whoever has continued this process may have changed the terminal's mode, and its size.
    fn go_on(&mut self) -> Result<(), FollowError> {
        if let Some(raw) = self.raw
            && raw.take_again().map_err(FollowError::doing("put the terminal into raw mode"))?
        {
            self.tell_size()?;
        }
        Ok(())
    }

    /// Reads what the caller typed; how the session ends, if it does: by the keys that detach, or because his terminal is gone.
    fn read_input(&mut self) -> Result<Option<Pumped>, FollowError> {
        let mut buffer = [0; MOST_READ];
        match rustix::io::retry_on_intr(|| rustix::io::read(rustix::stdio::stdin(), &mut buffer)) {
            // In raw mode nothing that is typed is an end: the terminal has hung up, which is not to end the container's program.
            Ok(0) | Err(Errno::IO) if self.raw.is_some() => Ok(Some(Pumped::Interrupted(Signal::HUP))),
            // A terminal that is gone says EIO.
            Ok(0) | Err(Errno::IO) => {
                self.reads = false;
                let rest = self.keys.rest();
                self.outgoing.extend((!rest.is_empty()).then(|| Frame::Input(&rest).encode()));
                self.outgoing.push_back(Frame::InputEnd.encode());
                Ok(None)
            }
            Ok(length) => {
                let (typed, detach) = self.keys.take(&buffer[..length]);
                // Held keys may come on top of a whole buffer.
                let packets = typed.chunks(MOST_READ).map(|chunk| Frame::Input(chunk).encode());
                self.outgoing.extend(packets);
                Ok(detach.then_some(Pumped::Detached))
            }
            Err(Errno::AGAIN) => Ok(None),
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
        match (self.shown, to) {
            (Shown::Both, _) | (Shown::Output, Output::Standard) | (Shown::Error, Output::Error) => {}
            (Shown::Output | Shown::Error | Shown::Nothing, _) => return Ok(None),
        }
        packet.remove(0);
        self.words.hear(&packet);
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
    control: bool,
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
