//! The one `poll(2)`: clients, other name servers, and the end of the container.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use stockade_dns::answer::{self, Answer, answer};
use stockade_dns::message::{Query, Verdict, refit};
use stockade_dns::names::Book;

use crate::relay::{Client, Outcome, Relay};
use crate::stream::Stream;

/// The most questions that other servers are asked at once.
const MOST_RELAYS: usize = 256;
/// The most streams of clients.
const MOST_STREAMS: usize = 64;
/// The most datagrams that are read before others have their turn.
const BATCH: usize = 64;
/// How long a stream may say nothing.
const IDLE: Duration = Duration::from_secs(10);
/// The longest question.
const LONGEST: usize = 4096;

/// A client with a stream.
#[derive(Debug)]
struct Guest {
    number: u64,
    stream: Stream,
    /// Whether another server is asked for it: it is not heard meanwhile.
    waits: bool,
    deadline: Instant,
}

/// All that there is.
#[derive(Debug)]
pub(crate) struct Server {
    datagrams: OwnedFd,
    streams: OwnedFd,
    container: OwnedFd,
    /// Held as long as this process lives.
    _lock: OwnedFd,
    book: Book,
    servers: Vec<SocketAddr>,
    relays: Vec<Relay>,
    guests: Vec<Guest>,
    next_guest: u64,
    turn: usize,
}

/// What `poll(2)` found.
struct Ready {
    container: bool,
    datagrams: bool,
    streams: bool,
    relays: Vec<bool>,
    guests: Vec<bool>,
}

impl Server {
    pub(crate) fn new(
        datagrams: OwnedFd,
        streams: OwnedFd,
        container: OwnedFd,
        lock: OwnedFd,
        book: Book,
        servers: Vec<SocketAddr>,
    ) -> Self {
        let (relays, guests) = (Vec::new(), Vec::new());
        Self { datagrams, streams, container, _lock: lock, book, servers, relays, guests, next_guest: 0, turn: 0 }
    }

    /// Serves until the container has ended.
    pub(crate) fn serve(&mut self) -> ExitCode {
        loop {
            let ready = match self.wait() {
                Ok(ready) => ready,
                Err(Errno::INTR) => continue,
                Err(_errno) => return ExitCode::FAILURE,
            };
            if ready.container {
                return ExitCode::SUCCESS;
            }
            self.go_on(&ready.relays);
            self.hear_guests(&ready.guests);
            if ready.datagrams {
                self.take_datagrams();
            }
            if ready.streams {
                self.accept();
            }
        }
    }

    fn wait(&self) -> Result<Ready, Errno> {
        let mut all = vec![PollFd::new(&self.container, PollFlags::IN), PollFd::new(&self.datagrams, PollFlags::IN)];
        let accepting = if self.guests.len() < MOST_STREAMS { PollFlags::IN } else { PollFlags::empty() };
        all.push(PollFd::new(&self.streams, accepting));
        let mut deadline: Option<Instant> = None;
        let mut until = |time: Instant| deadline = Some(deadline.map_or(time, |other| other.min(time)));
        let relayed: Vec<bool> = self.relays.iter().map(|relay| relay.interest().is_some()).collect();
        for relay in &self.relays {
            until(relay.deadline);
            all.extend(relay.interest().map(|(socket, flags)| PollFd::new(socket, flags)));
        }
        for guest in &self.guests {
            let (socket, flags) = guest.stream.interest();
            all.push(PollFd::new(socket, if guest.waits { PollFlags::empty() } else { flags }));
            if !guest.waits {
                until(guest.deadline);
            }
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left =
            left.map(|left| Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() });
        poll(&mut all, left.as_ref())?;
        let mut found = all.iter().map(|one| !one.revents().is_empty());
        let mut next = || found.next().unwrap_or_default();
        let (container, datagrams, streams) = (next(), next(), next());
        let relays = relayed.into_iter().map(|looked| looked && next()).collect();
        Ok(Ready { container, datagrams, streams, relays, guests: found.collect() })
    }

    /// Questions under way: answers that came, and servers that took too long.
    fn go_on(&mut self, ready: &[bool]) {
        let now = Instant::now();
        let servers = std::mem::take(&mut self.servers);
        let mut left = Vec::with_capacity(self.relays.len());
        for (mut relay, ready) in std::mem::take(&mut self.relays).into_iter().zip(ready) {
            let outcome = match ready {
                true => relay.hear(&servers),
                false if now >= relay.deadline => relay.advance(&servers),
                false => Outcome::Waiting,
            };
            match outcome {
                Outcome::Waiting => left.push(relay),
                Outcome::Done(reply) => self.finish(&relay.query, relay.client, reply.as_deref()),
            }
        }
        (self.relays, self.servers) = (left, servers);
    }

    /// Tells the client what came of its question.
    fn finish(&mut self, query: &Query, client: Client, reply: Option<&[u8]>) {
        let said = match reply {
            Some(reply) => refit(query, reply, client.transport()),
            None => answer::failed(query),
        };
        self.say(client, &said);
    }

    fn say(&mut self, client: Client, said: &[u8]) {
        match client {
            Client::Datagram(address) => {
                match rustix::net::sendto(&self.datagrams, said, SendFlags::NOSIGNAL, &address) {
                    // A client that is gone hears nothing, as on any network.
                    Ok(_) | Err(_) => {}
                }
            }
            Client::Stream(number) => {
                let guest = self.guests.iter_mut().find(|guest| guest.number == number);
                if let Some(guest) = guest {
                    guest.waits = false;
                    guest.deadline = Instant::now() + IDLE;
                    guest.stream.put(said);
                }
            }
        }
    }

    fn take_datagrams(&mut self) {
        let mut bytes = [0; LONGEST];
        for _ in 0..BATCH {
            match rustix::net::recvfrom(&self.datagrams, &mut bytes[..], RecvFlags::TRUNC) {
                // What is longer is no question.
                Ok((_, length, Some(address))) if length <= LONGEST => {
                    if let Ok(address) = SocketAddr::try_from(address) {
                        self.take(&bytes[..length], Client::Datagram(address));
                    }
                }
                Ok(_) | Err(Errno::INTR) => {}
                // Nothing is there, or the error of an answer that nobody took.
                Err(_errno) => return,
            }
        }
    }

    /// A message of a client.
    fn take(&mut self, bytes: &[u8], client: Client) {
        let query = match Query::parse(bytes) {
            Verdict::Ask(query) => query,
            Verdict::Refuse(said) => return self.say(client, &said),
            Verdict::Drop => {
                if let Client::Stream(number) = client {
                    self.guests.retain(|guest| guest.number != number);
                }
                return;
            }
        };
        self.turn = self.turn.wrapping_add(1);
        match answer(&query, self.book.names(), client.transport(), self.turn) {
            Answer::Say(said) => self.say(client, &said),
            Answer::PassOn if self.servers.is_empty() => self.say(client, &answer::nowhere(&query)),
            Answer::PassOn if self.relays.len() >= MOST_RELAYS => self.say(client, &answer::failed(&query)),
            Answer::PassOn => {
                let mut relay = Relay::new(query, client);
                match relay.advance(&self.servers) {
                    Outcome::Waiting => self.relays.push(relay),
                    Outcome::Done(reply) => self.finish(&relay.query, client, reply.as_deref()),
                }
            }
        }
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while self.guests.len() < MOST_STREAMS {
            match rustix::net::accept_with(&self.streams, flags) {
                Ok(socket) => {
                    let (number, deadline) = (self.next_guest, Instant::now() + IDLE);
                    self.next_guest += 1;
                    self.guests.push(Guest { number, stream: Stream::new(socket), waits: false, deadline });
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_errno) => return,
            }
        }
    }

    fn hear_guests(&mut self, ready: &[bool]) {
        let now = Instant::now();
        let numbers: Vec<u64> = self.guests.iter().map(|guest| guest.number).collect();
        for (number, ready) in numbers.into_iter().zip(ready) {
            let Some(at) = self.guests.iter().position(|guest| guest.number == number) else { continue };
            let guest = &mut self.guests[at];
            if guest.waits {
                // That it is gone is all that is heard of it now.
                if *ready {
                    drop(self.guests.swap_remove(at));
                }
                continue;
            }
            let heard = match ready {
                true => guest.stream.turn(),
                false if now >= guest.deadline => Err(std::io::ErrorKind::TimedOut.into()),
                false => Ok(None),
            };
            match heard {
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    guest.waits = true;
                    self.take(&bytes, Client::Stream(number));
                }
                // It is gone, or has said nothing for too long; questions of it that are under way find nobody.
                Err(_gone) => drop(self.guests.swap_remove(at)),
            }
        }
    }
}
