//! The name server of a container between clients and name servers that lie, are silent, or say more than fits.

use std::collections::BTreeSet;
use std::time::Duration;

use stockade_testkit::call::{Running, eventually};
use stockade_testkit::requires;

use crate::place::{OUTSIDE, Place};

/// What the container's name server says of each name: `NAME [cut] CODE ANSWERS FIRST LAST`.
fn ask(place: &Place, container: &str, names: &[&str]) -> Vec<String> {
    let said = place.call(&["exec", container, "perl", "-e", include_str!("ask.pl")]).args(names).run().ok();
    said.out().lines().map(str::to_owned).collect()
}

/// A name server outside that tells lies.
fn liar(place: &Place) -> Running {
    place.outside(&["ip", "addr", "add", "192.0.2.3/24", "dev", "up0"]).run().ok().either_way();
    let running = place.outside(&["perl", "-e", include_str!("liar.pl"), OUTSIDE, "192.0.2.3"]).start();
    eventually("the name server", Duration::from_secs(20), || running.stdout_so_far().contains("ready"));
    running
}

/// Only what the server that was asked says to the question that was asked, with the number that it was asked by, is an answer.
#[test]
fn lies_are_not_taken_for_answers() {
    requires!(root, stockade, debian_image, ip);
    let place = Place::new();
    let server = liar(&place);
    place.ask(&["network", "create", "net"]).ok().either_way();
    place.detached(&["--name", "asks", "--network", "net"], "sleep 1000");
    let names = ["plain", "number", "question", "short", "echoed", "stranger"].map(|label| format!("{label}.example"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (said, name) in ask(&place, "asks", &names).iter().zip(&names) {
        assert_eq!(*said, format!("{name} 0 1 198.51.100.7 198.51.100.7"));
    }
    for label in ["stranger datagram", "number datagram"] {
        assert!(server.stdout_so_far().contains(label), "{}", server.stdout_so_far());
    }
}

/// Answers that are too long, refer to themselves or count wrong are passed on within their limits, and disturb nobody else.
#[test]
fn answers_of_every_size_and_shape() {
    requires!(root, stockade, debian_image, ip);
    let place = Place::new();
    let server = liar(&place);
    place.ask(&["network", "create", "net"]).ok().either_way();
    place.detached(&["--name", "asks", "--network", "net"], "sleep 1000");
    let of = |name: &str| ask(&place, "asks", &[name]).remove(0);
    // 300 answers are 4800 bytes, 60 are 960: neither fits into a datagram of a client that does not say more.
    assert_eq!(of("large.example"), "large.example cut 0 300 198.51.100.7 198.51.100.7");
    assert_eq!(of("middle.example"), "middle.example cut 0 60 198.51.100.7 198.51.100.7");
    assert!(server.stdout_so_far().contains("large stream"), "{}", server.stdout_so_far());
    assert_eq!(of("plain.example/tcp"), "plain.example 0 1 198.51.100.7 198.51.100.7");
    assert!(of("chain.example").starts_with("chain.example 0 10 ") && of("chain.example").ends_with(" 198.51.100.7"));
    // What records say is for the client to judge: that is what its C library is told, and it finds nothing, soon.
    assert!(of("loop.example").starts_with("loop.example 0 1 "), "{}", of("loop.example"));
    assert!(of("counts.example").starts_with("counts.example 0 65535 "), "{}", of("counts.example"));
    let script =
        "for name in loop counts; do getent ahostsv4 $name.example; done; getent ahostsv4 plain.example | head -n1";
    let said = place.ask(&["exec", "asks", "bash", "-c", script]).ok();
    assert!(said.out().ends_with("STREAM plain.example") && said.out().contains("198.51.100.7"), "{}", said.out());
    // Somebody who is silent keeps nobody else waiting.
    let silent = place.call(&["exec", "asks", "perl", "-e", include_str!("ask.pl"), "silent.example"]).start();
    eventually("the question", Duration::from_secs(20), || server.stdout_so_far().contains("silent datagram"));
    assert_eq!(of("asks"), "asks 0 1 172.17.0.2 172.17.0.2");
    assert_eq!(of("plain.example"), "plain.example 0 1 198.51.100.7 198.51.100.7");
    assert_eq!(silent.wait().ok().out(), "silent.example 2 0 - -");
}

/// Of several name servers the next one is asked; without any that answers the client is told so.
#[test]
fn name_servers_that_are_not_there() {
    requires!(root, stockade, debian_image, ip);
    let place = Place::new();
    place.ask(&["network", "create", "net"]).ok().either_way();
    let gone = ["--dns", "192.0.2.99", "--dns", OUTSIDE];
    place.detached(&[&["--name", "asks", "--network", "net"][..], &gone].concat(), "sleep 1000");
    assert_eq!(ask(&place, "asks", &["plain.example"]), ["plain.example 2 0 - -"], "nobody serves there");
    assert_eq!(ask(&place, "asks", &["plain.example/tcp"]), ["plain.example 2 0 - -"]);
    assert_eq!(ask(&place, "asks", &["asks"]), ["asks 0 1 172.17.0.2 172.17.0.2"]);
    let _server = liar(&place);
    for name in ["plain.example", "plain.example/tcp"] {
        assert_eq!(ask(&place, "asks", &[name]), ["plain.example 0 1 198.51.100.7 198.51.100.7"]);
    }
}

/// Each of several containers with one name is the first in turn, and those that go are told no more.
#[test]
fn turns_are_taken_and_change() {
    requires!(root, stockade, debian_image, ip);
    let place = Place::new();
    place.ask(&["network", "create", "--subnet", "10.9.0.0/24", "net"]).ok().either_way();
    place.detached(&["--name", "asks", "--network", "name=net,ip=10.9.0.100"], "sleep 1000");
    for number in 2..5 {
        let network = format!("name=net,alias=www,ip=10.9.0.{number}");
        place.detached(&["--name", &format!("w{number}"), "--network", &network], "sleep 1000");
    }
    let firsts = |count: usize| {
        let said = ask(&place, "asks", &vec!["www"; count]);
        let first = |line: &String| line.split(' ').nth(3).unwrap().to_owned();
        (said[0].split(' ').nth(2).unwrap().to_owned(), said.iter().map(first).collect::<BTreeSet<_>>())
    };
    let set = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(firsts(3), ("3".to_owned(), set(&["10.9.0.2", "10.9.0.3", "10.9.0.4"])));
    place.ask(&["kill", "w3"]).ok().either_way();
    eventually("its end to be told", Duration::from_secs(20), || {
        firsts(2) == ("2".to_owned(), set(&["10.9.0.2", "10.9.0.4"]))
    });
    place.ask(&["start", "w3"]).ok().either_way();
    assert_eq!(firsts(3).1.len(), 3);
    for name in ["w2", "w3", "w4"] {
        place.ask(&["rm", "-f", name]).ok().either_way();
    }
    // Nobody has the name any more, and it is asked of others: of nobody here.
    assert_eq!(ask(&place, "asks", &["www"]), ["www 2 0 - -"]);
}
