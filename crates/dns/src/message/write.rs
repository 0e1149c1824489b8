//! Answers of our own.

use std::net::IpAddr;

use super::name::Name;
use super::{HEADER, INTERNET, Query, Transport, code, kind};

/// The client need not keep an answer: who has a name can change at any time.
const SECONDS: u32 = 0;
/// A reference to the name of the question, which stands behind the header.
const ASKED: [u8; 2] = [0xc0, 0x0c];

/// A record of an answer; it is about the name that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `A` or `AAAA`.
    Address(IpAddr),
    /// `PTR`.
    Name(Name),
}

/// Makes answers.
#[derive(Clone, Copy, Debug)]
pub struct Response;

impl Response {
    /// What is known: with no record, that the name has none of that type. What does not fit is left out, which is marked.
    #[must_use]
    pub fn records(query: &Query, records: &[Reply], transport: Transport) -> Vec<u8> {
        let mut bytes = begin(query, 0);
        let mut count = 0u16;
        for record in records {
            let one = encoded(record);
            if bytes.len() + one.len() > query.limit(transport) || count == u16::MAX {
                bytes[2] |= 2;
                break;
            }
            bytes.extend(one);
            count += 1;
        }
        bytes[6..8].copy_from_slice(&count.to_be_bytes());
        bytes
    }

    /// A code instead of records.
    #[must_use]
    pub fn failed(query: &Query, code: u8) -> Vec<u8> {
        begin(query, code)
    }

    /// The client is to ask again over TCP.
    pub(super) fn truncated(query: &Query, code: u8) -> Vec<u8> {
        let mut bytes = begin(query, code);
        bytes[2] |= 2;
        bytes
    }
}

/// The header of an answer and the question; no records.
fn begin(query: &Query, code: u8) -> Vec<u8> {
    let mut bytes = query.head().to_vec();
    flag(&mut bytes, code);
    bytes[4..HEADER].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    bytes
}

/// An answer to what is no question: its header.
pub(super) fn header_only(header: &[u8], code: u8) -> Vec<u8> {
    let mut bytes = header.to_vec();
    flag(&mut bytes, code);
    bytes[4..HEADER].fill(0);
    bytes
}

/// Makes the flags of a question those of an answer: recursion is available, and what kind of request it was stays.
fn flag(bytes: &mut [u8], code: u8) {
    debug_assert!(code <= code::REFUSED || code < 16);
    bytes[2] = 0x80 | bytes[2] & 0x79;
    bytes[3] = 0x80 | code & 0xf;
}

fn encoded(record: &Reply) -> Vec<u8> {
    let (kind, data) = match record {
        Reply::Address(IpAddr::V4(address)) => (kind::A, address.octets().to_vec()),
        Reply::Address(IpAddr::V6(address)) => (kind::AAAA, address.octets().to_vec()),
        Reply::Name(name) => (kind::PTR, name.wire().collect()),
    };
    let mut bytes = ASKED.to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend(INTERNET.to_be_bytes());
    bytes.extend(SECONDS.to_be_bytes());
    // A name has 255 bytes at most.
    bytes.extend(u16::try_from(data.len()).unwrap_or_default().to_be_bytes());
    bytes.extend(data);
    bytes
}
