//! Who runs in the container, with what around it.

use stockade_testkit::{Stockade, requires};

#[test]
fn users_and_groups() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let script = "echo $(id -u) $(id -g) $(grep Groups /proc/self/status | cut -f2)";
    for (flags, expected) in [
        (&[][..], "0 0 0"),
        (&["-u", "user"], "1000 1000 1000 2000"),
        (&["-u", "1000"], "1000 1000 1000 2000"),
        (&["-u", "user:extra"], "1000 2000 2000"),
        (&["-u", "1234"], "1234 0 0"),
        (&["-u", "1234:4321"], "1234 4321 4321"),
        (&["-u", ":2000"], "0 2000 2000"),
        (&["-u", "user", "--group-add", "77"], "1000 1000 77 1000 2000"),
        (&["--group-add", "extra", "--group-add", "9"], "0 0 0 9 2000"),
    ] {
        assert_eq!(stockade.sh(flags, script).ok().out(), expected, "{flags:?}");
    }
    for (user, word) in
        [("nobody-here", "nobody-here"), ("4294967296", "4294967296"), ("-1", "-1"), ("user:none", "none")]
    {
        stockade.sh(&["-u", user], "true").exits(125).refuses(&[word]);
    }
}

#[test]
fn the_working_directory() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    assert_eq!(stockade.run(&["-w", "/etc"], &["pwd"]).ok().out(), "/etc");
    assert_eq!(stockade.run(&["-w", "/new/folder"], &["pwd"]).ok().out(), "/new/folder");
    assert_eq!(stockade.run(&[], &["pwd"]).ok().out(), "/");
}

#[test]
fn the_environment() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let file = stockade.folder().join("env");
    std::fs::write(&file, "# comment\nFROM_FILE=a b\nTWICE=file\nTAKEN\n").unwrap();
    let file = file.display().to_string();
    let flags = ["--env-file", &file, "-e", "TWICE=flag", "-e", "OURS", "-e", "UNSET", "-h", "box"];
    let call = stockade.run_call(&flags, &["env"]).env("OURS", "outside").env("TAKEN", "too").env("HIDDEN", "secret");
    let done = call.run().ok();
    let mut lines: Vec<&str> = done.out().lines().collect();
    lines.sort_unstable();
    let expected = [
        "FROM_FILE=a b",
        "HOME=/root",
        "HOSTNAME=box",
        "OURS=outside",
        "PATH=/bin:/usr/bin",
        "TAKEN=too",
        "TWICE=flag",
    ];
    assert_eq!(lines, expected);
    let term = stockade.run(&["-t"], &["env"]).ok();
    assert!(term.stdout.contains("TERM=xterm"), "{term:?}");
}

#[test]
fn entrypoint_and_command() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    assert_eq!(stockade.run(&["--entrypoint", "echo"], &["a", "--rm", "-x"]).ok().out(), "a --rm -x");
    assert_eq!(stockade.run(&["--entrypoint", ""], &["echo", "b"]).ok().out(), "b");
    // Without a command the image's own runs: a shell that reads nothing.
    assert_eq!(stockade.run(&[], &[]).ok().out(), "");
    stockade.run(&["--entrypoint", ""], &[]).exits(125).refuses(&["no command", "command"]);
}

#[test]
fn the_host_name() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let script = "hostname; cat /etc/hostname; grep -c localhost /etc/hosts";
    assert_eq!(stockade.sh(&["-h", "box"], script).ok().out(), "box\nbox\n2");
    let id = stockade.detached(&[], &["sleep", "1000"]);
    assert_eq!(stockade.inspect(&id, "{{.Config.Hostname}}"), id[..12]);
}

#[test]
fn exit_codes_are_dockers() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    for code in [0, 1, 2, 42, 125, 126, 127, 255] {
        stockade.sh(&[], &format!("exit {code}")).exits(code);
    }
    // The first process of a pid namespace cannot kill itself (pid_namespaces(7)), but its child can.
    stockade.sh(&["--init"], "kill -9 $$").exits(137);
    stockade.sh(&["--init"], "kill -SEGV $$").exits(139);
    stockade.run(&[], &["/no/such/program"]).exits(127).refuses(&["/no/such/program"]);
    stockade.run(&[], &["no-such-program"]).exits(127).refuses(&["no-such-program"]);
    stockade.run(&[], &["/etc/passwd"]).exits(126).refuses(&["/etc/passwd"]);
    stockade.run(&[], &["/etc"]).exits(126).refuses(&["/etc"]);
    stockade.ask(&["run", "--rm", "--no-such-flag", stockade.image()]).exits(125).refuses(&["--no-such-flag"]);
    stockade.ask(&["run", "--rm", "oci:/no/such/image"]).exits(125).refuses(&["/no/such/image"]);
    stockade.assert_gone();
}

#[test]
fn a_first_process_reaps_and_forwards() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    // The orphan of an orphan becomes a child of the first process; a zombie would stay in the list.
    let script = "(sh -c 'sleep 0.1 & exec true' &) ; sleep 1; ps -o stat= | grep -c '^Z'";
    let done = stockade.sh(&["--init"], script);
    assert_eq!(done.out(), "0", "{done:?}");
    let id = stockade.detached(&["--init"], &["sleep", "1000"]);
    stockade.ask(&["kill", "-s", "TERM", &id]).ok();
    assert_eq!(stockade.ask(&["wait", &id]).ok().out(), "143");
    // Without it, a first process that does not handle a signal does not get it (pid_namespaces(7)).
    let id = stockade.detached(&[], &["sleep", "1000"]);
    stockade.ask(&["kill", "-s", "TERM", &id]).ok();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(stockade.inspect(&id, "{{.State.Status}}"), "running");
}
