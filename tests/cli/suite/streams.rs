//! Standard streams, signals and logs.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use stockade_testkit::{Stockade, eventually, requires};

/// Ten megabytes that are no text and never the same twice in a row.
fn bytes() -> Vec<u8> {
    let mut state: u32 = 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..10 << 20).map(|_| next()).collect()
}

#[test]
fn ten_megabytes_go_in_and_come_back_unchanged() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let sent = bytes();
    let line = stockade.command_line();
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).args(["run", "--rm", "-i", "--log-driver", "none", stockade.image(), "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let to_send = sent.clone();
    let writer = std::thread::spawn(move || input.write_all(&to_send));
    let mut received = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut received).unwrap();
    writer.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(received.len(), sent.len());
    assert!(received == sent, "the bytes are not the same");
    stockade.assert_gone();
}

#[test]
fn the_streams_stay_apart() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let done = stockade.sh(&[], "echo out; echo err >&2; exit 3").exits(3);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    // Without -i there is nothing to read.
    let done = stockade.run_call(&[], &["sh", "-c", "read line; echo [$line] $?"]).stdin(b"typed\n").run().ok();
    assert_eq!(done.out(), "[] 1");
    let done = stockade.run_call(&["-i"], &["sh", "-c", "read line; echo [$line] $?"]).stdin(b"typed\n").run().ok();
    assert_eq!(done.out(), "[typed] 0");
}

#[test]
fn signals_go_to_the_container() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::HUP, "HUP"), (Signal::USR1, "USR1")] {
        let script = format!("trap 'echo got {name}; exit 7' {name}; echo ready; while :; do sleep 0.05; done");
        let running = stockade.run_started(&[], &["sh", "-c", &script]);
        eventually("the trap to be set", Duration::from_secs(30), || running.stdout_so_far().contains("ready"));
        running.signal(signal);
        let done = running.wait().exits(7);
        assert!(done.stdout.ends_with(&format!("got {name}\n")), "{done:?}");
    }
    stockade.assert_gone();
}

#[test]
fn logs_are_what_was_written() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let script = "echo one; echo two >&2; echo three; printf four; sleep 0.3; echo; echo five";
    let id = stockade.detached(&["--name", "writer"], &["sh", "-c", script]);
    let followed = stockade.ask(&["logs", "-f", "writer"]).ok();
    assert_eq!((followed.stdout.as_str(), followed.stderr.as_str()), ("one\nthree\nfour\nfive\n", "two\n"));
    let done = stockade.ask(&["logs", &id]).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("one\nthree\nfour\nfive\n", "two\n"));
    let tail = stockade.ask(&["logs", "--tail", "1", "writer"]).ok();
    assert_eq!(tail.stdout, "five\n");
    let times = stockade.ask(&["logs", "-t", "-n", "1", "writer"]).ok();
    let (time, text) = times.out().split_once(' ').unwrap();
    assert!(time.ends_with('Z') && time.contains('T') && text == "five", "{times:?}");
    let silent = stockade.detached(&["--log-driver", "none"], &["true"]);
    stockade.ask(&["logs", &silent]).exits(1).refuses(&["configured logging driver does not support reading"]);
}

#[test]
fn attach_to_what_runs() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&["-i"], &["cat"]);
    let attached = stockade.call(&["attach", &id]).stdin(b"said later\n").start();
    eventually("the answer", Duration::from_secs(30), || attached.stdout_so_far().contains("said later"));
    stockade.ask(&["kill", &id]).ok();
    attached.wait().exits(137);
    stockade.ask(&["attach", &id]).exits(1).refuses(&["not running"]);
}

#[test]
fn only_what_is_attached_is_seen() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    for (flags, out, err) in [
        (&["-a", "stdout"][..], "out\n", ""),
        (&["--attach=stderr"], "", "err\n"),
        (&["-a", "stdout", "-a", "STDERR"], "out\n", "err\n"),
    ] {
        let done = stockade.sh(flags, "echo out; echo err >&2; exit 3").exits(3);
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), (out, err), "{flags:?}");
    }
    // As in Docker, who only gives input is told the id, and goes when it ends.
    let words = ["run", "-i", "-a", "stdin", "--name", "fed", stockade.image(), "sh", "-c", "cat; sleep 1000"];
    let done = stockade.call(&words).stdin(b"given\n").run().ok();
    let id = stockade.know(done.out());
    eventually("the input", Duration::from_secs(30), || stockade.ask(&["logs", "fed"]).ok().stdout == "given\n");
    assert_eq!(stockade.inspect("fed", "{{.State.Running}}"), "true");
    let attached = "{{.Config.AttachStdin}} {{.Config.AttachStdout}} {{.Config.AttachStderr}} {{.Config.StdinOnce}}";
    assert_eq!(stockade.inspect(&id, attached), "true false false true");
    stockade.run(&["-a", "stdlog"], &["true"]).exits(125).refuses(&["--attach", "stdin, stdout or stderr"]);
    stockade.run(&["-d", "-a", "stdout"], &["true"]).exits(125).refuses(&["cannot specify both --attach and --detach"]);
}

#[test]
fn who_attaches_sees_what_the_others_see_and_signals_are_whose_they_are() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let script = "trap 'echo got TERM' TERM; while :; do echo tick; sleep 0.05; done";
    let id = stockade.detached(&["-i"], &["sh", "-c", script]);
    let attach = |flags: &[&str]| {
        let words = [&["attach", "--no-stdin"], flags, &[&id]].concat();
        let attached = stockade.call(&words).start();
        eventually("it to be attached", Duration::from_secs(30), || attached.stdout_so_far().contains("tick"));
        attached
    };
    let watchers: Vec<_> = (0..5).map(|_| attach(&["--sig-proxy=false"])).collect();
    let (proxy, keeper) = (attach(&[]), attach(&["--sig-proxy=false"]));
    proxy.signal(Signal::TERM);
    for watcher in &watchers {
        eventually("the signal's trace", Duration::from_secs(30), || watcher.stdout_so_far().contains("got TERM"));
    }
    // Who keeps signals ends by them, and the container and the others go on.
    keeper.signal(Signal::TERM);
    keeper.wait().exits(128 + 15);
    stockade.ask(&["kill", &id]).ok();
    for watcher in watchers {
        watcher.wait().exits(137);
    }
    proxy.wait().exits(137);
}
