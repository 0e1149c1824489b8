//! What is said to a question. Pure.

use crate::message::{INTERNET, Name, Query, Reply, Response, Transport, code, kind};
use crate::names::Names;

/// What becomes of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This is the answer.
    Say(Vec<u8>),
    /// Nothing is known here: other name servers are asked.
    PassOn,
}

/// Answers for the names and addresses of containers; of a name that is one of theirs every type is answered here, so that nobody
/// outside hears of it. Of several addresses another one stands first at each `turn`.
#[must_use]
pub fn answer(query: &Query, names: &Names, transport: Transport, turn: usize) -> Answer {
    if query.class != INTERNET {
        return Answer::Say(Response::failed(query, code::REFUSED));
    }
    if let Some(address) = query.name.reverse() {
        let found = names.of_address(address);
        return match (found.is_empty(), query.kind) {
            (true, _) => Answer::PassOn,
            (false, kind::PTR | kind::ANY) => say(query, found.into_iter().map(Reply::Name), transport),
            (false, _) => say(query, std::iter::empty(), transport),
        };
    }
    let Some(addresses) = names.addresses(&query.name) else { return Answer::PassOn };
    let mut wanted = addresses;
    wanted.retain(|address| match query.kind {
        kind::A => address.is_ipv4(),
        kind::AAAA => address.is_ipv6(),
        kind::ANY => true,
        _ => false,
    });
    let first = turn.checked_rem(wanted.len()).unwrap_or_default();
    wanted.rotate_left(first);
    say(query, wanted.into_iter().map(Reply::Address), transport)
}

fn say(query: &Query, records: impl Iterator<Item = Reply>, transport: Transport) -> Answer {
    Answer::Say(Response::records(query, &records.collect::<Vec<_>>(), transport))
}

/// What is said where no other name server can be asked.
#[must_use]
pub fn nowhere(query: &Query) -> Vec<u8> {
    Response::failed(query, code::NO_NAME)
}

/// What is said where none of them answered.
#[must_use]
pub fn failed(query: &Query) -> Vec<u8> {
    Response::failed(query, code::FAILED)
}

/// A name in a list of names, without those that no question can be about.
pub(crate) fn names_of<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<Name> {
    texts.filter_map(Name::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Verdict;
    use crate::message::ask;
    use crate::names::tests::{book, write};

    #[test]
    fn names_are_answered_in_turn_and_others_passed_on() {
        let place = tempfile::tempdir().unwrap();
        write(place.path(), 'a', ",10.0.0.2,fd00::2", &["web", "www"]);
        write(place.path(), 'b', ",10.0.0.3", &["db", "www"]);
        let mut book = book(place.path());
        let names = book.names();
        let said = |name: &str, kind: u16, turn: usize| {
            let Verdict::Ask(query) = Query::parse(&ask(7, name, kind, None)) else { panic!("{name} is a question") };
            match answer(&query, names, Transport::Udp, turn) {
                Answer::Say(bytes) => Some(bytes[query.limit(Transport::Udp).min(12 + name.len() + 6)..].to_vec()),
                Answer::PassOn => None,
            }
        };
        let last = |bytes: Option<Vec<u8>>| bytes.unwrap().last_chunk::<4>().copied().unwrap();
        assert_eq!(last(said("WWW", kind::A, 0)), [10, 0, 0, 3]);
        assert_eq!(last(said("www", kind::A, 1)), [10, 0, 0, 2]);
        assert_eq!(said("www", kind::A, 1).unwrap().len(), 2 * 16);
        assert_eq!(said("web", kind::AAAA, 5).unwrap().len(), 28);
        assert_eq!(said("db", kind::AAAA, 5).unwrap().len(), 0, "there is the name, and no such address");
        assert_eq!(said("db", 15, 0).unwrap().len(), 0, "nobody outside hears of it");
        assert_eq!(said("example.org", kind::A, 0), None);
        assert!(said("3.0.0.10.in-addr.arpa", kind::PTR, 0).unwrap().ends_with(b"\x02db\x03net\0"));
        assert_eq!(said("4.0.0.10.in-addr.arpa", kind::PTR, 0), None);
    }

    #[test]
    fn another_class_is_refused() {
        let mut bytes = ask(7, "web", kind::A, None);
        *bytes.last_mut().unwrap() = 3;
        let Verdict::Ask(query) = Query::parse(&bytes) else { panic!("it is a question") };
        let Answer::Say(said) = answer(&query, &Names::default(), Transport::Udp, 0) else { panic!("not passed on") };
        assert_eq!(said[3] & 0xf, code::REFUSED);
        assert_eq!(nowhere(&query)[3] & 0xf, code::NO_NAME);
        assert_eq!(failed(&query)[3] & 0xf, code::FAILED);
    }
}
