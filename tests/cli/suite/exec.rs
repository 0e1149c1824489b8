//! `exec`: one more process in a container, within the walls of the first.

use std::time::Duration;

use stockade_testkit::{Pty, Stockade, eventually, requires};

const SOON: Duration = Duration::from_secs(20);

/// The status lines that tell how a process is confined.
const WALLS: &str = "grep -E '^(Cap|Seccomp|NoNewPrivs|Groups)' /proc/self/status; for n in cgroup ipc mnt net pid user uts; do \
    readlink /proc/self/ns/$n; done; cat /proc/self/cgroup; cat /proc/self/attr/current 2>/dev/null; ulimit -n";

/// A container that runs, and what its first process says of its walls.
fn container(stockade: &Stockade, flags: &[&str]) -> (String, String) {
    let id = stockade.detached(flags, &["sh", "-c", &format!("{{ {WALLS}; }} > /dev/shm/walls; exec sleep 1000")]);
    eventually("the container to have told its walls", SOON, || {
        stockade.ask(&["exec", &id, "sh", "-c", "[ $(cat /proc/1/comm) = sleep ]"]).code() == 0
    });
    let walls = stockade.ask(&["exec", &id, "cat", "/dev/shm/walls"]).ok().out().to_owned();
    (id, walls)
}

#[test]
fn the_walls_are_those_of_the_first_process() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    for flags in [
        &[][..],
        &["--userns", "host"],
        &["--cap-drop", "ALL", "--cap-add", "CHOWN", "--security-opt", "no-new-privileges", "--ulimit", "nofile=77"],
        &["--user", "1000:2000", "--group-add", "7"],
        &["--security-opt", "seccomp=unconfined", "--pids-limit", "50", "--memory", "64m"],
    ] {
        let (id, walls) = container(&stockade, flags);
        assert!(walls.contains("CapBnd") && walls.contains("user:["), "{walls}");
        assert_eq!(stockade.ask(&["exec", &id, "sh", "-c", WALLS]).ok().out(), walls, "{flags:?}");
        stockade.ask(&["rm", "-f", &id]).ok();
    }
    stockade.assert_gone();
}

#[test]
fn exit_codes_are_dockers() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&[], &["sleep", "1000"]);
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143)] {
        stockade.ask(&["exec", &id, "sh", "-c", script]).exits(code);
    }
    stockade.ask(&["exec", &id, "no-such-program"]).exits(127).refuses(&["no-such-program"]);
    stockade.ask(&["exec", &id, "/etc"]).exits(126);
    stockade.ask(&["exec", "no-such-container", "true"]).exits(1).refuses(&["no-such-container"]);
    stockade.ask(&["exec", &id]).refuses(&["COMMAND"]);
    stockade.ask(&["exec", "-w", "relative", &id, "true"]).refuses(&["relative"]);
    stockade.ask(&["exec", "-u", "nobody-knows-him", &id, "true"]).refuses(&["nobody-knows-him"]);
    stockade.ask(&["kill", &id]).ok();
    stockade.until(&id, "exited");
    stockade.ask(&["exec", &id, "true"]).exits(1).refuses(&["not running"]);
}

#[test]
fn what_is_asked_for_is_what_it_gets() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&["-e", "A=container", "-e", "B=container", "-w", "/tmp"], &["sleep", "1000"]);
    let said = |flags: &[&str], script: &str| {
        let line = [&["exec"], flags, &[&id, "sh", "-c", script]].concat();
        stockade.ask(&line).ok().out().to_owned()
    };
    assert_eq!(said(&[], "pwd; echo $A $B"), "/tmp\ncontainer container");
    assert_eq!(said(&["-e", "B=mine", "-w", "/usr"], "pwd; echo $A $B"), "/usr\ncontainer mine");
    assert_eq!(
        said(&["-u", "1234:567"], "id -u; id -g; grep CapEff /proc/self/status"),
        "1234\n567\nCapEff:\t0000000000000000"
    );
    // The container's own files of now.
    said(&[], "echo someone:x:77:78::/:/bin/sh >> /etc/passwd; echo many:x:99:someone >> /etc/group");
    assert_eq!(said(&["-u", "someone"], "id -u; id -g; id -G"), "77\n78\n78 99");
    let bound = said(&["--privileged"], "grep CapBnd /proc/self/status; grep -c 2 /proc/self/status > /dev/null");
    assert_ne!(bound, said(&[], "grep CapBnd /proc/self/status"));
    assert_eq!(said(&[], "ls -l /proc/self/fd | grep -c -- '->'"), "3", "the three streams");
}

#[test]
fn streams_are_the_callers_and_apart() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&[], &["sleep", "1000"]);
    let done = stockade.ask(&["exec", &id, "sh", "-c", "echo out; echo err >&2"]).ok();
    assert_eq!((done.stdout.trim(), done.stderr.trim()), ("out", "err"));
    let bytes = vec![b'x'; 3 << 20];
    let done = stockade.call(&["exec", "-i", &id, "cat"]).stdin(&bytes).run().ok();
    assert_eq!(done.stdout.len(), bytes.len());
    // Without -i it reads end of file at once.
    assert_eq!(stockade.call(&["exec", &id, "cat"]).stdin(b"lost").run().ok().stdout, "");
    // It is in the container's log as little as in Docker's.
    assert_eq!(stockade.ask(&["logs", &id]).ok().stdout, "");
}

#[test]
fn detached_it_runs_on_and_is_listed_until_its_end() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&[], &["sleep", "1000"]);
    let execs = || stockade.inspect(&id, "{{json .ExecIDs}}");
    assert_eq!(execs(), "null");
    assert_eq!(stockade.ask(&["exec", "-d", &id, "sh", "-c", "echo there > /file; sleep 1000"]).ok().stdout, "");
    eventually("its file", SOON, || stockade.ask(&["exec", &id, "cat", "/file"]).stdout == "there\n");
    assert_eq!(execs().matches('"').count(), 2, "{}", execs());
    stockade.ask(&["exec", &id, "sh", "-c", "kill $(pidof sleep | tr ' ' '\\n' | grep -v '^1$')"]).either_way();
    eventually("no process beside the first", SOON, || execs() == "null");
    stockade.ask(&["exec", "-d", &id, "no-such-program"]).exits(127);
}

/// Who is attached by a terminal.
fn typing(stockade: &Stockade, id: &str, flags: &[&str], command: &[&str]) -> Pty {
    let mut line = stockade.command_line();
    line.extend([&["exec"], flags, &[id], command].concat().iter().map(|word| (*word).to_owned()));
    Pty::start(&line)
}

#[test]
fn a_terminal_of_its_own() {
    requires!(root, stockade, busybox_packed, setsid);
    let stockade = Stockade::new();
    let id = stockade.detached(&[], &["sleep", "1000"]);
    let mut pty = typing(&stockade, &id, &["-it"], &["sh"]);
    pty.expect("# ");
    pty.send("tty; stty size; echo $TERM\r");
    pty.expect("/dev/pts/0");
    pty.expect("24 80");
    pty.expect("xterm");
    pty.resize(30, 100);
    pty.send("sleep 0.5; stty size\r");
    pty.expect("30 100");
    // Said by the process that is to be interrupted: the shell itself does not end by it.
    pty.send("sh -c 'echo be\"\"gun; exec sleep 1000'\r");
    pty.expect("begun");
    pty.send("\u{3}");
    pty.send("exit 5\r");
    assert_eq!(pty.wait().0.code(), Some(5));
    let modes = pty.modes();
    assert!(modes.local_modes.contains(rustix::termios::LocalModes::ICANON), "{modes:?}");
    // Detached from, it runs on.
    let mut pty = typing(&stockade, &id, &["-it"], &["sh", "-c", "echo ready; read a; sleep 1000"]);
    pty.expect("ready");
    pty.send("\u{10}\u{11}");
    assert_eq!(pty.wait().0.code(), Some(0));
    assert_eq!(stockade.inspect(&id, "{{json .ExecIDs}}").matches('"').count(), 2);
}

#[test]
fn signals_go_to_the_process_and_a_killed_caller_leaves_no_stream() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&[], &["sleep", "1000"]);
    let script = "trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let running = stockade.call(&["exec", &id, "sh", "-c", script]).start();
    eventually("the trap", SOON, || running.stdout_so_far().contains("ready"));
    running.signal(rustix::process::Signal::TERM);
    let done = running.wait().exits(9);
    assert!(done.stdout.contains("term"), "{done:?}");
    // A caller that is killed: the process meets end of file and a broken pipe.
    let running = stockade
        .call(&["exec", "-i", &id, "sh", "-c", "echo ready; cat > /read; echo gone; echo after > /after"])
        .start();
    eventually("the process", SOON, || running.stdout_so_far().contains("ready"));
    running.signal(rustix::process::Signal::KILL);
    running.wait().either_way();
    eventually("its end", SOON, || stockade.inspect(&id, "{{json .ExecIDs}}") == "null");
}

#[test]
fn a_container_that_ends_takes_it_along() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    for flags in [&[][..], &["--pid", "host"]] {
        let id = stockade.detached(flags, &["sleep", "1000"]);
        let running = stockade.call(&["exec", &id, "sh", "-c", "echo ready; sleep 1000"]).start();
        eventually("the process", SOON, || running.stdout_so_far().contains("ready"));
        stockade.ask(&["kill", &id]).ok();
        running.wait().exits(137);
        stockade.until(&id, "exited");
        stockade.ask(&["rm", &id]).ok();
    }
    stockade.assert_gone();
}

/// CVE-2024-21626 and CVE-2016-9962, by the engine's way: nothing of the host's is open in it, and nothing that the container does to
/// its own files leads the lookup of a user outside.
#[test]
fn nothing_of_the_hosts_leaks_in() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&["--userns", "host"], &["sleep", "1000"]);
    let script = "ls -l /proc/self/fd /proc/$PPID/fd 2>/dev/null; readlink /proc/self/cwd; env";
    let said = stockade.ask(&["exec", &id, "sh", "-c", script]).ok().stdout;
    let folder = stockade.folder().display().to_string();
    for word in [folder.as_str(), "/run/stockade", "STOCKADE", "socket:"] {
        assert!(!said.contains(word), "{word}: {said}");
    }
    for cwd in ["/proc/self/fd/7", "/proc/1/root/proc/self/fd/3", "/proc/self/cwd/../../.."] {
        let done = stockade.ask(&["exec", "-w", cwd, &id, "sh", "-c", "ls -d etc/hostname ../etc/shadow 2>&1; pwd -P"]);
        assert!(done.code() != 0 || done.stdout.ends_with("/\n"), "{cwd}: {done:?}");
    }
    // A file of users that is a link to the host's, a pipe, a device, or endless.
    for make in
        ["ln -sf /proc/1/root/../../etc/passwd", "ln -sf ../../../../../../etc/shadow", "mkfifo", "ln -sf /dev/zero"]
    {
        stockade.ask(&["exec", &id, "sh", "-c", &format!("rm -f /etc/passwd; {make} /etc/passwd")]).ok();
        stockade
            .call(&["exec", "-u", "daemon-of-the-host", &id, "id"])
            .limit(SOON)
            .run()
            .refuses(&["daemon-of-the-host"]);
    }
}
