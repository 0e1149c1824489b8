//! Containers in a real terminal, under a shell of the host with job control.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use stockade_testkit::stockade::named_reference;
use stockade_testkit::tmux::Tmux;
use stockade_testkit::{Stockade, eventually, requires};

/// The prompt of busybox's shell for root.
const PROMPT: &str = "/ #";

/// A shell in a container, started at the prompt of a terminal.
struct Scene {
    stockade: Stockade,
    tmux: Tmux,
}

impl Scene {
    fn new() -> Self {
        Self { stockade: Stockade::new(), tmux: Tmux::start() }
    }

    /// Enters `stockade WORDS`.
    fn enters(&self, words: &str) {
        // A script, because the line is longer than the terminal.
        let script = self.stockade.folder().join("s");
        let line = self.stockade.command_line().join(" ");
        let text = format!("#!/bin/sh\necho $$ >{}\nexec {line} \"$@\"\n", self.pid_file().display());
        std::fs::write(&script, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
        std::fs::remove_file(self.pid_file()).ok();
        self.tmux.enters(&format!("PATH=$PATH:{}; clear; s {words}", self.stockade.folder().display()));
        // The screen is empty by then, so that what is looked for is not of before.
        eventually("stockade to be started", Duration::from_secs(30), || self.pid_file().exists());
    }

    fn pid_file(&self) -> PathBuf {
        self.stockade.folder().join("pid")
    }

    /// Sends a signal to `stockade`.
    fn signal(&self, signal: Signal) {
        let pid = std::fs::read_to_string(self.pid_file()).unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Enters a command that goes on until it is interrupted, and waits until it has the terminal.
    fn long_command(&self) {
        self.tmux.clears();
        self.tmux.enters("sh -c 'echo up; exec sleep 1000'");
        self.tmux.shows("up");
    }

    /// `run -it --name NAME` with a shell, waited for.
    fn shell(&self, flags: &str) {
        self.enters(&format!("run -it {flags} {} sh", self.stockade.image()));
        self.tmux.shows(PROMPT);
    }
}

#[test]
fn lines_are_edited_and_the_size_follows_the_window() {
    requires!(root, stockade, busybox_packed, tmux);
    let scene = Scene::new();
    let tmux = &scene.tmux;
    scene.shell("--rm");
    // Characters are taken back, the cursor goes to the beginning, and the last line comes again.
    tmux.types("cho sumxx");
    tmux.presses(&["BSpace", "BSpace", "C-a"]);
    tmux.enters("e");
    tmux.shows("sum");
    tmux.clears();
    tmux.presses(&["Up", "Enter"]);
    tmux.shows("sum");
    tmux.enters("stty size");
    tmux.shows("24 80");
    tmux.resize(30, 100);
    tmux.clears();
    tmux.enters("stty size");
    tmux.shows("30 100");
    tmux.enters("exit 7");
    tmux.shows_part("host$");
    tmux.enters("echo code $?");
    tmux.shows("code 7");
    tmux.is_sane();
    scene.stockade.assert_gone();
}

#[test]
fn keys_are_signals_inside_and_jobs_are_controlled_there() {
    requires!(root, stockade, busybox_packed, tmux);
    let scene = Scene::new();
    let tmux = &scene.tmux;
    scene.shell("--rm");
    scene.long_command();
    tmux.presses(&["C-c"]);
    tmux.enters("echo code $?");
    tmux.shows("code 130");
    scene.long_command();
    tmux.presses(&["C-z"]);
    tmux.shows_part("Stopped");
    tmux.clears();
    tmux.enters("bg; jobs");
    tmux.shows_part("Running");
    tmux.enters("clear; fg");
    eventually("the job to end", Duration::from_secs(30), || {
        tmux.presses(&["C-c"]);
        tmux.screen().trim_end().ends_with(PROMPT)
    });
    tmux.clears();
    tmux.enters("cat | tr a-z A-Z");
    tmux.enters("typed");
    tmux.presses(&["C-d"]);
    tmux.shows("TYPED");
    tmux.presses(&["C-d"]);
    tmux.shows_part("host$");
    tmux.is_sane();
    scene.stockade.assert_gone();
}

#[test]
fn detaching_and_coming_back() {
    requires!(root, stockade, busybox_packed, tmux);
    let scene = Scene::new();
    let tmux = &scene.tmux;
    scene.shell("--name stays");
    tmux.presses(&["C-p", "C-q"]);
    tmux.shows_part("host$");
    tmux.is_sane();
    // The prompt comes again without a key.
    tmux.resize(20, 70);
    scene.enters("attach stays");
    tmux.shows(PROMPT);
    tmux.enters("stty size");
    tmux.shows("20 70");
    // The user's own keys, of Docker's configuration; Docker's mean what they mean to the program then.
    tmux.presses(&["C-p", "C-q"]);
    tmux.shows_part("host$");
    let folder = scene.stockade.folder().join("docker");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("config.json"), r#"{"detachKeys":"ctrl-x,d"}"#).unwrap();
    tmux.enters(&format!("export DOCKER_CONFIG={}", folder.display()));
    scene.enters("attach stays");
    tmux.shows(PROMPT);
    tmux.presses(&["C-p", "C-q", "C-u"]);
    tmux.enters("echo still here");
    tmux.shows("still here");
    tmux.presses(&["C-x"]);
    tmux.types("d");
    tmux.shows_part("host$");
    tmux.is_sane();
    assert_eq!(scene.stockade.inspect("stays", "{{.State.Running}}"), "true");
    std::fs::write(folder.join("config.json"), r#"{"detachKeys":"bogus"}"#).unwrap();
    scene.enters("attach stays");
    tmux.shows_part("detachKeys");
    std::fs::write(folder.join("config.json"), "{").unwrap();
    scene.enters("attach stays");
    tmux.shows_part("is damaged");
    tmux.presses(&["C-p", "C-q"]);
    tmux.shows_part("host$");
}

#[test]
fn however_it_ends_the_terminal_is_as_it_was() {
    requires!(root, stockade, busybox_packed, tmux);
    let scene = Scene::new();
    let tmux = &scene.tmux;
    for (number, signal) in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT, Signal::USR1].into_iter().enumerate()
    {
        let name = format!("left{number}");
        scene.shell(&format!("--name {name}"));
        scene.signal(signal);
        tmux.shows_part("host$");
        tmux.is_sane();
        // As in Docker the container goes on: the signal was for who was attached.
        assert_eq!(scene.stockade.inspect(&name, "{{.State.Running}}"), "true", "{signal:?}");
    }
    // Whoever kills the container, or its monitor.
    scene.shell("--name killed");
    kill_process(Pid::from_raw(scene.stockade.pid("killed")).unwrap(), Signal::KILL).unwrap();
    tmux.shows_part("host$");
    tmux.is_sane();
    scene.shell("--name lost");
    let monitor = scene.stockade.inspect("lost", "{{.Stockade.Monitor}}").parse().unwrap();
    kill_process(Pid::from_raw(monitor).unwrap(), Signal::KILL).unwrap();
    tmux.shows_part("was killed, and the container with it");
    tmux.is_sane();
    // The terminal that goes away takes the client along, and not the container.
    scene.shell("--name alone");
    let pid: i32 = std::fs::read_to_string(scene.pid_file()).unwrap().trim().parse().unwrap();
    let Scene { stockade, tmux } = scene;
    drop(tmux);
    eventually("the client to end", Duration::from_secs(30), || {
        !std::path::Path::new(&format!("/proc/{pid}")).exists()
    });
    assert_eq!(stockade.inspect("alone", "{{.State.Running}}"), "true");
}

#[test]
fn a_client_that_is_stopped_gives_the_terminal_back_and_takes_it_again() {
    requires!(root, stockade, busybox_packed, tmux);
    let scene = Scene::new();
    let tmux = &scene.tmux;
    scene.shell("--rm");
    for signal in [Signal::TSTP, Signal::STOP] {
        scene.signal(signal);
        tmux.shows_part("Stopped");
        tmux.is_sane();
        let columns = 90 + u16::try_from(signal.as_raw()).unwrap();
        tmux.resize(22, columns);
        // tmux takes its time.
        tmux.enters(&format!("clear; until test \"$(stty size)\" = '22 {columns}'; do sleep 0.1; done; fg"));
        // Nothing that the host's shell does to the terminal keeps keys from the container: control-C is not a signal here.
        tmux.enters("echo $((6*7)); stty size");
        tmux.shows("42");
        tmux.shows(&format!("22 {columns}"));
        scene.long_command();
        tmux.presses(&["C-c"]);
        tmux.enters("echo code $?");
        tmux.shows("code 130");
    }
    tmux.enters("exit");
    tmux.shows_part("host$");
    // In the background it stops as soon as it wants the terminal, as every program does, and works in the foreground.
    tmux.clears();
    scene.enters(&format!("run --rm -it {} sh &", scene.stockade.image()));
    tmux.enters("jobs");
    eventually("it to stop", Duration::from_secs(30), || {
        tmux.enters("clear; jobs");
        tmux.screen().contains("Stopped")
    });
    tmux.is_sane();
    tmux.enters("clear; fg");
    tmux.enters("echo $((6*7))");
    tmux.shows("42");
    tmux.enters("exit");
    tmux.shows_part("host$");
    tmux.is_sane();
    scene.stockade.assert_gone();
}

#[test]
fn a_suspended_client_without_a_terminal_of_its_own_for_the_container() {
    requires!(root, stockade, busybox_packed, tmux);
    let scene = Scene::new();
    let tmux = &scene.tmux;
    // Without -t signals are passed on: control-C ends the container's program, control-Z is for it, too.
    let script = "'trap \"echo got TSTP\" TSTP; trap \"exit 6\" INT; echo ready; while :; do sleep 0.05; done'";
    scene.enters(&format!("run --rm {} sh -c {script}", scene.stockade.image()));
    tmux.shows("ready");
    tmux.presses(&["C-z"]);
    tmux.shows_part("got TSTP");
    tmux.presses(&["C-c"]);
    tmux.shows_part("host$");
    tmux.enters("echo code $?");
    tmux.shows("code 6");
    // Who keeps them is suspended.
    scene.enters(&format!("run --name on --sig-proxy=false {} sh -c 'echo ready; sleep 1000'", scene.stockade.image()));
    tmux.shows("ready");
    tmux.presses(&["C-z"]);
    tmux.shows_part("Stopped");
    tmux.enters("fg");
    tmux.presses(&["C-c"]);
    tmux.shows_part("host$");
    assert_eq!(scene.stockade.inspect("on", "{{.State.Running}}"), "true");
    tmux.is_sane();
}

#[test]
fn bash_of_debian_edits_lines_too() {
    requires!(root, stockade, debian_image, tmux);
    let scene = Scene { stockade: Stockade::with_image(&named_reference("debian", "rootfs")), tmux: Tmux::start() };
    let tmux = &scene.tmux;
    scene.enters(&format!("run --rm -it -h deb {} bash --norc", scene.stockade.image()));
    tmux.shows_part("bash-");
    tmux.enters("PS1='deb> '; clear");
    tmux.shows("deb>");
    tmux.types("lost words echo found");
    // Two words back, and all before it is cut off.
    tmux.presses(&["M-b", "M-b", "C-u", "Enter"]);
    tmux.shows("found");
    tmux.presses(&["C-r"]);
    tmux.types("ech");
    tmux.shows_part("reverse-i-search");
    tmux.presses(&["Enter"]);
    tmux.enters("tty; stty size");
    tmux.shows("/dev/pts/0");
    tmux.shows("24 80");
    tmux.resize(28, 110);
    tmux.enters("clear; echo $LINES $COLUMNS");
    tmux.shows("28 110");
    tmux.enters("exit");
    tmux.shows_part("host$");
    scene.stockade.assert_gone();
}

#[test]
fn the_screen_shows_containers_and_does_what_its_keys_say() {
    requires!(root, stockade, busybox_packed, tmux);
    let scene = Scene::new();
    let (tmux, stockade) = (&scene.tmux, &scene.stockade);
    tmux.resize(24, 120);
    drop(stockade.detached(&["--name", "web"], &["sh", "-c", "echo served; sleep 1000"]));
    drop(stockade.ask(&["create", "--name", "idle", stockade.image(), "true"]).ok());
    scene.enters("ui");
    tmux.shows_part("1 of 2 containers run");
    tmux.shows_part("B/");
    let line = |name: &str| tmux.screen().lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    eventually("what it uses", Duration::from_secs(30), || line("web").contains("KiB") && line("web").contains('%'));
    assert!(line("idle").contains("Created"), "{}", tmux.screen());
    let audited = stockade.ask(&["ps", "--walls", "--format", "{{.Grade}}"]).ok();
    eventually("its walls", Duration::from_secs(30), || line("web").contains(audited.out()));
    // A shell inside, and back. The terminal is the shell's meanwhile.
    tmux.presses(&["e"]);
    tmux.shows(PROMPT);
    tmux.enters("echo $((6*7))");
    tmux.shows("42");
    tmux.presses(&["C-c"]);
    tmux.enters("exit");
    tmux.shows_part("Enter: back to the list");
    tmux.presses(&["Enter"]);
    tmux.shows_part("1 of 2 containers run");
    // Control-C ends the log, not the screen.
    tmux.presses(&["l"]);
    tmux.shows("served");
    tmux.presses(&["C-c"]);
    tmux.shows_part("Enter: back to the list");
    tmux.presses(&["Enter"]);
    tmux.shows_part("1 of 2 containers run");
    tmux.presses(&["a"]);
    // The last check; the others may have scrolled away.
    tmux.shows_part("31 drift");
    tmux.shows_part("Enter: back to the list");
    tmux.presses(&["Enter"]);
    tmux.shows_part("1 of 2 containers run");
    // Nothing is killed without a yes.
    tmux.presses(&["k"]);
    tmux.shows_part("kill web? y: yes");
    tmux.presses(&["n"]);
    tmux.presses(&["Down", "s"]);
    tmux.shows_part("idle does not run");
    tmux.presses(&["Up", "k", "y"]);
    tmux.shows_part("kill web: done");
    tmux.shows_part("0 of 2 containers run");
    assert_eq!(stockade.inspect("web", "{{.State.ExitCode}}"), "137");
    tmux.presses(&["q"]);
    tmux.shows_part("host$");
    tmux.is_sane();
    // Who ends it from outside finds the terminal as it was, too.
    scene.enters("ui");
    tmux.shows_part("0 of 2 containers run");
    scene.signal(Signal::TERM);
    tmux.shows_part("host$");
    tmux.is_sane();
    stockade.ask(&["ui"]).exits(125).refuses(&["needs a terminal"]);
}
