//! Standard input: who may write it, and who ends it.

use std::time::Duration;

use stockade_monitor::frame::{Frame, LONGEST};
use stockade_monitor::order::Stdin;
use stockade_monitor::state::Phase;
use stockade_testkit::requires;

use crate::scene::Scene;

#[test]
fn it_is_open_until_the_first_client_ends_it() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::sh("cat; echo ended").launch();
    live.created();
    let (first, second) = (live.attach(), live.attach());
    live.start();
    first.send(&Frame::Input(b"one\n"));
    first.until("one");
    second.send(&Frame::Input(b"two\n"));
    second.until("two");
    second.send(&Frame::InputEnd);
    drop(second);
    std::thread::sleep(Duration::from_millis(200));
    assert!(matches!(live.phase(), Phase::Running { .. }));
    first.send(&Frame::Input(b"three\n"));
    first.send(&Frame::InputEnd);
    assert_eq!(first.rest().output, b"two\nthree\nended\n");
    assert_eq!(live.exited(), 0);
}

#[test]
fn who_goes_away_ends_it_and_what_was_sent_before_arrives() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::sh("cat | wc -c").run();
    let client = live.attach();
    let most = vec![b'x'; LONGEST - 1];
    for _ in 0..20 {
        client.send(&Frame::Input(&most));
    }
    drop(client);
    assert_eq!(live.exited(), 0);
    assert_eq!(live.logged("stdout").trim(), (20 * (LONGEST - 1)).to_string());
}

#[test]
fn much_input_goes_through_unchanged() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::sh("md5sum").launch();
    live.created();
    let client = live.attach();
    live.start();
    let bytes: Vec<u8> = (0..5u32 << 20).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for piece in bytes.chunks(LONGEST - 1) {
        client.send(&Frame::Input(piece));
    }
    client.send(&Frame::InputEnd);
    let file = live.folder.join("input");
    std::fs::write(&file, &bytes).unwrap();
    let expected = std::process::Command::new("md5sum").arg(&file).output().unwrap().stdout;
    assert_eq!(client.rest().output[..32], expected[..32]);
    assert_eq!(live.exited(), 0);
}

#[test]
fn open_input_is_ended_by_no_client() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::sh("while read line; do echo \"got $line\"; [ $line = stop ] && exit 4; done; exit 5")
        .stdin(Stdin::Open)
        .run();
    for word in ["one\n", "two\n"] {
        let client = live.attach();
        client.send(&Frame::Input(word.as_bytes()));
        client.until(word);
        client.send(&Frame::InputEnd);
    }
    live.attach().send(&Frame::Input(b"stop\n"));
    assert_eq!(live.exited(), 4);
}

#[test]
fn closed_input_is_at_its_end_at_once() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::sh("cat; readlink /proc/self/fd/0").stdin(Stdin::Closed).launch();
    live.created();
    let client = live.attach();
    client.send(&Frame::Input(b"for nobody"));
    live.start();
    assert_eq!(client.rest().output, b"/dev/null\n");
    assert_eq!(live.exited(), 0);
}
