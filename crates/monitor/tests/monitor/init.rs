//! `stockade-init`, on the host and as the first process of a container.

use std::process::Command;

use rustix::process::{Pid, Signal};
use stockade_monitor::frame::Frame;
use stockade_testkit::{Bundle, Call, eventually, requires};

use crate::scene::{LIMIT, Scene};

const INIT: &str = env!("CARGO_BIN_EXE_stockade-init");

fn init(arguments: &[&str]) -> Call {
    Call::new(INIT).args(arguments)
}

#[test]
fn the_exit_code_is_the_programs() {
    init(&["--", "true"]).run().exits(0);
    init(&["--", "/bin/sh", "-c", "exit 42"]).run().exits(42);
    init(&["--", "sh", "-c", "kill -9 $$"]).run().exits(137);
    init(&["--", "sh", "-c", "kill -34 $$"]).run().exits(162);
}

#[test]
fn programs_that_can_not_be_executed_have_the_shells_codes() {
    init(&["--", "no-such-program"]).run().exits(127).refuses(&["exec \"no-such-program\""]);
    init(&["--", "/no/such"]).run().exits(127).refuses(&["exec \"/no/such\""]);
    init(&["--", "/etc"]).run().exits(126).refuses(&["exec \"/etc\""]);
    init(&["--", "/etc/passwd"]).run().exits(126).refuses(&["exec \"/etc/passwd\""]);
}

#[test]
fn usage_is_one_line() {
    for arguments in [&[][..], &["--"], &["true"], &["-x", "true"]] {
        let finished = init(arguments).run().exits(125);
        assert_eq!(finished.stderr, "usage: stockade-init -- PROGRAM [ARGUMENT...]\n");
    }
}

#[test]
fn signals_are_sent_on_and_not_obeyed() {
    let script = "trap 'echo hup' HUP; trap 'echo usr2' USR2; trap 'echo rt' 36; trap 'echo term; exit 3' TERM; \
                  echo ready; while :; do sleep 0.02; done";
    let running = init(&["--", "bash", "-c", script]).start();
    eventually("the program to be ready", LIMIT, || running.stdout_so_far().contains("ready"));
    let pid = Pid::from_raw(running.pid()).unwrap();
    for (signal, word) in [("HUP", "hup"), ("USR2", "usr2"), ("36", "rt")] {
        let sent = Command::new("bash").args(["-c", &format!("kill -{signal} {}", running.pid())]).status().unwrap();
        assert!(sent.success());
        eventually(word, LIMIT, || running.stdout_so_far().contains(word));
    }
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert!(running.wait().exits(3).stdout.contains("term"));
}

#[test]
fn the_program_is_given_a_clean_signal_mask_and_a_group_of_its_own() {
    // Not by a shell, some of which clear the mask themselves.
    let mask = init(&["--", "grep", "SigBlk", "/proc/self/status"]).run().exits(0);
    assert_eq!(mask.stdout, "SigBlk:\t0000000000000000\n");
    let finished = init(&["--", "cut", "-d ", "-f1,5", "/proc/self/stat"]).run().exits(0);
    let (pid, group) = finished.out().split_once(' ').unwrap();
    assert_eq!(pid, group);
}

/// A scene whose first process is the init, before `sh -c SCRIPT`.
fn with_init(script: &str, terminal: bool) -> Scene {
    let arguments = ["/sbin/stockade-init", "--", "/bin/sh", "-c", script];
    let bundle = Bundle::busybox().args(&arguments).edit(|config| config["process"]["terminal"] = terminal.into());
    Scene::new(bundle.mount("bind", INIT, "/sbin/stockade-init", &["bind", "ro"]))
}

#[test]
fn in_a_container_it_is_the_first_process_and_reaps_orphans() {
    requires!(root, stake, busybox_image, limits);
    let script = "echo \"I am $$\"; for i in 1 2 3; do (sleep 0.01 & :); done; sleep 0.3; grep -l 'State:.Z' /proc/[0-9]*/status; exit 9";
    let mut live = with_init(script, false).launch();
    live.created();
    let client = live.attach();
    live.start();
    let heard = client.rest();
    let said = String::from_utf8(heard.output).unwrap();
    assert!(said.starts_with("I am ") && said != "I am 1\n" && said.lines().count() == 1, "{said}");
    assert_eq!(heard.code, Some(9));
    assert_eq!(live.exited(), 9);
}

#[test]
fn in_a_container_a_signal_without_a_handler_ends_the_program() {
    requires!(root, stake, busybox_image, limits);
    let mut live = with_init("echo ready; exec sleep 300", false).launch();
    live.created();
    let client = live.attach();
    live.start();
    // Before the init has its handlers the kernel keeps the signal from the first process of the namespace (pid_namespaces(7)).
    client.until("ready");
    client.send(&Frame::Signal(15));
    assert_eq!(live.exited(), 143);
}

#[test]
fn in_a_container_the_program_has_the_terminal() {
    requires!(root, stake, busybox_image, limits);
    // Reads at once: whoever is not in the foreground is stopped for that.
    for _ in 0..5 {
        let mut live = with_init("read line; echo \"got $line\"; trap 'echo interrupted; exit 4' INT; echo ready; while :; do sleep 0.02; done", true)
            .launch();
        live.created();
        let client = live.attach();
        live.start();
        client.send(&Frame::Input(b"typed\n"));
        client.until("ready");
        client.send(&Frame::Input(b"\x03"));
        assert_eq!(client.rest().code, Some(4));
        assert_eq!(live.exited(), 4);
    }
}
