//! Questions to name servers and their answers (RFC 1035): as much of them as finds addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest name, in the form that is sent.
const LONGEST_NAME: usize = 255;
/// The most addresses that are taken from an answer.
const MOST_ADDRESSES: usize = 32;
/// The most aliases that are followed from one to the next.
const MOST_ALIASES: usize = 16;
/// The class of the internet.
const INTERNET: u16 = 1;
/// The type of a record that names an alias.
const CNAME: u16 = 5;

/// The type of address that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// `A`.
    V4,
    /// `AAAA`.
    V6,
}

impl Family {
    fn number(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 28,
        }
    }
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The addresses; none, where the name exists and has none of this family.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoSuchName,
    /// It did not fit: ask again over TCP.
    Truncated,
    /// The server cannot or does not want to say (the response code).
    Failed(u8),
}

/// The question for the addresses of `name`. `None` if it is no name.
pub(super) fn question(id: u16, name: &str, family: Family) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend(id.to_be_bytes());
    // Recursion is wanted; one question.
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    bytes.extend(encoded(name)?);
    bytes.extend(family.number().to_be_bytes());
    bytes.extend(INTERNET.to_be_bytes());
    Some(bytes)
}

/// The labels of a name with their lengths.
fn encoded(name: &str) -> Option<Vec<u8>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        if !label.bytes().all(allowed) {
            return None;
        }
        bytes.push(length);
        bytes.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
    }
    bytes.push(0);
    (bytes.len() <= LONGEST_NAME).then_some(bytes)
}

/// What `bytes` say to the question; `None` if they are no answer to it.
pub(super) fn reply(bytes: &[u8], id: u16, name: &str, family: Family) -> Option<Reply> {
    let mut at = Cursor { bytes, position: 0 };
    let (answered, flags) = (at.number()?, at.number()?);
    let (questions, answers) = (at.number()?, at.number()?);
    at.skip(4)?;
    let asked = encoded(name)?;
    if answered != id || flags & 0x8000 == 0 || questions != 1 || at.name()? != asked {
        return None;
    }
    if (at.number()?, at.number()?) != (family.number(), INTERNET) {
        return None;
    }
    match flags & 0xf {
        0 if flags & 0x0200 != 0 => return Some(Reply::Truncated),
        0 => {}
        3 => return Some(Reply::NoSuchName),
        code => return u8::try_from(code).ok().map(Reply::Failed),
    }
    records(&mut at, answers, family).map(|records| Reply::Addresses(followed(asked, &records)))
}

/// A record of the answer that matters here.
enum Record {
    Alias(Vec<u8>, Vec<u8>),
    Address(Vec<u8>, IpAddr),
}

fn records(at: &mut Cursor<'_>, count: u16, family: Family) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    for _ in 0..count {
        let owner = at.name()?;
        let (kind, class) = (at.number()?, at.number()?);
        at.skip(4)?;
        let length = usize::from(at.number()?);
        let data = at.bytes.get(at.position..at.position + length)?;
        if class == INTERNET && records.len() < MOST_ADDRESSES + MOST_ALIASES {
            match (kind, family) {
                (CNAME, _) => {
                    let alias = Cursor { bytes: at.bytes, position: at.position }.name()?;
                    records.push(Record::Alias(owner, alias));
                }
                (1, Family::V4) => {
                    let octets: [u8; 4] = data.try_into().ok()?;
                    records.push(Record::Address(owner, Ipv4Addr::from(octets).into()));
                }
                (28, Family::V6) => {
                    let octets: [u8; 16] = data.try_into().ok()?;
                    records.push(Record::Address(owner, Ipv6Addr::from(octets).into()));
                }
                _ => {}
            }
        }
        at.skip(length)?;
    }
    Some(records)
}

/// The addresses of `name` and of what it is an alias of. Records of other names are not what was asked for.
fn followed(name: Vec<u8>, records: &[Record]) -> Vec<IpAddr> {
    let mut name = name;
    for _ in 0..=MOST_ALIASES {
        let of_name = records.iter().filter_map(|record| match record {
            Record::Address(owner, address) if *owner == name => Some(*address),
            _ => None,
        });
        let found: Vec<IpAddr> = of_name.take(MOST_ADDRESSES).collect();
        let alias = records.iter().find_map(|record| match record {
            Record::Alias(owner, alias) if *owner == name => Some(alias.clone()),
            _ => None,
        });
        match alias {
            Some(alias) if found.is_empty() => name = alias,
            _ => return found,
        }
    }
    Vec::new()
}

/// A place in a message.
struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Cursor<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.position)?;
        self.position += 1;
        Some(byte)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.position = self.position.checked_add(count).filter(|position| *position <= self.bytes.len())?;
        Some(())
    }

    /// A name without compression, in lower case. Each pointer leads further back, so that no two lead in a circle.
    fn name(&mut self) -> Option<Vec<u8>> {
        let mut name = Vec::new();
        let mut at = Cursor { bytes: self.bytes, position: self.position };
        let mut lowest = self.position;
        let mut jumped = false;
        loop {
            let length = at.byte()?;
            match length {
                0 => break,
                1..=63 => {
                    name.push(length);
                    for _ in 0..length {
                        name.push(at.byte()?.to_ascii_lowercase());
                    }
                }
                0xc0.. => {
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, at.byte()?]));
                    if !jumped {
                        self.position = at.position;
                        jumped = true;
                    }
                    if target >= lowest {
                        return None;
                    }
                    lowest = target;
                    at.position = target;
                }
                _ => return None,
            }
            if name.len() >= LONGEST_NAME {
                return None;
            }
        }
        if !jumped {
            self.position = at.position;
        }
        name.push(0);
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An answer with the question in it and these records: owner, type, data.
    fn answer(flags: u16, name: &str, family: Family, records: &[(&[u8], u16, &[u8])]) -> Vec<u8> {
        let mut bytes = question(7, name, family).unwrap();
        bytes[2..4].copy_from_slice(&flags.to_be_bytes());
        bytes[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
        for (owner, kind, data) in records {
            bytes.extend(*owner);
            bytes.extend(kind.to_be_bytes());
            bytes.extend([0, 1, 0, 0, 0, 60]);
            bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            bytes.extend(*data);
        }
        bytes
    }

    /// A pointer to the name in the question.
    const ASKED: &[u8] = &[0xc0, 12];

    #[test]
    fn addresses_and_aliases_are_found() {
        let bytes = answer(0x8180, "A.example", Family::V4, &[(ASKED, 1, &[1, 2, 3, 4]), (ASKED, 1, &[5, 6, 7, 8])]);
        let addresses = vec!["1.2.3.4".parse().unwrap(), "5.6.7.8".parse().unwrap()];
        assert_eq!(reply(&bytes, 7, "a.example.", Family::V4), Some(Reply::Addresses(addresses)));
        let alias = [1, b'b', 0xc0, 14];
        let octets = Ipv6Addr::LOCALHOST.octets();
        let records: &[(&[u8], u16, &[u8])] =
            &[(&[1, b'B', 0xc0, 14], 28, &octets), (ASKED, CNAME, &alias), (&[1, b'x', 0], 28, &[9; 16])];
        let bytes = answer(0x8180, "a.example", Family::V6, records);
        let found = Some(Reply::Addresses(vec![Ipv6Addr::LOCALHOST.into()]));
        assert_eq!(reply(&bytes, 7, "a.example", Family::V6), found);
    }

    #[test]
    fn failures_are_told_apart() {
        let of = |flags| reply(&answer(flags, "a", Family::V4, &[]), 7, "a", Family::V4);
        assert_eq!(of(0x8180), Some(Reply::Addresses(vec![])));
        assert_eq!(of(0x8183), Some(Reply::NoSuchName));
        assert_eq!(of(0x8182), Some(Reply::Failed(2)));
        assert_eq!(of(0x8380), Some(Reply::Truncated));
        assert_eq!(of(0x0180), None);
    }

    #[test]
    fn what_answers_another_question_is_no_answer() {
        let bytes = answer(0x8180, "a", Family::V4, &[(ASKED, 1, &[1, 2, 3, 4])]);
        assert_eq!(reply(&bytes, 8, "a", Family::V4), None);
        assert_eq!(reply(&bytes, 7, "b", Family::V4), None);
        assert_eq!(reply(&bytes, 7, "a", Family::V6), None);
        for length in 0..bytes.len() {
            assert_eq!(reply(&bytes[..length], 7, "a", Family::V4), None, "{length}");
        }
        // Addresses of names that nobody asked for, and aliases in a circle.
        let bytes = answer(0x8180, "a", Family::V4, &[(&[1, b'b', 0], 1, &[1, 2, 3, 4])]);
        assert_eq!(reply(&bytes, 7, "a", Family::V4), Some(Reply::Addresses(vec![])));
        let bytes = answer(0x8180, "a", Family::V4, &[(ASKED, CNAME, ASKED)]);
        assert_eq!(reply(&bytes, 7, "a", Family::V4), Some(Reply::Addresses(vec![])));
        let own = u8::try_from(question(7, "a", Family::V4).unwrap().len()).unwrap();
        let bytes = answer(0x8180, "a", Family::V4, &[(&[0xc0, own], 1, &[1, 2, 3, 4])]);
        assert_eq!(reply(&bytes, 7, "a", Family::V4), None);
    }

    #[test]
    fn what_is_no_name_is_not_asked() {
        let label = "a".repeat(64);
        let long = "a.".repeat(130);
        for name in ["", ".", "a..b", ".a", "a b", "\u{e9}", "a/b", &label, &long] {
            assert_eq!(question(1, name, Family::V4), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), head in any::<bool>()) {
            let mut whole = answer(0x8180, "a", Family::V4, &[]);
            whole[7] = 3;
            whole.extend(&bytes);
            let bytes = if head { whole } else { bytes };
            if let Some(Reply::Addresses(addresses)) = reply(&bytes, 7, "a", Family::V4) {
                prop_assert!(addresses.len() <= MOST_ADDRESSES);
            }
        }
    }
}
