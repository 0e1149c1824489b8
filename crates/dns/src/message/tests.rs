//! Questions that are good, bad and worse.

use proptest::prelude::*;

use super::*;

/// A question, with extensions that allow so many bytes.
pub(crate) fn ask(id: u16, name: &str, kind: u16, size: Option<u16>) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(size.is_some())]);
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend(INTERNET.to_be_bytes());
    if let Some(size) = size {
        bytes.extend([0, 0, 41]);
        bytes.extend(size.to_be_bytes());
        bytes.extend([0, 0, 0, 0, 0, 0]);
    }
    bytes
}

fn query(bytes: &[u8]) -> Query {
    match Query::parse(bytes) {
        Verdict::Ask(query) => query,
        other => panic!("{other:?} for {bytes:?}"),
    }
}

#[test]
fn a_question_is_read() {
    let read = query(&ask(0x1234, "Web.Example", kind::AAAA, Some(1232)));
    assert_eq!((read.id(), read.kind, read.class), (0x1234, kind::AAAA, INTERNET));
    assert_eq!(read.name, Name::of("web.example.").unwrap());
    assert_eq!((read.limit(Transport::Udp), read.limit(Transport::Tcp)), (1232, 65535));
    assert_eq!(query(&ask(1, "a", 1, None)).limit(Transport::Udp), 512);
    assert_eq!(query(&ask(1, "a", 1, Some(0))).limit(Transport::Udp), 512);
    assert_eq!(query(&ask(1, "a", 1, Some(65535))).limit(Transport::Udp), 4096);
    assert_eq!(read.with_id(1)[..2], [0, 1]);
}

#[test]
fn what_is_no_question_is_refused_or_dropped() {
    let good = ask(9, "a.b", 1, Some(1232));
    let change = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Query::parse(&bytes)
    };
    let refused = |verdict: Verdict, code: u8| match verdict {
        Verdict::Refuse(bytes) => assert!(bytes.len() == 12 && bytes[2] & 0x80 != 0 && bytes[3] & 0xf == code),
        other => panic!("{other:?}"),
    };
    assert_eq!(Query::parse(&good[..11]), Verdict::Drop);
    assert_eq!(change(2, 0x81), Verdict::Drop, "an answer");
    refused(change(2, 0x29), code::NOT_IMPLEMENTED);
    for (at, byte) in [(5, 0), (5, 2), (7, 1), (9, 1), (11, 3), (11, 0), (12, 0xc0), (12, 64), (12, 9)] {
        refused(change(at, byte), code::FORMAT);
    }
    for length in 12..good.len() {
        refused(Query::parse(&good[..length]), code::FORMAT);
    }
    let long = ["a"; 128].join(".");
    refused(Query::parse(&ask(1, &long, 1, None)), code::FORMAT);
    assert!(Name::of(&long).is_none() && Name::of(&long[2..]).is_some());
}

#[test]
fn answers_count() {
    let question = query(&ask(9, "web", kind::A, None));
    let addresses: Vec<Reply> = (0..200).map(|last| Reply::Address([10, 0, 0, last].into())).collect();
    let two = Response::records(&question, &addresses[..2], Transport::Udp);
    assert_eq!((two[2], two[3], two[7], two.len()), (0x81, 0x80, 2, 12 + 9 + 2 * 16));
    assert!(two.ends_with(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 10, 0, 0, 1]));
    let cut = Response::records(&question, &addresses, Transport::Udp);
    assert!(cut[2] & 2 != 0 && cut.len() <= 512 && cut[7] == 30, "{cut:?}");
    let whole = Response::records(&question, &addresses, Transport::Tcp);
    assert!(whole[2] & 2 == 0 && whole[7] == 200);
    assert_eq!(Response::failed(&question, code::NO_NAME)[3], 0x83);
}

#[test]
fn another_servers_answer_is_to_the_same_question() {
    let question = query(&ask(9, "web.example", kind::A, None));
    let mut reply = Response::records(&query(&ask(500, "WEB.example", kind::A, None)), &[], Transport::Udp);
    assert!(is_reply_to(&question, 500, &reply) && !is_failure(&reply));
    assert!(!is_reply_to(&question, 501, &reply));
    assert_eq!(refit(&question, &reply, Transport::Udp)[..2], [0, 9]);
    reply.resize(600, 7);
    let cut = refit(&question, &reply, Transport::Udp);
    assert!(cut[2] & 2 != 0 && cut.len() == 12 + 17, "{cut:?}");
    assert_eq!(refit(&question, &reply, Transport::Tcp).len(), 600);
    for other in [ask(500, "web.example", kind::A, None), ask(500, "web.examplf", kind::A, None)] {
        assert!(!is_reply_to(&question, 500, &other));
    }
    assert!(is_failure(&Response::failed(&question, code::FAILED)));
}

#[test]
fn addresses_stand_in_names() {
    let reverse = |text: &str| Name::of(text).unwrap().reverse().map(|address| address.to_string());
    assert_eq!(reverse("2.1.168.192.IN-ADDR.arpa").as_deref(), Some("192.168.1.2"));
    let digits = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa";
    assert_eq!(reverse(digits).as_deref(), Some("4321:0:1:2:3:4:567:89ab"));
    for text in ["1.168.192.in-addr.arpa", "256.1.1.1.in-addr.arpa", "1.1.1.1.in-addr.org", "g.ip6.arpa", "arpa"] {
        assert_eq!(reverse(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600), head in any::<bool>()) {
        let mut bytes = bytes;
        if head && bytes.len() > 12 {
            bytes[2..12].copy_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        }
        if let Verdict::Ask(query) = Query::parse(&bytes) {
            for transport in [Transport::Udp, Transport::Tcp] {
                prop_assert!(refit(&query, &bytes, transport).len() <= query.limit(transport));
            }
        }
    }
}
