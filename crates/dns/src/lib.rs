//! The name server of one container on networks with names: it answers for the containers of these networks, and passes other
//! questions on.
//!
//! `stockade-dns`, the program, is started for one container with two sockets that were made in that container's network namespace
//! (UDP and TCP, at 127.0.0.11), and with the folders of endpoints of the networks that the container is on. It stays in the
//! network namespace of whoever started it, where it asks the host's name servers, and ends with the container's first process.
//!
//! - [`message`]: questions taken apart, answers put together. Pure; every byte is a stranger's.
//! - [`names`]: which names and addresses there are, read from the folders whenever these change.
//! - [`answer`]: what is said to a question, or that it is passed on.
//! - `relay` and `serve` (of the program): other name servers, clients, and the one `poll(2)`.
//!
//! What is asked and what comes back is bounded in size and number, so that neither the container nor a name server makes this
//! process large.

pub mod answer;
pub mod message;
pub mod names;

/// What the fuzzer `dns` calls.
#[cfg(fuzzing)]
pub mod fuzz {
    /// A packet of a client, and one of a name server, whichever it is.
    pub fn packet(bytes: &[u8]) {
        use crate::message::{Query, Transport, Verdict, is_reply_to, refit};
        let names = crate::names::Names::default();
        let Verdict::Ask(query) = Query::parse(bytes) else { return };
        for transport in [Transport::Udp, Transport::Tcp] {
            if let crate::answer::Answer::Say(said) = crate::answer::answer(&query, &names, transport, 1) {
                assert!(said.len() <= query.limit(transport));
            }
            assert!(refit(&query, bytes, transport).len() <= query.limit(transport));
        }
        assert!(!is_reply_to(&query, query.id(), bytes), "a question is no answer");
    }

    /// A packet of a name server, to a question that is fixed.
    pub fn reply(bytes: &[u8]) {
        use crate::message::{Query, Transport, Verdict, is_reply_to, refit};
        let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x04test\x00\x00\x01\x00\x01";
        let Verdict::Ask(query) = Query::parse(question) else { return };
        if is_reply_to(&query, 0x1234, bytes) {
            let said = refit(&query, bytes, Transport::Udp);
            assert!(said.len() <= query.limit(Transport::Udp) && said[..2] == question[..2]);
        }
    }
}
