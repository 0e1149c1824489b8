//! Clients: what they are given, when they are slow, many, or hostile.

use std::time::Duration;

use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::net::SendFlags;
use stockade_kernel::fdpass;
use stockade_monitor::frame::{Frame, LONGEST};
use stockade_monitor::state::Phase;
use stockade_testkit::{eventually, requires};

use crate::scene::{LIMIT, Scene};

/// What `seq 1 LAST` writes.
fn numbers(last: u32) -> String {
    (1..=last).fold(String::new(), |text, number| text + &number.to_string() + "\n")
}

#[test]
fn ten_mebibytes_arrive_at_the_log_and_at_a_slow_client() {
    requires!(root, stake, busybox_image, limits);
    const LAST: u32 = 1_500_000;
    let mut live = Scene::sh(&format!("seq 1 {LAST}; echo end >&2")).launch();
    live.created();
    let (slow, quick) = (live.attach(), live.attach());
    live.start();
    let reader = std::thread::spawn(move || quick.rest());
    let mut packets = 0;
    let heard = slow.rest_slowly(|| {
        packets += 1;
        if packets % 50 == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let expected = numbers(LAST);
    assert!(expected.len() > 10 << 20);
    assert_eq!((heard.error.as_slice(), heard.code), (&b"end\n"[..], Some(0)));
    assert!(heard.output == expected.as_bytes());
    assert!(reader.join().unwrap() == heard);
    assert_eq!(live.exited(), 0);
    assert!(live.logged("stdout") == expected);
    assert_eq!(live.logged("stderr"), "end\n");
}

#[test]
fn output_waits_for_a_client_that_does_not_take_it() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::sh("i=0; while [ $i -lt 100 ]; do seq 1 9999; i=$((i+1)); done; echo through >&2").launch();
    live.created();
    let (stuck, other) = (live.attach(), live.attach());
    live.start();
    let most = 100 * numbers(9999).len() as u64;
    // Long enough for all of it to be logged, if nobody waited.
    std::thread::sleep(Duration::from_millis(700));
    let logged = live.logged("stdout").len() as u64;
    assert!(logged > 0 && logged < most, "{logged} of {most}");
    assert!(matches!(live.phase(), Phase::Running { .. }));
    // Without it everything goes on.
    drop(stuck);
    let heard = other.rest();
    assert_eq!((heard.output.len() as u64, heard.code), (most, Some(0)));
    assert_eq!(live.exited(), 0);
    assert_eq!(live.logged("stdout").len() as u64, most);
}

#[test]
fn who_looks_on_and_falls_asleep_is_dropped_and_the_container_goes_on() {
    requires!(root, stake, busybox_image, limits);
    let script = "read go; i=0; while [ $i -lt 60 ]; do seq 1 9999; i=$((i+1)); done; echo through >&2; exit 4";
    let mut live = Scene::sh(script).launch();
    live.created();
    let first = live.attach();
    live.start();
    let (asleep, awake) = (live.attach(), live.attach());
    first.send(&Frame::Input(b"\n"));
    let readers = [first, awake].map(|client| std::thread::spawn(move || client.rest()));
    let most = 60 * numbers(9999).len();
    for reader in readers {
        let heard = reader.join().unwrap();
        assert_eq!((heard.output.len(), heard.error.as_slice(), heard.code), (most, &b"through\n"[..], Some(4)));
    }
    // What was sent to it is whole, and then the connection is at its end, without the container's.
    let heard = asleep.rest();
    assert!(heard.output.len() < most && heard.code.is_none());
    assert_eq!(live.exited(), 4);
    assert_eq!(live.logged("stdout").len(), most);
}

#[test]
fn a_client_that_sleeps_at_the_end_keeps_neither_record_nor_lock_and_gets_the_rest() {
    requires!(root, stake, busybox_image, limits);
    let scene = Scene::sh("seq 1 40000; exit 3");
    let left = scene.folder().join("left");
    let mut live = scene.on_exit(&format!("echo left >{}", left.display())).launch();
    live.created();
    let asleep = live.attach();
    live.start();
    eventually("the end to be recorded", LIMIT, || matches!(live.phase(), Phase::Exited { code: 3, .. }));
    eventually("the lock to be free", LIMIT, || live.is_unlocked());
    eventually("the end to be followed", LIMIT, || live.text("left") == "left\n");
    live.scene.bundle.call(&["state", live.scene.bundle.id()]).run().refuses(&["exist"]);
    let heard = asleep.rest();
    assert!(heard.output == numbers(40_000).as_bytes());
    assert_eq!(heard.code, Some(3));
    assert_eq!(live.exited(), 3);
    assert!(live.logged("stdout") == numbers(40_000));
}

#[test]
fn clients_that_misbehave_are_dropped_and_nothing_else() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::sh("read line; echo \"got $line\"").run();
    let good = live.attach();
    let oversize = vec![b'i'; LONGEST + 1];
    let wrong: [&[u8]; 10] = [
        b"?unknown",
        b"",
        b"e1",
        b"w12",
        b"s",
        &oversize,
        &Frame::Output(b"forged").encode(),
        &Frame::Exited(0).encode(),
        &Frame::Signal(0).encode(),
        &Frame::Signal(65).encode(),
    ];
    for packet in wrong {
        let client = live.attach();
        client.send_raw(packet);
        assert_eq!(client.next(), None, "{:?}", &packet[..packet.len().min(8)]);
    }
    // Descriptors are closed, whatever they come with.
    let client = live.attach();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    fdpass::send(&client.0, &Frame::Resize { rows: 1, columns: 1 }.encode(), &[writer.as_fd()]).unwrap();
    drop(writer);
    assert_eq!(rustix::io::read(&reader, &mut [0; 1][..]), Ok(0));
    good.send(&Frame::Input(b"it\n"));
    let heard = good.rest();
    assert_eq!((heard.output.as_slice(), heard.code), (&b"got it\n"[..], Some(0)));
    assert_eq!(live.exited(), 0);
}

#[test]
fn more_clients_than_there_is_room_for_are_turned_away() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::sh("read line; echo \"got $line\"").run();
    let clients: Vec<_> = (0..128).map(|_| live.attach()).collect();
    assert_eq!(live.attach().next(), None);
    clients[127].send(&Frame::Input(b"it\n"));
    for client in &clients {
        assert_eq!(client.rest().output, b"got it\n");
    }
    assert_eq!(live.exited(), 0);
}

#[test]
fn a_flood_is_held_back_and_others_are_served() {
    requires!(root, stake, busybox_image, limits);
    // Nobody reads standard input.
    let mut live = Scene::sh("trap 'echo bye; exit 8' TERM; echo ready; while :; do sleep 0.05; done").launch();
    live.created();
    let other = live.attach();
    live.start();
    other.until("ready");
    let flood = live.attach();
    let packet = Frame::Input(&[b'x'; LONGEST - 1]).encode();
    let mut sent = 0usize;
    loop {
        match rustix::net::send(&flood.0, &packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(length) => sent += length,
            Err(errno) => {
                assert_eq!(errno, Errno::AGAIN);
                // What the monitor had not read yet may have been the reason.
                std::thread::sleep(Duration::from_millis(100));
                let again = rustix::net::send(&flood.0, &packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
                if again == Err(Errno::AGAIN) {
                    break;
                }
                sent += again.unwrap();
            }
        }
        assert!(sent < 4 << 20, "nobody holds the flood back");
    }
    other.send(&Frame::Signal(15));
    // The flooding client, whose packets nobody has read, is told of the end all the same.
    assert_eq!((other.rest().code, flood.rest().code), (Some(8), Some(8)));
    assert_eq!(live.exited(), 8);
}

#[test]
fn a_client_that_comes_late_gets_what_is_written_from_then_on() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::sh("echo early; read line; echo late; exit 1").launch();
    live.created();
    let first = live.attach();
    live.start();
    first.until("early");
    let second = live.attach();
    // Accepted before the container is woken: what it sends is in the same order.
    second.send(&Frame::Input(b"\n"));
    assert_eq!((first.rest().output, second.rest().output), (b"late\n".to_vec(), b"late\n".to_vec()));
    assert_eq!(live.exited(), 1);
}

#[test]
fn signals_of_clients_reach_the_first_process() {
    requires!(root, stake, busybox_image, limits);
    let script = "trap 'echo usr1' USR1; trap 'echo rt; exit 2' 35; echo ready; while :; do sleep 0.02; done";
    let mut live = Scene::sh(script).launch();
    live.created();
    let client = live.attach();
    live.start();
    client.until("ready");
    client.send(&Frame::Signal(10));
    client.until("usr1");
    client.send(&Frame::Signal(35));
    assert_eq!(client.rest().code, Some(2));
    assert_eq!(live.exited(), 2);
}
