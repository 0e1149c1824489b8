//! Containers with a terminal.

use std::time::Duration;

use stockade_monitor::frame::Frame;
use stockade_monitor::order::Stdin;
use stockade_monitor::state::Phase;
use stockade_testkit::requires;

use crate::scene::Scene;

#[test]
fn it_echoes_has_a_size_and_its_output_is_one_stream() {
    requires!(root, stake, busybox_image, limits);
    let script = "echo ready; read line; stty size; echo \"err $line\" >&2; tty; exit 3";
    let mut live = Scene::terminal(script).launch();
    live.created();
    let client = live.attach();
    // Before the start, so that the program sees it from the beginning.
    client.send(&Frame::Resize { rows: 33, columns: 121 });
    live.start();
    client.until("ready\r\n");
    client.send(&Frame::Input(b"typed\n"));
    let heard = client.rest();
    let said = String::from_utf8(heard.output).unwrap();
    assert_eq!(said, "typed\r\n33 121\r\nerr typed\r\n/dev/pts/0\r\n");
    assert_eq!((heard.error.len(), heard.code), (0, Some(3)));
    assert_eq!(live.exited(), 3);
    assert!(live.logged("stdout").ends_with("err typed\r\n/dev/pts/0\r\n"));
    assert!(!live.folder.join("console.sock").exists());
}

#[test]
fn a_program_is_told_of_a_new_size() {
    requires!(root, stake, busybox_image, limits);
    let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.02; done";
    let mut live = Scene::terminal(script).launch();
    live.created();
    let client = live.attach();
    live.start();
    client.until("ready");
    client.send(&Frame::Resize { rows: 50, columns: 90 });
    client.until("50 90");
    assert_eq!(live.exited(), 0);
}

#[test]
fn control_c_is_a_signal_and_the_end_of_input_is_control_d() {
    requires!(root, stake, busybox_image, limits);
    // Not one long sleep: a shell that is interrupted before it has started that would sleep to the end.
    let script = "trap 'echo interrupted; heard=1' INT; echo ready; while test -z \"$heard\"; do sleep 0.05; done; cat; echo ended";
    let mut live = Scene::terminal(script).launch();
    live.created();
    let client = live.attach();
    live.start();
    client.until("ready");
    client.send(&Frame::Input(b"\x03"));
    client.until("interrupted");
    client.send(&Frame::InputEnd);
    client.until("ended");
    assert_eq!(live.exited(), 0);
}

#[test]
fn who_leaves_a_terminal_can_come_back() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::terminal("while read line; do echo \"got <$line>\"; done").run();
    for word in ["one", "two"] {
        let client = live.attach();
        client.send(&Frame::Input(format!("{word}\n").as_bytes()));
        client.until(&format!("got <{word}>"));
        drop(client);
        std::thread::sleep(Duration::from_millis(100));
        assert!(matches!(live.phase(), Phase::Running { .. }));
    }
    let client = live.attach();
    client.send(&Frame::InputEnd);
    assert_eq!(client.rest().code, Some(0));
    assert_eq!(live.exited(), 0);
}

#[test]
fn a_terminal_that_nobody_has_open_for_a_while_is_not_at_its_end() {
    requires!(root, stake, busybox_image, limits);
    let script = "echo before; exec 0<&- 1>&- 2>&-; sleep 0.3; exec 1>/dev/tty; echo after";
    let mut live = Scene::terminal(script).launch();
    live.created();
    let client = live.attach();
    live.start();
    assert_eq!(String::from_utf8(client.rest().output).unwrap(), "before\r\nafter\r\n");
    assert_eq!(live.exited(), 0);
}

#[test]
fn much_output_at_the_end_is_not_lost() {
    requires!(root, stake, busybox_image, limits);
    let mut live = Scene::terminal("seq 1 20000").stdin(Stdin::Closed).launch();
    live.created();
    let client = live.attach();
    live.start();
    let said = String::from_utf8(client.rest().output).unwrap();
    let expected = (1..=20_000).fold(String::new(), |text, number| text + &number.to_string() + "\r\n");
    assert!(said == expected, "{} of {} bytes", said.len(), expected.len());
    assert_eq!(live.exited(), 0);
    assert!(live.logged("stdout") == expected);
}

#[test]
fn the_console_socket_may_be_far_away() {
    requires!(root, stake, busybox_image, limits);
    let mut scene = Scene::terminal("tty");
    // The folder's path alone is longer than a socket's address.
    let far = scene.bundle.folder().join("f".repeat(120));
    std::fs::create_dir(&far).unwrap();
    scene.far = Some(far);
    let mut live = scene.run();
    assert_eq!(live.exited(), 0);
    assert_eq!(live.logged("stdout"), "/dev/pts/0\r\n");
}
