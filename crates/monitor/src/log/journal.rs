//! The log in the host's journal, by journald's native protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>), with the fields of
//! Docker's driver.
//!
//! Each line is a datagram, or a sealed memfd where it is too large for one. The socket does not block: what the journal does not
//! take now is kept, one entry at most, and the container's output is not read until it does.

use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use stockade_monitor::order::{Journald, LOST};

use super::pieces::{Part, Piece, Taken};
use crate::streams::Stream;

/// Priorities of `syslog(3)`.
const INFORMATIONAL: &[u8] = b"6";
const ERROR: &[u8] = b"3";

/// The journal, connected.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    socket: OwnedFd,
    /// The fields of every entry, encoded.
    fields: Vec<u8>,
    /// What tells this run's entries from another's, and their order.
    epoch: String,
    ordinal: u64,
    /// What names the pieces of one line, for each stream.
    lines: [u64; 2],
    /// An entry that is not sent yet.
    waiting: Vec<u8>,
    /// How many were lost since the last one that was sent, and why.
    lost: u64,
    why: Option<io::Error>,
}

impl Journal {
    /// Connects to the journal.
    ///
    /// # Errors
    /// As `connect(2)` and `getrandom(2)`.
    pub(super) fn open(order: &Journald) -> io::Result<Self> {
        let mut random = [0; 16];
        let filled = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let epoch = random[..filled].iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        let mut fields = Vec::new();
        for (name, value) in &order.fields {
            field(&mut fields, name, value.as_bytes());
        }
        field(&mut fields, "CONTAINER_LOG_EPOCH", epoch.as_bytes());
        Ok(Self {
            socket: connect(&order.socket)?,
            path: order.socket.clone(),
            fields,
            epoch,
            ordinal: 0,
            lines: [0; 2],
            waiting: Vec::new(),
            lost: 0,
            why: None,
        })
    }

    /// Takes a piece, and says if no other can come before the journal has taken it.
    ///
    /// # Errors
    /// As `sendmsg(2)`; the piece is lost.
    pub(super) fn push(&mut self, piece: Piece<'_>) -> io::Result<Taken> {
        if let Err(error) = self.tell_gap() {
            self.lost += 1;
            return Err(error);
        }
        if !self.waiting.is_empty() {
            // Only at the very end, when nobody waits for the journal any more.
            self.lose(1);
            return Err(io::ErrorKind::TimedOut.into());
        }
        let entry = self.entry(&piece);
        self.send(entry)?;
        Ok(if self.waiting.is_empty() { Taken::Yes } else { Taken::Last })
    }

    fn entry(&mut self, piece: &Piece<'_>) -> Vec<u8> {
        let mut entry = self.begin(match piece.stream {
            Stream::Output => INFORMATIONAL,
            Stream::Error => ERROR,
        });
        field(&mut entry, "SYSLOG_TIMESTAMP", piece.time.to_string().as_bytes());
        let line = &mut self.lines[piece.stream.index()];
        let (number, last) = match piece.part {
            Part::Whole => (0, false),
            Part::Open(number) => (number, false),
            Part::Last(number) => (number, true),
        };
        if number == 1 {
            *line = self.ordinal;
        }
        if number > 0 {
            let name = format!("{}-{}-{line}", self.epoch, piece.stream.name());
            field(&mut entry, "CONTAINER_PARTIAL_ID", name.as_bytes());
            field(&mut entry, "CONTAINER_PARTIAL_ORDINAL", number.to_string().as_bytes());
            field(&mut entry, "CONTAINER_PARTIAL_LAST", last.to_string().as_bytes());
            // Docker's, for readers that know no more: another piece follows.
            if !last {
                field(&mut entry, "CONTAINER_PARTIAL_MESSAGE", b"true");
            }
        }
        field(&mut entry, "MESSAGE", piece.bytes.strip_suffix(b"\n").unwrap_or(piece.bytes));
        entry
    }

    /// The beginning of an entry.
    fn begin(&mut self, priority: &[u8]) -> Vec<u8> {
        self.ordinal += 1;
        let mut entry = self.fields.clone();
        field(&mut entry, "CONTAINER_LOG_ORDINAL", self.ordinal.to_string().as_bytes());
        field(&mut entry, "PRIORITY", priority);
        entry
    }

    /// Says what was lost, if something was.
    fn tell_gap(&mut self) -> io::Result<()> {
        let Some(why) = self.why.as_ref().filter(|_| self.lost > 0 && self.waiting.is_empty()) else { return Ok(()) };
        let (message, count) = (super::gap(self.lost, why), self.lost);
        let mut entry = self.begin(ERROR);
        field(&mut entry, &LOST.to_uppercase().replace('.', "_"), count.to_string().as_bytes());
        field(&mut entry, "MESSAGE", message.as_bytes());
        let sent = self.send(entry);
        // The entry itself is none that the container wrote.
        self.lost = if sent.is_ok() { 0 } else { count };
        sent
    }

    /// Sends what was not taken before.
    ///
    /// # Errors
    /// As [`Journal::push`].
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let entry = std::mem::take(&mut self.waiting);
        self.send(entry)
    }

    /// Sends the last entries, for which the journal is waited for as long as `patience`.
    ///
    /// # Errors
    /// As [`Journal::push`].
    pub(super) fn finish(&mut self, patience: Duration) -> io::Result<()> {
        if !self.waiting.is_empty() && takes(&self.socket, patience) {
            self.flush()?;
        }
        self.tell_gap()
    }

    /// Whether all was sent, or what is missing was told.
    pub(super) fn is_whole(&self) -> bool {
        self.lost == 0
    }

    /// The socket, if an entry waits.
    pub(super) fn waits(&self) -> Option<&OwnedFd> {
        (!self.waiting.is_empty()).then_some(&self.socket)
    }

    /// Gives up on the entry that waits, and on `count` others.
    pub(super) fn lose(&mut self, count: u64) {
        self.lost += count + u64::from(!self.waiting.is_empty());
        self.why = Some(io::ErrorKind::TimedOut.into());
        self.waiting.clear();
    }

    fn send(&mut self, entry: Vec<u8>) -> io::Result<()> {
        let mut sent = send(&self.socket, &entry);
        if matches!(sent, Err(Errno::CONNREFUSED | Errno::CONNRESET | Errno::NOTCONN | Errno::NOENT)) {
            // The journal was started anew.
            sent = match connect(&self.path) {
                Ok(socket) => {
                    self.socket = socket;
                    send(&self.socket, &entry)
                }
                Err(errno) => Err(errno),
            };
        }
        match sent {
            Ok(()) => Ok(()),
            Err(Errno::AGAIN) => {
                self.waiting = entry;
                Ok(())
            }
            Err(errno) => {
                self.lost += 1;
                self.why = Some(errno.into());
                Err(errno.into())
            }
        }
    }
}

/// Whether `socket` can be written to within `limit`.
pub(super) fn takes(socket: &OwnedFd, limit: Duration) -> bool {
    let Ok(limit) = limit.try_into() else { return false };
    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
    matches!(rustix::io::retry_on_intr(|| poll(&mut fds, Some(&limit))), Ok(1..))
}

fn connect(path: &std::path::Path) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Sends `entry`, as a file if it is too large.
fn send(socket: &OwnedFd, entry: &[u8]) -> Result<(), Errno> {
    match rustix::io::retry_on_intr(|| rustix::net::send(socket, entry, SendFlags::NOSIGNAL)) {
        Ok(_) => Ok(()),
        Err(Errno::MSGSIZE | Errno::NOBUFS) => send_file(socket, entry),
        Err(errno) => Err(errno),
    }
}

fn send_file(socket: &OwnedFd, entry: &[u8]) -> Result<(), Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = std::fs::File::from(rustix::fs::memfd_create("stockade-log", flags)?);
    let written = (&file).write_all(entry);
    written.map_err(|error| error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let given = [file.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&given)) {
        return Err(Errno::INVAL);
    }
    // A file comes with an empty datagram.
    let nothing: [IoSlice<'_>; 0] = [];
    rustix::net::sendmsg(socket, &nothing, &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// Appends a field: `NAME=value`, or where the value has line ends, the name, its length and the value.
fn field(entry: &mut Vec<u8>, name: &str, value: &[u8]) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value);
    entry.push(b'\n');
}
