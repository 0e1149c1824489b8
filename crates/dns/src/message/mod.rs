//! Messages of the domain name system (RFC 1035; RFC 6891 for sizes): one question, and answers of our own.
//!
//! A message of a client is read once, from its beginning to its end, without following a compressed name anywhere: a name in a
//! question is never compressed. Messages of other name servers are not taken apart at all beyond their question.

mod name;
#[cfg(test)]
mod tests;
mod write;

pub use name::Name;
#[cfg(test)]
pub(crate) use tests::ask;
pub use write::{Reply, Response};

/// Before the first record.
const HEADER: usize = 12;
/// What fits into a UDP answer to a client that says nothing else (RFC 1035, 4.2.1).
const LEAST_UDP: usize = 512;
/// What it may say at most that is believed.
const MOST_UDP: usize = 4096;
/// The class of the internet.
pub(crate) const INTERNET: u16 = 1;
/// The pseudo record of extensions.
const OPT: u16 = 41;

/// Types of records that are answered here.
pub mod kind {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// A name for an address.
    pub const PTR: u16 = 12;
    /// An IPv6 address.
    pub const AAAA: u16 = 28;
    /// All there is.
    pub const ANY: u16 = 255;
}

/// Response codes.
pub mod code {
    /// The question cannot be read.
    pub const FORMAT: u8 = 1;
    /// No name server answered.
    pub const FAILED: u8 = 2;
    /// There is no such name.
    pub const NO_NAME: u8 = 3;
    /// That kind of request is not served.
    pub const NOT_IMPLEMENTED: u8 = 4;
    /// It is not passed on.
    pub const REFUSED: u8 = 5;
}

/// How a client is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// One datagram each way.
    Udp,
    /// With the length before each message.
    Tcp,
}

/// A question of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The whole message, as it came.
    bytes: Vec<u8>,
    /// Where the question ends.
    end: usize,
    /// What is asked about.
    pub name: Name,
    /// The type of record.
    pub kind: u16,
    /// The class.
    pub class: u16,
    /// How large a UDP answer may be.
    udp_limit: usize,
}

/// What a client's message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A question.
    Ask(Query),
    /// Something else, for which this is the answer.
    Refuse(Vec<u8>),
    /// Nothing that is answered: an answer, or less than a header.
    Drop,
}

impl Query {
    /// Reads a client's message.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Verdict {
        let Some(header) = bytes.get(..HEADER) else { return Verdict::Drop };
        let answer = header[2] & 0x80 != 0;
        if answer {
            return Verdict::Drop;
        }
        let refuse = |code| Verdict::Refuse(write::header_only(header, code));
        if header[2] & 0x78 != 0 {
            return refuse(code::NOT_IMPLEMENTED);
        }
        match Self::question(bytes) {
            Some(query) => Verdict::Ask(query),
            None => refuse(code::FORMAT),
        }
    }

    fn question(bytes: &[u8]) -> Option<Self> {
        let count = |at: usize| number(bytes, at);
        let (questions, answers, authorities, additional) = (count(4)?, count(6)?, count(8)?, count(10)?);
        // At most the extensions and a signature, which is not looked at.
        if questions != 1 || answers != 0 || authorities != 0 || additional > 2 {
            return None;
        }
        let (name, at) = Name::read(bytes, HEADER)?;
        let (kind, class) = (count(at)?, count(at + 2)?);
        let end = at + 4;
        let mut udp_limit = LEAST_UDP;
        let mut at = end;
        for _ in 0..additional {
            let (_, fields) = Name::read(bytes, at)?;
            if count(fields)? == OPT {
                udp_limit = usize::from(count(fields + 2)?).clamp(LEAST_UDP, MOST_UDP);
            }
            at = fields + 10 + usize::from(count(fields + 8)?);
        }
        if at != bytes.len() {
            return None;
        }
        Some(Self { bytes: bytes.to_vec(), end, name, kind, class, udp_limit })
    }

    /// The number that the client gave it.
    #[must_use]
    pub fn id(&self) -> u16 {
        number(&self.bytes, 0).unwrap_or_default()
    }

    /// The question as it came, with the header before it.
    fn head(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    /// The largest answer.
    #[must_use]
    pub fn limit(&self, transport: Transport) -> usize {
        match transport {
            Transport::Udp => self.udp_limit,
            Transport::Tcp => usize::from(u16::MAX),
        }
    }

    /// The message for another name server: the same with the number `id`.
    #[must_use]
    pub fn with_id(&self, id: u16) -> Vec<u8> {
        renumbered(&self.bytes, id)
    }
}

/// Whether `reply` is an answer to the question with this number: an answer, and to the same question.
#[must_use]
pub fn is_reply_to(query: &Query, id: u16, reply: &[u8]) -> bool {
    let Some(head) = reply.get(..query.end) else { return false };
    let is_answer = head[2] & 0x80 != 0;
    let one_question = head[4..6] == [0, 1];
    let same = head[HEADER..].eq_ignore_ascii_case(&query.head()[HEADER..]);
    number(head, 0) == Some(id) && is_answer && one_question && same
}

/// Whether another name server's answer says that it could or would not answer, so that the next one is asked.
#[must_use]
pub fn is_failure(reply: &[u8]) -> bool {
    reply.get(3).is_some_and(|flags| [code::FAILED, code::REFUSED, code::NOT_IMPLEMENTED].contains(&(flags & 0xf)))
}

/// Another name server's answer with the client's number; without its records, and so marked, if it is too long for the client.
#[must_use]
pub fn refit(query: &Query, reply: &[u8], transport: Transport) -> Vec<u8> {
    if reply.len() <= query.limit(transport) && reply.len() >= query.end {
        return renumbered(reply, query.id());
    }
    let code = reply.get(3).map_or(code::FAILED, |flags| flags & 0xf);
    Response::truncated(query, code)
}

fn renumbered(bytes: &[u8], id: u16) -> Vec<u8> {
    let rest = bytes.get(2..).unwrap_or_default();
    id.to_be_bytes().into_iter().chain(rest.iter().copied()).collect()
}

/// The two bytes at `at`, if they are there.
fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes([two[0], two[1]]))
}
