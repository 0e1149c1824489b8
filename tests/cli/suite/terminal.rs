//! A container on a terminal, typed at.

use stockade_testkit::{Pty, Stockade, requires};

/// `stockade run --rm -it FLAGS busybox COMMAND` on a terminal.
fn start(stockade: &Stockade, command: &[&str]) -> Pty {
    let mut line = stockade.command_line();
    line.extend(["run", "--rm", "-it", stockade.image()].iter().chain(command).map(|word| (*word).to_owned()));
    Pty::start(&line)
}

#[test]
fn a_shell_on_a_terminal() {
    requires!(root, stockade, busybox_packed, setsid);
    let stockade = Stockade::new();
    let mut pty = start(&stockade, &["sh"]);
    pty.expect("# ");
    pty.send("tty; stty size\r");
    pty.expect("/dev/pts/0");
    pty.expect("24 80");
    pty.resize(30, 100);
    // The new size comes by a signal.
    pty.send("sleep 0.5; stty size\r");
    pty.expect("30 100");
    pty.send("exit 5\r");
    let (status, _) = pty.wait();
    assert_eq!(status.code(), Some(5));
    stockade.assert_gone();
}

#[test]
fn the_terminal_gets_its_modes_back() {
    requires!(root, stockade, busybox_packed, setsid);
    let stockade = Stockade::new();
    for script in ["exit 0", "kill -9 $$"] {
        let mut pty = start(&stockade, &["sh", "-c", &format!("echo ready; read go; {script}")]);
        pty.expect("ready");
        let raw = pty.modes();
        assert!(!raw.local_modes.contains(rustix::termios::LocalModes::ICANON), "not raw: {raw:?}");
        assert!(!raw.local_modes.contains(rustix::termios::LocalModes::ECHO), "not raw: {raw:?}");
        pty.send("\r");
        pty.wait();
        let modes = pty.modes();
        assert!(modes.local_modes.contains(rustix::termios::LocalModes::ICANON), "{script}: {modes:?}");
        assert!(modes.local_modes.contains(rustix::termios::LocalModes::ECHO), "{script}: {modes:?}");
    }
    // A container that does not start leaves the terminal alone.
    let mut pty = start(&stockade, &["/no/such/program"]);
    let (status, said) = pty.wait();
    assert_eq!(status.code(), Some(127), "{said}");
    assert!(pty.modes().local_modes.contains(rustix::termios::LocalModes::ICANON));
}

#[test]
fn ctrl_c_reaches_the_payload() {
    requires!(root, stockade, busybox_packed, setsid);
    let stockade = Stockade::new();
    let mut pty = start(
        &stockade,
        &["sh", "-c", "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done"],
    );
    pty.expect("ready");
    pty.send("\u{3}");
    pty.expect("interrupted");
    assert_eq!(pty.wait().0.code(), Some(9));
}

#[test]
fn detaching_leaves_the_container() {
    requires!(root, stockade, busybox_packed, setsid);
    let stockade = Stockade::new();
    let mut line = stockade.command_line();
    line.extend(["run", "-it", "--name", "stays", stockade.image(), "sh"].map(str::to_owned));
    let mut pty = Pty::start(&line);
    pty.expect("# ");
    pty.send("\u{10}\u{11}");
    assert_eq!(pty.wait().0.code(), Some(0));
    assert_eq!(stockade.inspect("stays", "{{.State.Running}}"), "true");
    let mut line = stockade.command_line();
    line.extend(["attach", "--detach-keys", "ctrl-a,x", "stays"].map(str::to_owned));
    let mut pty = Pty::start(&line);
    pty.send("echo $((6*7))\r");
    pty.expect("42");
    pty.send("\u{1}x");
    assert_eq!(pty.wait().0.code(), Some(0));
    assert_eq!(stockade.inspect("stays", "{{.State.Running}}"), "true");
}

#[test]
fn a_terminal_needs_one() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    stockade.run(&["-it"], &["true"]).exits(1).refuses(&["the input device is not a TTY"]);
    assert_eq!(stockade.ids(), Vec::<String>::new());
    // As in Docker, -t alone does not read and so needs none; the two streams are one there.
    let done = stockade.sh(&["-t"], "echo out; echo err >&2; tty").ok();
    assert_eq!(done.stdout, "out\r\nerr\r\n/dev/pts/0\r\n");
    let id = stockade.detached(&["-it"], &["sh"]);
    assert_eq!(stockade.inspect(&id, "{{.Config.Tty}}"), "true");
    stockade.ask(&["attach", &id]).exits(1).refuses(&["the input device is not a TTY"]);
}
