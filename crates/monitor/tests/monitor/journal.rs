//! The log in a journal, which is the test's own.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::time::Duration;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::SealFlags;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use stockade_kernel::fdpass;
use stockade_monitor::order::{Journald, Log};
use stockade_testkit::{eventually, requires};

use crate::scene::{LIMIT, Scene};

/// A journal in the folder of `scene`.
struct Journal {
    socket: OwnedFd,
    path: std::path::PathBuf,
}

type Fields = BTreeMap<String, Vec<u8>>;

impl Journal {
    fn of(scene: &mut Scene) -> Self {
        let path = scene.bundle.folder().join("journal");
        let journal = Self { socket: bound(&path), path };
        let fields = [("CONTAINER_NAME", "c"), ("TWO", "lines\nof it")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        scene.order.log = Log::Journald(Journald { socket: journal.path.clone(), fields });
        journal
    }

    /// The next entry; whether it came as a file.
    fn next(&self) -> (Fields, bool) {
        let mut packet = vec![0; 1 << 20];
        let (length, files) = fdpass::receive(&self.socket, &mut packet).unwrap();
        packet.truncate(length);
        let Some(file) = files.into_iter().next() else { return (parse(&packet), false) };
        assert_eq!(length, 0);
        // What journald asks of it.
        let seals = rustix::fs::fcntl_get_seals(&file).unwrap();
        assert!(seals.contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL));
        let mut file = std::fs::File::from(file);
        file.rewind().unwrap();
        packet.clear();
        file.read_to_end(&mut packet).unwrap();
        (parse(&packet), true)
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.next().0.remove(name).unwrap()).unwrap()
    }
}

fn bound(path: &std::path::Path) -> OwnedFd {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).unwrap();
    rustix::net::bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    set_socket_timeout(socket.as_fd(), Timeout::Recv, Some(LIMIT)).unwrap();
    socket
}

/// Reads an entry of the native protocol.
fn parse(mut rest: &[u8]) -> Fields {
    let mut fields = Fields::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        let (name, value) = match line.iter().position(|byte| *byte == b'=') {
            Some(at) => (&line[..at], line[at + 1..].to_vec()),
            None => {
                let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
                let value = rest[8..8 + length].to_vec();
                assert_eq!(rest[8 + length], b'\n');
                rest = &rest[9 + length..];
                (line, value)
            }
        };
        fields.insert(String::from_utf8(name.to_vec()).unwrap(), value);
    }
    assert!(rest.is_empty());
    fields
}

#[test]
fn entries_are_those_of_dockers_driver() {
    requires!(root, stake, busybox_image, limits);
    let mut scene = Scene::sh(
        "echo one; sleep 0.1; printf 'b\\377d\\n' >&2; sleep 0.1; printf %016384d%05d 0 0; echo; printf open",
    );
    let journal = Journal::of(&mut scene);
    let mut live = scene.run();
    let entries: Vec<Fields> = (0..5).map(|_| journal.next().0).collect();
    let all = |name: &str| -> Vec<Option<String>> {
        entries.iter().map(|entry| entry.get(name).map(|value| String::from_utf8_lossy(value).into_owned())).collect()
    };
    let some = |words: [&str; 5]| words.map(|word| (!word.is_empty()).then(|| word.to_owned())).to_vec();
    let messages = [&b"one"[..], b"b\xffd", &[b'0'; 16384], b"00000", b"open"];
    assert_eq!(entries.iter().map(|entry| entry["MESSAGE"].as_slice()).collect::<Vec<_>>(), messages);
    assert_eq!(all("PRIORITY"), some(["6", "3", "6", "6", "6"]));
    assert_eq!(all("CONTAINER_NAME"), some(["c"; 5]));
    assert_eq!(all("TWO"), some(["lines\nof it"; 5]));
    assert_eq!(all("CONTAINER_LOG_ORDINAL"), some(["1", "2", "3", "4", "5"]));
    assert_eq!(all("CONTAINER_PARTIAL_MESSAGE"), some(["", "", "true", "", "true"]));
    assert_eq!(all("CONTAINER_PARTIAL_ORDINAL"), some(["", "", "1", "2", "1"]));
    assert_eq!(all("CONTAINER_PARTIAL_LAST"), some(["", "", "false", "true", "false"]));
    let lines = all("CONTAINER_PARTIAL_ID");
    assert!(lines[2].is_some() && lines[2] == lines[3] && lines[3] != lines[4], "{lines:?}");
    let times = all("SYSLOG_TIMESTAMP");
    assert!(times[0] < times[1] && times[2] == times[3], "{times:?}");
    assert_eq!(live.exited(), 0);
}

#[test]
fn what_is_too_large_for_a_datagram_comes_as_a_file() {
    requires!(root, stake, busybox_image, limits);
    let mut scene = Scene::sh("echo one");
    let journal = Journal::of(&mut scene);
    let Log::Journald(order) = &mut scene.order.log else { unreachable!() };
    let label = "x".repeat(400_000);
    order.fields.insert("LABEL".into(), label.clone());
    let mut live = scene.run();
    let (entry, as_file) = journal.next();
    assert!(as_file && entry["MESSAGE"] == b"one" && entry["LABEL"] == label.as_bytes());
    assert_eq!(live.exited(), 0);
}

#[test]
fn a_journal_that_is_not_there_is_told_when_the_container_is_made() {
    requires!(root, stake, busybox_image, limits);
    let mut scene = Scene::sh("echo never");
    let journal = Journal::of(&mut scene);
    std::fs::remove_file(&journal.path).unwrap();
    let mut live = scene.launch();
    let said = format!("{:?}", live.hear());
    assert!(said.contains("the journal does not answer at") && said.contains("No such file"), "{said}");
    assert_eq!(live.end(), Some(0));
}

#[test]
fn a_journal_that_was_away_is_told_what_it_missed() {
    requires!(root, stake, busybox_image, limits);
    let mut scene = Scene::sh("while read line; do echo $line; done");
    let mut journal = Journal::of(&mut scene);
    let mut live = scene.run();
    let client = live.attach();
    let say = |word: &str| {
        client.send(&stockade_monitor::frame::Frame::Input(format!("{word}\n").as_bytes()));
        client.until(word);
    };
    say("one");
    assert_eq!(journal.text("MESSAGE"), "one");
    std::fs::remove_file(&journal.path).unwrap();
    journal.socket = rustix::io::dup(&client.0).unwrap();
    say("two");
    say("three");
    journal.socket = bound(&journal.path);
    say("four");
    let gap = journal.next().0;
    let message = String::from_utf8_lossy(&gap["MESSAGE"]).into_owned();
    assert!(message.starts_with("stockade: 2 lines are missing here: "), "{message}");
    assert_eq!(gap["STOCKADE_LOST"], b"2");
    assert_eq!(journal.text("MESSAGE"), "four");
    client.send(&stockade_monitor::frame::Frame::InputEnd);
    assert_eq!((client.rest().code, live.end()), (Some(0), Some(0)));
    let troubles = live.troubles();
    assert!(troubles.contains("output is lost to the log") && troubles.lines().count() == 1, "{troubles}");
}

#[test]
fn a_slow_journal_is_waited_for_and_clients_are_served() {
    requires!(root, stake, busybox_image, limits);
    const LAST: usize = 20_000;
    let mut scene = Scene::sh(&format!("trap 'exit 8' TERM; seq 1 {LAST}; echo done; read line"));
    let journal = Journal::of(&mut scene);
    let mut live = scene.launch();
    live.created();
    let client = live.attach();
    live.start();
    client.until("1\n");
    // The journal takes nothing; whoever comes is still answered.
    let other = live.attach();
    other.send_raw(b"?");
    assert_eq!(other.next(), None);
    for number in 1..=LAST {
        assert_eq!(journal.text("MESSAGE"), number.to_string());
    }
    assert_eq!(journal.text("MESSAGE"), "done");
    client.send(&stockade_monitor::frame::Frame::Input(b"\n"));
    assert_eq!(client.rest().code, Some(0));
    assert_eq!(live.exited(), 0);
}

#[test]
fn a_journal_that_stands_still_does_not_keep_a_container_from_ending() {
    requires!(root, stake, busybox_image, limits);
    let mut scene = Scene::sh("seq 1 20000");
    let journal = Journal::of(&mut scene);
    let mut live = scene.run();
    std::thread::sleep(Duration::from_millis(300));
    live.signal_monitor(rustix::process::Signal::TERM);
    eventually("the first process to be asked", LIMIT, || live.child.try_wait().unwrap().is_none());
    live.scene.bundle.call(&["kill", live.scene.bundle.id(), "KILL"]).run().ok();
    assert_eq!(live.end(), Some(0));
    let troubles = live.troubles();
    assert!(troubles.contains("output is lost to the log"), "{troubles}");
    drop(journal);
}
