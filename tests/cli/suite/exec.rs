//! `exec`: one more process in a container, behind the same walls, with streams of its own.

use std::time::Duration;

use rustix::process::Signal;
use stockade_testkit::call::eventually;
use stockade_testkit::{Pty, Stockade, requires};

/// A container that does nothing.
fn idle(stockade: &Stockade, flags: &[&str]) -> String {
    stockade.detached(flags, &["sleep", "1000"])
}

/// `exec FLAGS CONTAINER COMMAND` on a terminal.
fn on_terminal(stockade: &Stockade, words: &[&str]) -> Pty {
    let mut line = stockade.command_line();
    line.push("exec".to_owned());
    line.extend(words.iter().map(|word| (*word).to_owned()));
    Pty::start(&line)
}

#[test]
fn exit_codes_are_dockers() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = idle(&stockade, &[]);
    for code in [0, 1, 42, 125, 126, 127, 255] {
        stockade.ask(&["exec", &id, "sh", "-c", &format!("exit {code}")]).exits(code).either_way();
    }
    stockade.ask(&["exec", &id, "sh", "-c", "kill -9 $$"]).exits(137).either_way();
    stockade.ask(&["exec", &id, "no-such-program"]).exits(127).refuses(&["no-such-program"]);
    stockade.ask(&["exec", &id, "/etc/passwd"]).exits(126).refuses(&["/etc/passwd"]);
    stockade.ask(&["exec", "-d", &id, "no-such-program"]).exits(127).refuses(&["no-such-program"]);
    stockade.ask(&["exec", "nobody", "true"]).exits(1).refuses(&["no such container: nobody"]);
    stockade.ask(&["exec", "-w", "etc", &id, "true"]).exits(1).refuses(&["absolute"]);
    stockade.ask(&["exec", "--no-such-flag", &id, "true"]).exits(125).refuses(&["--no-such-flag"]);
    stockade.ask(&["kill", &id]).ok().either_way();
    stockade.ask(&["wait", &id]).ok().either_way();
    stockade.ask(&["exec", &id, "true"]).exits(1).refuses(&["is not running"]);
}

#[test]
fn the_streams() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = idle(&stockade, &[]);
    let done = stockade.ask(&["exec", &id, "sh", "-c", "echo out; echo err >&2"]).ok();
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    let text = "line\n".repeat(200_000);
    let done = stockade.call(&["exec", "-i", &id, "cat"]).stdin(text.as_bytes()).run().ok();
    assert!(done.stdout == text, "{} bytes came back", done.stdout.len());
    // Without -i nothing of the caller's is read.
    let done = stockade.call(&["exec", &id, "cat"]).stdin(b"secret").run().ok();
    assert_eq!(done.stdout, "");
    // A process that others write for after its end is not waited for forever.
    stockade.ask(&["exec", &id, "sh", "-c", "sleep 1000 & echo there"]).ok().either_way();
}

#[test]
fn who_and_where_and_with_what() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = idle(&stockade, &["-e", "A=1", "-e", "B=2", "-w", "/etc", "--group-add", "77"]);
    let ask = |words: &[&str]| stockade.call(&["exec"]).args(words).env("HIDDEN", "secret").run();
    let who = "echo $(id -u) $(id -g) $(grep Groups /proc/self/status | cut -f2)";
    assert_eq!(ask(&[&id, "pwd"]).ok().out(), "/etc");
    assert_eq!(ask(&["-w", "/bin", &id, "pwd"]).ok().out(), "/bin");
    assert_eq!(ask(&[&id, "sh", "-c", who]).ok().out(), "0 0 0 77");
    assert_eq!(ask(&["-u", "user", &id, "sh", "-c", who]).ok().out(), "1000 1000 77 1000 2000");
    assert_eq!(ask(&["-u", "1234:4321", &id, "sh", "-c", who]).ok().out(), "1234 4321 77 4321");
    let environment = ask(&["-e", "B=3", &id, "env"]).ok();
    assert!(environment.stdout.contains("A=1\n") && environment.stdout.contains("B=3\n"), "{environment:?}");
    assert!(!environment.stdout.contains("HIDDEN") && !environment.stdout.contains("B=2"), "{environment:?}");
    // The container's own files of now count, and only if they are files.
    ask(&[&id, "sh", "-c", "echo late:x:55:66::/:/bin/sh >> /etc/passwd"]).ok().either_way();
    assert_eq!(ask(&["-u", "late", &id, "sh", "-c", who]).ok().out(), "55 66 66 77");
    ask(&["-u", "nobody-here", &id, "true"]).exits(126).refuses(&["nobody-here"]);
    for trick in ["mkfifo /etc/passwd", "ln -s /proc/1/root/etc/passwd /etc/passwd; rm /etc/group; mkdir /etc/group"] {
        ask(&[&id, "sh", "-c", &format!("rm -f /etc/passwd; {trick}")]).ok().either_way();
        ask(&["-u", "late", &id, "true"]).exits(126).refuses(&["late"]);
    }
}

#[test]
fn the_walls_are_the_containers() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = idle(&stockade, &["--cap-drop", "MKNOD", "--security-opt", "no-new-privileges"]);
    let script = "for kind in cgroup ipc mnt net pid uts user; do readlink /proc/self/ns/$kind; done; \
                  grep -E '^(Cap|NoNew|Seccomp)' /proc/self/status; cat /proc/self/cgroup";
    let first = format!("{} ; sleep 1000", script.replace("/proc/self", "/proc/1"));
    let theirs = stockade.ask(&["exec", &id, "sh", "-c", &first.replace("; sleep 1000", "")]).ok();
    let own = stockade.ask(&["exec", &id, "sh", "-c", script]).ok();
    assert_eq!(own.stdout, theirs.stdout);
    // All capabilities, and nothing else more.
    let status = |flags: &[&str]| {
        let call =
            stockade.call(&["exec"]).args(flags).args([&id, "grep", "-E", "^(CapEff|Seccomp):", "/proc/self/status"]);
        call.run().ok().stdout
    };
    let privileged = status(&["--privileged"]);
    assert!(privileged.contains("Seccomp:\t2") && privileged != status(&[]), "{privileged}");
    let unprivileged = status(&["-u", "user"]);
    assert!(unprivileged.contains("CapEff:\t0000000000000000"), "{unprivileged}");
}

#[test]
fn nothing_of_the_caller_comes_along() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = idle(&stockade, &[]);
    let outside = stockade.folder().join("outside");
    std::fs::write(&outside, "host").unwrap();
    // A descriptor that is open at the caller (CVE-2024-21626), its folder, its terminal and its files as streams.
    let script = format!(
        "exec {} exec -i {id} sh -c '{}' 9<{path} <{path}",
        stockade.command_line().join(" "),
        "ls /proc/self/fd; for fd in 0 1 2; do readlink /proc/self/fd/$fd; done; readlink /proc/self/cwd",
        path = outside.display()
    );
    let done = stockade_testkit::call::Call::new("sh").args(["-c", &script]).within(stockade.folder()).run().ok();
    let lines: Vec<&str> = done.out().lines().collect();
    assert_eq!(lines[..4], ["0", "1", "2", "3"], "{lines:?}");
    assert!(lines[4..7].iter().all(|stream| stream.starts_with("pipe:")), "{lines:?}");
    assert_eq!(lines[7..], ["/"]);
    let mut pty = on_terminal(&stockade, &[&id, "sh", "-c", "tty; (: </dev/tty) || echo none"]);
    pty.expect("not a tty");
    pty.expect("none");
    assert!(pty.wait().0.success());
}

#[test]
fn detached() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = idle(&stockade, &[]);
    assert_eq!(stockade.inspect(&id, "{{json .ExecIDs}}"), "null");
    let done = stockade.ask(&["exec", "-d", &id, "sh", "-c", "while [ ! -e /go ]; do sleep 0.05; done; exit 3"]).ok();
    assert_eq!(done.stdout, "");
    let ids: Vec<String> = serde_json::from_str(&stockade.inspect(&id, "{{json .ExecIDs}}")).unwrap();
    assert!(ids.len() == 1 && ids[0].len() == 64, "{ids:?}");
    stockade.ask(&["exec", &id, "touch", "/go"]).ok().either_way();
    eventually("the process to end", Duration::from_secs(30), || stockade.inspect(&id, "{{json .ExecIDs}}") == "null");
    let folder = stockade.data().join("containers").join(&id);
    assert_eq!(std::fs::read_dir(folder.join("execs")).unwrap().count(), 0);
    assert!(!folder.join("monitor.log").exists());
}

#[test]
fn the_container_goes_on_whatever_becomes_of_the_command() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = idle(&stockade, &[]);
    // A signal goes to the process.
    let script = "trap 'echo got it; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let running = stockade.call(&["exec", &id, "sh", "-c", script]).start();
    eventually("it to run", Duration::from_secs(30), || running.stdout_so_far().contains("ready"));
    running.signal(Signal::TERM);
    let done = running.wait().exits(9);
    assert!(done.stdout.ends_with("got it\n"), "{done:?}");
    // A command that is killed leaves the process with streams that have hung up.
    let script = "touch /runs; while [ ! -e /go ]; do sleep 0.05; done; echo to nobody; touch /not";
    let running = stockade.call(&["exec", &id, "sh", "-c", script]).start();
    eventually("it to run", Duration::from_secs(30), || {
        stockade.ask(&["exec", &id, "test", "-e", "/runs"]).code() == 0
    });
    running.signal(Signal::KILL);
    running.wait().either_way();
    assert_ne!(stockade.inspect(&id, "{{json .ExecIDs}}"), "null");
    stockade.ask(&["exec", &id, "touch", "/go"]).ok().either_way();
    eventually("it to end", Duration::from_secs(30), || stockade.inspect(&id, "{{json .ExecIDs}}") == "null");
    stockade.ask(&["exec", &id, "test", "-e", "/not"]).exits(1).either_way();
    // The end of the container is the end of them all.
    let running = stockade.call(&["exec", &id, "sleep", "1000"]).start();
    eventually("it to run", Duration::from_secs(30), || stockade.inspect(&id, "{{json .ExecIDs}}") != "null");
    stockade.ask(&["kill", &id]).ok().either_way();
    running.wait().exits(137).either_way();
}

#[test]
fn a_terminal() {
    requires!(root, stockade, busybox_packed, setsid);
    let stockade = Stockade::new();
    let id = idle(&stockade, &[]);
    let mut pty = on_terminal(&stockade, &["-it", &id, "sh"]);
    pty.expect("# ");
    pty.send("tty; stty size; echo $TERM\r");
    pty.expect("/dev/pts/0");
    pty.expect("24 80");
    pty.expect("xterm");
    pty.resize(30, 100);
    pty.send("sleep 0.5; stty size\r");
    pty.expect("30 100");
    // The shell must be done with the line before it is interrupted.
    pty.send("echo $((6*7)); sleep 1000\r");
    pty.expect("42");
    pty.send("\u{3}");
    pty.expect("# ");
    pty.send("exit 5\r");
    assert_eq!(pty.wait().0.code(), Some(5));
    assert!(pty.modes().local_modes.contains(rustix::termios::LocalModes::ICANON));
    // Who detaches leaves it running, and its terminal with it.
    let mut pty = on_terminal(&stockade, &["-it", "--detach-keys", "ctrl-a,x", &id, "sh"]);
    pty.expect("# ");
    pty.send("while [ ! -e /go ]; do sleep 0.05; echo more; done; touch /done\r");
    pty.expect("more");
    pty.send("\u{1}x");
    assert_eq!(pty.wait().0.code(), Some(0));
    assert_ne!(stockade.inspect(&id, "{{json .ExecIDs}}"), "null");
    stockade.ask(&["exec", &id, "touch", "/go"]).ok().either_way();
    let there = || stockade.ask(&["exec", &id, "test", "-e", "/done"]).code() == 0;
    eventually("it to go on", Duration::from_secs(30), there);
    stockade.ask(&["exec", "-it", &id, "true"]).exits(1).refuses(&["the input device is not a TTY"]);
    stockade.ask(&["exec", "-dt", &id, "sh", "-c", "tty > /tty; sleep 1000"]).ok().either_way();
    eventually("the tty", Duration::from_secs(30), || {
        stockade.ask(&["exec", &id, "cat", "/tty"]).stdout.starts_with("/dev/pts/")
    });
}
