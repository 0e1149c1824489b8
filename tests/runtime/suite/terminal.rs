//! Terminals: the caller's own in the foreground, one that goes to a console socket, and the signals that come with them.

use serde_json::json;
use stockade_testkit::terminal::{Screen, edits_lines};
use stockade_testkit::{Bundle, Call, Running, requires};

/// A container with a terminal that runs `script`.
fn with_terminal(script: &str) -> Bundle {
    Bundle::busybox().sh(script).edit(|config| config["process"]["terminal"] = json!(true))
}

/// The call as the leader of a session with the terminal, as a shell would start it.
fn in_session(bundle: &Bundle, arguments: &[&str], terminal: rustix::fd::OwnedFd) -> Running {
    bundle.write();
    let call = Call::new("setsid").args(["--ctty", "--wait"]).arg(stockade_testkit::programs::runtime());
    call.arg("--root").arg(bundle.state_folder()).args(arguments).on_terminal(terminal).start()
}

/// `run` in the foreground on a terminal of 24 rows and 80 columns.
fn run_on_screen(bundle: &Bundle) -> (Screen, Running) {
    let (screen, terminal) = Screen::new(24, 80).unwrap();
    let folder = bundle.folder().to_str().unwrap().to_owned();
    let running = in_session(bundle, &["run", "--bundle", &folder, bundle.id()], terminal);
    (screen, running)
}

#[test]
fn the_callers_terminal_in_the_foreground() {
    requires!(root, runtime, busybox_image, setsid);
    let bundle = with_terminal("test -c /dev/console && tty; stty size; read line; echo got $line > /dev/tty; exit 7");
    let (mut screen, running) = run_on_screen(&bundle);
    screen.waits_for("24 80");
    screen.types("hello\r").unwrap();
    screen.waits_for("got hello");
    running.wait().exits(7);
    let shown = screen.to_the_end();
    // Echoed once, by the container's terminal: the caller's is raw meanwhile.
    assert_eq!(shown.matches("hello").count(), 2, "{shown:?}");
    bundle.assert_gone();
}

#[test]
fn the_terminal_gets_its_mode_back() {
    requires!(root, runtime, busybox_image, setsid);
    let bundle = with_terminal("echo ready; read line");
    let (mut screen, terminal) = Screen::new(24, 80).unwrap();
    let folder = bundle.folder().to_str().unwrap().to_owned();
    let copy = terminal.try_clone().unwrap();
    let running = in_session(&bundle, &["run", "--bundle", &folder, bundle.id()], copy);
    screen.waits_for("ready");
    assert!(!edits_lines(&terminal).unwrap());
    screen.types("\r").unwrap();
    running.wait().ok();
    assert!(edits_lines(&terminal).unwrap());
}

#[test]
fn a_new_size_arrives() {
    requires!(root, runtime, busybox_image, setsid);
    let bundle = with_terminal("trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done");
    let (mut screen, running) = run_on_screen(&bundle);
    screen.waits_for("ready");
    screen.resize(30, 100).unwrap();
    screen.waits_for("30 100");
    running.wait().ok();
}

#[test]
fn keys_are_signals_for_the_container() {
    requires!(root, runtime, busybox_image, setsid);
    for (key, signal) in [("\x03", "INT"), ("\x1c", "QUIT")] {
        let bundle = with_terminal(&format!("trap 'exit 9' {signal}; echo ready; while :; do sleep 0.05; done"));
        let (mut screen, running) = run_on_screen(&bundle);
        screen.waits_for("ready");
        screen.types(key).unwrap();
        running.wait().exits(9);
    }
    let bundle = with_terminal("echo ready; cat; exit 5");
    let (mut screen, running) = run_on_screen(&bundle);
    screen.waits_for("ready");
    screen.types("\x04").unwrap();
    running.wait().exits(5);
}

#[test]
fn a_terminal_that_hangs_up_ends_the_container() {
    requires!(root, stake, busybox_image, setsid);
    let bundle = with_terminal("trap 'exit 3' HUP; echo ready; while :; do sleep 0.05; done");
    let (mut screen, running) = run_on_screen(&bundle);
    screen.waits_for("ready");
    drop(screen);
    running.wait().either_way();
    bundle.assert_gone();
}

#[test]
fn a_payload_that_closes_its_terminal_is_waited_for_without_turning_in_circles() {
    requires!(root, runtime, busybox_image, setsid);
    let bundle = with_terminal("echo ready; exec sleep 1 <&- >&- 2>&-");
    let (mut screen, running) = run_on_screen(&bundle);
    screen.waits_for("ready");
    std::thread::sleep(std::time::Duration::from_millis(700));
    // proc_pid_stat(5): fields 14 and 15, hundredths of a second in user and in kernel mode.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", running.pid())).unwrap();
    let fields: Vec<u64> =
        stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2).map(|n| n.parse().unwrap()).collect();
    running.wait().ok();
    assert!(fields.iter().sum::<u64>() < 30, "{fields:?} hundredths of a second in 0.7 seconds of waiting");
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_container() {
    requires!(root, stake, busybox_image);
    let bundle = with_terminal("for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done; sleep 0.3; touch /done");
    bundle.write();
    let runtime = stockade_testkit::programs::runtime();
    let run = format!("{} --root {} run", runtime.display(), bundle.state_folder().display());
    let script = format!("{run} --bundle {} {} < /dev/null | head -1", bundle.folder().display(), bundle.id());
    Call::new("sh").args(["-c", &script]).run().ok();
    bundle.assert_gone();
    assert!(bundle.rootfs().join("done").exists());
}

#[test]
fn a_console_socket_gets_the_terminal() {
    requires!(root, runtime, busybox_image);
    let bundle = with_terminal("stty size; read line; echo got $line > /dev/tty");
    let bundle = bundle.edit(|config| config["process"]["consoleSize"] = json!({ "height": 30, "width": 100 }));
    let socket = bundle.folder().join("console");
    let create = || bundle.create_call(&["--console-socket", socket.to_str().unwrap()]).start();
    let (mut screen, creating) = Screen::received_at(&socket, create).unwrap();
    creating.wait().ok();
    bundle.start().ok();
    screen.waits_for("30 100");
    screen.types("hello\r").unwrap();
    screen.waits_for("got hello");
    bundle.until("stopped");
    bundle.delete().ok();
    bundle.assert_gone();
}

#[test]
fn a_terminal_and_a_console_socket_go_together() {
    requires!(root, stake, busybox_image);
    let bundle = with_terminal("true");
    bundle.create().refuses(&["console-socket"]);
    bundle.run_call(&["--detach"]).run().refuses(&["console-socket"]);
    bundle.create_call(&["--console-socket", "/no/socket"]).run().refuses(&["/no/socket"]);
    let plain = Bundle::busybox();
    let socket = plain.folder().join("console");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    plain.create_call(&["--console-socket", socket.to_str().unwrap()]).run().refuses(&["process.terminal"]);
    bundle.assert_gone();
    plain.assert_gone();
}

#[test]
fn a_terminal_of_exec() {
    requires!(root, runtime, busybox_image, setsid);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    let (mut screen, terminal) = Screen::new(25, 81).unwrap();
    let script = "tty; stty size; read line; echo got $line; exit 6";
    let exec = ["exec", "--tty", bundle.id(), "/bin/sh", "-c", script];
    let running = in_session(&bundle, &exec, terminal);
    screen.waits_for("/dev/pts/0");
    screen.waits_for("25 81");
    screen.types("x\r").unwrap();
    screen.waits_for("got x");
    running.wait().exits(6);
    let socket = bundle.folder().join("console");
    let options = ["--tty", "--detach", "--console-socket", socket.to_str().unwrap()];
    let start = || bundle.exec_call(&options, &["/bin/sh", "-c", "echo from there"]).start();
    let (mut screen, running) = Screen::received_at(&socket, start).unwrap();
    running.wait().ok();
    screen.waits_for("from there");
    bundle.exec_call(&["--tty", "--detach"], &["/bin/true"]).run().refuses(&["console"]);
}

#[test]
fn input_that_is_no_terminal_ends_the_payloads() {
    requires!(root, stake, busybox_image);
    let bundle = with_terminal("cat; echo over");
    let done = bundle.run_call(&[]).stdin(b"typed\n").run().ok();
    assert!(done.stdout.contains("typed") && done.stdout.contains("over"), "{done:?}");
}
