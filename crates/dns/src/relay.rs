//! A question that is passed on to other name servers, one after the other.
//!
//! Each attempt has a socket of its own, so that the kernel draws a port for it at random and only the server that was asked can
//! answer, and a number that is drawn, too. A datagram of a client is passed on as one: an answer that is cut off makes the client ask
//! again over TCP, and so do we.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use stockade_dns::message::{Query, Transport, is_failure, is_reply_to};

use crate::stream::Stream;

/// How long a server may take to answer a datagram, and a stream.
const PATIENCE: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(4)];
/// The longest datagram that is taken.
const LONGEST_DATAGRAM: usize = 4096;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// By a datagram from this address.
    Datagram(SocketAddr),
    /// By the stream with this number.
    Stream(u64),
}

impl Client {
    pub(crate) fn transport(self) -> Transport {
        match self {
            Self::Datagram(_) => Transport::Udp,
            Self::Stream(_) => Transport::Tcp,
        }
    }
}

/// One attempt.
#[derive(Debug)]
enum Attempt {
    Datagram(OwnedFd),
    Stream(Stream),
}

/// A question under way.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) query: Query,
    pub(crate) client: Client,
    /// The server that is asked next.
    next: usize,
    attempt: Option<(Attempt, u16)>,
    pub(crate) deadline: Instant,
    /// What a server said that could not answer.
    last: Option<Vec<u8>>,
}

/// What has become of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It goes on.
    Waiting,
    /// This came back; nothing, if nobody answered.
    Done(Option<Vec<u8>>),
}

impl Relay {
    /// Not yet asked of anybody.
    pub(crate) fn new(query: Query, client: Client) -> Self {
        Self { query, client, next: 0, attempt: None, deadline: Instant::now(), last: None }
    }

    /// Asks the next server that can be asked.
    pub(crate) fn advance(&mut self, servers: &[SocketAddr]) -> Outcome {
        self.attempt = None;
        while let Some(server) = servers.get(self.next) {
            self.next += 1;
            if let Ok((attempt, id)) = self.ask(*server) {
                self.attempt = Some((attempt, id));
                let patience = usize::from(self.client.transport() == Transport::Tcp);
                self.deadline = Instant::now() + PATIENCE[patience];
                return Outcome::Waiting;
            }
        }
        Outcome::Done(self.last.take())
    }

    fn ask(&self, server: SocketAddr) -> io::Result<(Attempt, u16)> {
        let mut number = [0; 2];
        rustix::rand::getrandom(&mut number, rustix::rand::GetRandomFlags::empty())?;
        let id = u16::from_be_bytes(number);
        let message = self.query.with_id(id);
        let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match self.client.transport() {
            Transport::Udp => {
                let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
                rustix::net::connect(&socket, &server)?;
                rustix::net::send(&socket, &message, SendFlags::empty())?;
                Ok((Attempt::Datagram(socket), id))
            }
            Transport::Tcp => {
                let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
                match rustix::net::connect(&socket, &server) {
                    Ok(()) | Err(Errno::INPROGRESS) => {}
                    Err(errno) => return Err(errno.into()),
                }
                let mut stream = Stream::new(socket);
                stream.put(&message);
                Ok((Attempt::Stream(stream), id))
            }
        }
    }

    /// What `poll(2)` is to look at.
    pub(crate) fn interest(&self) -> Option<(&OwnedFd, PollFlags)> {
        match self.attempt.as_ref()? {
            (Attempt::Datagram(socket), _) => Some((socket, PollFlags::IN)),
            (Attempt::Stream(stream), _) => Some(stream.interest()),
        }
    }

    /// Hears what the server says, if it has said something.
    pub(crate) fn hear(&mut self, servers: &[SocketAddr]) -> Outcome {
        let Some((attempt, id)) = &mut self.attempt else { return self.advance(servers) };
        let reply = match attempt {
            Attempt::Datagram(socket) => datagram(socket),
            Attempt::Stream(stream) => stream.turn(),
        };
        match reply {
            Ok(None) => Outcome::Waiting,
            // The server is not there.
            Err(_gone) => self.advance(servers),
            Ok(Some(reply)) if !is_reply_to(&self.query, *id, &reply) => match self.client.transport() {
                // Somebody else's word; the true one may come still.
                Transport::Udp => Outcome::Waiting,
                Transport::Tcp => self.advance(servers),
            },
            Ok(Some(reply)) if is_failure(&reply) => {
                self.last = Some(reply);
                self.advance(servers)
            }
            Ok(Some(reply)) => Outcome::Done(Some(reply)),
        }
    }
}

fn datagram(socket: &OwnedFd) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; LONGEST_DATAGRAM];
    match rustix::net::recv(socket, &mut bytes[..], RecvFlags::TRUNC) {
        // What is longer than what any client takes is cut off, and refitted as such.
        Ok((_, length)) => {
            bytes.resize(length.min(usize::from(u16::MAX)), 0);
            Ok(Some(bytes))
        }
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
