//! The attached clients, and what each has not taken yet.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags};
use stockade_kernel::fdpass;
use stockade_monitor::frame::LONGEST;

/// The most clients at a time; one more is turned away by the end of its connection.
pub(crate) const MOST: usize = 128;

/// How many bytes are kept for clients that do not take them once the container has ended; a client that is behind by more
/// is dropped. A container's pipes hold 128 KiB at its end, or 2 MiB where it made them larger (`pipe(7)`).
const MOST_KEPT: usize = 4 << 20;

/// How many bytes are kept for clients of a container that runs; while it is more, the container's output is not read. It is what
/// Docker keeps.
const ENOUGH_KEPT: usize = 1 << 20;

/// What a packet takes besides its bytes.
const PACKET: usize = 64;

/// How long the container waits for one client that attached to it while it ran.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a container waits for a client that takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// However long it takes: who started the container, as a program in a pipe waits for the next one.
    Always,
    /// For a while: who came to look on must not keep it from its work.
    ForAWhile,
}

/// Which client; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientId(pub(crate) u64);

/// One client.
#[derive(Debug)]
struct Client {
    id: ClientId,
    socket: OwnedFd,
    /// The number of the next packet for it.
    next: u64,
    /// Whether it still takes packets; it may be gone and what it sent not read yet.
    takes: bool,
    /// Whether input of it waits for the container.
    stalled: bool,
    awaited: Awaited,
    /// Since when it has taken nothing of what is there for it.
    behind: Option<Instant>,
}

/// What a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// A packet of so many bytes.
    Packet(usize),
    /// Nothing now.
    Nothing,
    /// It has gone, or sent what is no packet: drop it.
    Gone,
}

/// All clients. Packets are numbered; those that not all have taken are kept.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    list: Vec<Client>,
    kept: VecDeque<Vec<u8>>,
    /// What that takes of memory.
    size: usize,
    /// The number of the first packet that is kept.
    first_kept: u64,
    accepted: u64,
}

impl Clients {
    /// Accepts whoever waits at `listener`.
    ///
    /// # Errors
    /// As `accept(2)`, for instance `EMFILE`; clients that were accepted stay.
    pub(crate) fn accept(&mut self, listener: &OwnedFd, awaited: Awaited) -> io::Result<()> {
        loop {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = match rustix::net::accept_with(listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(errno) => return Err(errno.into()),
            };
            if self.list.len() < MOST {
                self.accepted += 1;
                let id = ClientId(self.accepted);
                self.list.push(Client {
                    id,
                    socket,
                    next: self.end(),
                    takes: true,
                    stalled: false,
                    awaited,
                    behind: None,
                });
            }
        }
    }

    /// The number of the next packet.
    fn end(&self) -> u64 {
        self.first_kept + self.kept.len() as u64
    }

    /// Whether there is no client.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether more of the container's output may come: not too much is kept for clients that are behind.
    pub(crate) fn has_room(&self) -> bool {
        self.size < ENOUGH_KEPT
    }

    /// The clients that the container has waited for long enough, to be dropped, and when it will have for the next one; neither while
    /// there is room.
    pub(crate) fn overdue(&self) -> (Vec<ClientId>, Option<Instant>) {
        if self.has_room() {
            return (Vec::new(), None);
        }
        let now = Instant::now();
        let blocking = self.list.iter().filter(|client| client.takes && client.awaited == Awaited::ForAWhile);
        let due = blocking.filter_map(|client| Some((client.id, client.behind? + PATIENCE)));
        let (overdue, waiting): (Vec<_>, Vec<_>) = due.partition(|(_, until)| *until <= now);
        (overdue.into_iter().map(|(id, _)| id).collect(), waiting.into_iter().map(|(_, until)| until).min())
    }

    /// The clients to wait for: those that are behind, and those of which nothing waits for the container.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (ClientId, &OwnedFd, PollFlags)> {
        let end = self.end();
        self.list.iter().filter_map(move |client| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, !client.stalled);
            flags.set(PollFlags::OUT, client.takes && client.next < end);
            // Not even asked for a hang-up, which would be told at once and for ever.
            (!flags.is_empty()).then_some((client.id, &client.socket, flags))
        })
    }

    /// Gives every client `packet`. It is kept for those that do not take it now.
    pub(crate) fn publish(&mut self, packet: &[u8]) {
        let number = self.end();
        let mut behind = false;
        for client in self.list.iter_mut().filter(|client| client.takes) {
            behind |= !(client.next == number && client.give(packet));
        }
        if behind {
            self.kept.push_back(packet.to_vec());
            self.size += packet.len() + PACKET;
        } else {
            self.first_kept += 1;
        }
        self.forget();
    }

    /// Gives clients that are behind what they take now.
    pub(crate) fn flush(&mut self) {
        for client in self.list.iter_mut().filter(|client| client.takes) {
            while client.takes
                && let Some(packet) = self.kept.get(client.next.saturating_sub(self.first_kept) as usize)
            {
                if !client.give(packet) {
                    break;
                }
            }
        }
        self.forget();
    }

    /// Lets go of packets that nobody waits for.
    fn forget(&mut self) {
        let takers = self.list.iter().filter(|client| client.takes);
        let needed = takers.map(|client| client.next).min().unwrap_or_else(|| self.end());
        while self.first_kept < needed
            && let Some(packet) = self.kept.pop_front()
        {
            self.size -= packet.len() + PACKET;
            self.first_kept += 1;
        }
    }

    /// Drops clients that are too far behind, so that what is kept stays bounded; which ones.
    pub(crate) fn bound(&mut self) -> Vec<ClientId> {
        let mut dropped = Vec::new();
        while self.size > MOST_KEPT {
            let first = self.first_kept;
            let slow = self.list.iter().filter(|client| client.takes && client.next == first).map(|client| client.id);
            let slow: Vec<_> = slow.collect();
            slow.iter().for_each(|id| self.drop_client(*id));
            dropped.extend(slow);
        }
        dropped
    }

    /// Nothing more is read of the client `id`, until [`Clients::go_on`].
    pub(crate) fn stall(&mut self, id: ClientId) {
        self.list.iter_mut().filter(|client| client.id == id).for_each(|client| client.stalled = true);
    }

    /// Every client is read again.
    pub(crate) fn go_on(&mut self) {
        self.list.iter_mut().for_each(|client| client.stalled = false);
    }

    /// Reads a packet of the client `id`; nothing if it is stalled.
    pub(crate) fn receive(&self, id: ClientId, buffer: &mut [u8; LONGEST]) -> Sent {
        let Some(client) = self.list.iter().find(|client| client.id == id && !client.stalled) else {
            return Sent::Nothing;
        };
        match fdpass::receive(&client.socket, buffer) {
            // The end and an empty packet, which is none of ours, look the same.
            Ok((0, _)) => Sent::Gone,
            // Descriptors that came along are closed here.
            Ok((length, _)) => Sent::Packet(length),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Nothing,
            Err(_) => Sent::Gone,
        }
    }

    /// Drops the client `id`.
    pub(crate) fn drop_client(&mut self, id: ClientId) {
        self.list.retain(|client| client.id != id);
        self.forget();
    }

    /// Ends the connections of all clients, whatever they have not taken.
    pub(crate) fn drop_all(&mut self) {
        self.list.iter().for_each(|client| part_with(&client.socket));
        self.list.clear();
        self.forget();
    }

    /// Ends the connections of all clients that have taken everything, or take nothing any more.
    pub(crate) fn part(&mut self) {
        let end = self.end();
        let (done, waiting) =
            std::mem::take(&mut self.list).into_iter().partition(|client| !client.takes || client.next == end);
        self.list = waiting;
        let done: Vec<Client> = done;
        done.iter().for_each(|client| part_with(&client.socket));
    }
}

impl Client {
    /// Gives it `packet`; whether it is done with it: took it, or takes nothing any more.
    fn give(&mut self, packet: &[u8]) -> bool {
        match fdpass::send(&self.socket, packet, &[]) {
            Ok(()) => {
                self.next += 1;
                self.behind = None;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.behind.get_or_insert_with(Instant::now);
                return false;
            }
            Err(_) => self.takes = false,
        }
        true
    }
}

/// Throws away what a client sent and keeps it from sending more: to close a unix socket with something unread would make
/// the client's next read fail by ECONNRESET, before it has read its last packets (`unix(7)`).
pub(crate) fn part_with(socket: &OwnedFd) {
    if rustix::net::shutdown(socket, Shutdown::Both).is_err() {
        return;
    }
    let mut buffer = [0; 1];
    while rustix::net::recv(socket, &mut buffer[..], rustix::net::RecvFlags::TRUNC).is_ok_and(|(_, n)| n > 0) {}
}
