//! A container's life in the engine's hands: exec, stop, kill, pause, restart, and nothing left at its end.

use stockade_testkit::{cgroup, eventually, requires};

use crate::cell::PATIENCE;
use crate::engine::{Engine, Kind};

with_both_engines!(
    exec,
    exec_that_fails,
    stop_and_start_again,
    kill,
    pause,
    created_and_filled_before_its_start,
    processes_are_listed,
    many_at_once,
    nothing_is_left,
);

/// Says `ready`, and ends with 3 at SIGTERM.
const OBEDIENT: &str = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done";

fn exec(engine: &Engine) {
    let container = engine.detached(&[], "exec sleep 1000");
    container.exec(&[], &["sh", "-c", "exit 9"]).exits(9);
    let options = ["--env", "A=b", "--user", "1000:1000", "--workdir", "/tmp"];
    let text = container.exec(&options, &["sh", "-c", "echo $A; id -u; id -g; pwd"]).ok().stdout;
    assert_eq!(text, "b\n1000\n1000\n/tmp\n");
    let done = container.call(&["exec", "--interactive"]).arg("cat").stdin(b"input").run().ok();
    assert_eq!(done.stdout, "input");
    let done = engine.call_on_terminal(&["exec", "--tty", &container.id, "sh", "-c", "tty; exit 4"]).run().exits(4);
    assert!(done.stdout.contains("/dev/pts/0"), "{done:?}");
    let walls = ["sh", "-c", "grep -E '^(Cap|Seccomp)' /proc/self/status; cat /proc/self/cgroup"];
    let walls_of_first = ["sh", "-c", "grep -E '^(Cap|Seccomp)' /proc/1/status; cat /proc/1/cgroup"];
    assert_eq!(container.exec(&[], &walls).ok().stdout, container.exec(&[], &walls_of_first).ok().stdout);
    container.exec(&["--detach"], &["sh", "-c", "echo > /detached; exec sleep 500"]).ok();
    eventually("the detached process to run", PATIENCE, || {
        container.exec(&[], &["test", "-e", "/detached"]).code() == 0
    });
}

fn exec_that_fails(engine: &Engine) {
    let container = engine.detached(&[], "exec sleep 1000");
    // Docker 20.10 turns every failure to start into 126.
    let missing = |code: i32| code == 127 || (engine.kind == Kind::Docker && code == 126);
    for (program, words) in
        [("nosuch", "executable file not found in $PATH"), ("/no/such", "no such file or directory")]
    {
        let done = container.exec(&[], &[program]);
        assert!(missing(done.code()) && format!("{done:?}").contains(words), "{done:?}");
    }
    for program in ["/etc/passwd", "/etc"] {
        let done = container.exec(&[], &[program]).exits(126);
        assert!(format!("{done:?}").contains("permission denied"), "{done:?}");
    }
    container.run(&["kill"]).ok();
    container.until("exited");
    container.exec(&[], &["true"]).refuses(&["not running", "running containers"]);
}

fn stop_and_start_again(engine: &Engine) {
    let container = engine.detached(&[], OBEDIENT);
    container.until_it_says("ready");
    container.run(&["stop", "--time", "20"]).ok();
    assert_eq!(container.inspect("{{.State.ExitCode}} {{.State.OOMKilled}}"), "3 false");
    assert!(container.run(&["logs"]).ok().stdout.ends_with("ready\nbye\n"));
    assert!(!cgroup::folder("pids", &container.group()).exists(), "a stopped container has a cgroup");
    container.run(&["start"]).ok();
    container.until("running");
    container.run(&["restart", "--time", "0"]).ok();
    container.until("running");
    let waiting = container.call(&["wait"]).start();
    container.run(&["kill"]).ok();
    assert_eq!(waiting.wait().ok().out(), "137");
}

fn kill(engine: &Engine) {
    let container = engine.detached(&[], "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done");
    container.until_it_says("ready");
    container.run(&["kill", "--signal", "USR1"]).ok();
    container.until_it_says("usr1");
    container.run(&["rm"]).refuses(&["running container", "as it is running"]);
    // The first process of a pid namespace that has no handler: nothing happens.
    container.run(&["kill", "--signal", "TERM"]).ok();
    assert_eq!(container.inspect("{{.State.Status}}"), "running");
    container.run(&["kill"]).ok();
    container.until("exited");
    assert_eq!(container.inspect("{{.State.ExitCode}}"), "137");
    container.run(&["kill"]).refuses(&["not running", "running containers", "state improper"]);
}

fn pause(engine: &Engine) {
    let container = engine.detached(&[], "while :; do echo tick; sleep 0.05; done");
    container.until_it_says("tick");
    container.run(&["pause"]).ok();
    assert_eq!(container.inspect("{{.State.Status}}"), "paused");
    let ticks = || container.run(&["logs"]).ok().stdout.len();
    // What was written before may still be on its way to the log.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let before = ticks();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(ticks(), before, "a paused container writes");
    assert_ne!(container.exec(&[], &["true"]).code(), 0);
    container.run(&["unpause"]).ok();
    eventually("the container to go on", PATIENCE, || ticks() > before);
    container.run(&["pause"]).ok();
    // Removed by force while it is frozen, when it is dropped.
}

fn created_and_filled_before_its_start(engine: &Engine) {
    let container = engine.created(&[], "cat /file; echo more > /out; exec sleep 1000");
    let file = engine.cell.folder().join(format!("file-{:?}", engine.kind));
    std::fs::write(&file, "filled\n").unwrap();
    let target = format!("{}:/file", container.id);
    engine.call(&["cp", file.to_str().unwrap(), &target]).run().ok();
    if engine.kind == Kind::Podman {
        // The runtime's `create` without its `start`.
        container.run(&["init"]).ok();
        container.until("initialized");
    }
    container.run(&["start"]).ok();
    container.until_it_says("filled");
    let name = format!("filled-{}", std::process::id());
    engine.call(&["rename", &container.id, &name]).run().ok();
    assert_eq!(container.inspect("{{.Name}}").trim_start_matches('/'), name);
    let back = engine.cell.folder().join(format!("back-{:?}", engine.kind));
    engine.call(&["cp", &format!("{}:/out", container.id), back.to_str().unwrap()]).run().ok();
    assert_eq!(std::fs::read_to_string(&back).unwrap(), "more\n");
}

fn processes_are_listed(engine: &Engine) {
    let container = engine.detached(&[], "sleep 1001 & exec sleep 1002");
    eventually("both processes", PATIENCE, || {
        let text = container.run(&["top"]).ok().stdout;
        text.contains("sleep 1001") && text.contains("sleep 1002")
    });
    let pid = container.inspect("{{.State.Pid}}");
    let line = engine.cell.call("cat").arg(format!("/proc/{pid}/cmdline")).run().ok().stdout;
    assert_eq!(line, "sleep\u{0}1002\u{0}");
}

fn many_at_once(engine: &Engine) {
    // They make and remove a common parent of their cgroups.
    let parent = format!("{}/common/parent", engine.cell.group());
    let options = ["--cgroup-parent", parent.as_str()];
    let started: Vec<_> =
        (0..6).map(|number| engine.run_call(&options, &["echo", &number.to_string()]).start()).collect();
    for (number, running) in started.into_iter().enumerate() {
        assert_eq!(running.wait().ok().out(), number.to_string());
    }
}

fn nothing_is_left(engine: &Engine) {
    let container = engine.detached(&[], "sleep 1001 & exec sleep 1002");
    let id = container.id.clone();
    assert!(cgroup::folder("pids", &container.group()).is_dir());
    container.remove().ok();
    engine.cell.assert_gone(&id);
}

#[test]
fn a_cell_that_ends_takes_everything_with_it() {
    requires!(root, runtime, busybox_packed, podman, nsenter);
    let engine = Engine::podman("ended");
    let container = engine.detached(&[], "exec sleep 1000");
    let (id, folder) = (container.id.clone(), engine.cell.folder().to_owned());
    assert!(cgroup::folder("pids", &container.group()).is_dir());
    container.run(&["pause"]).ok();
    std::mem::forget(container);
    let group = engine.cell.group().trim_start_matches('/').to_owned();
    drop(engine);
    assert!(!folder.exists());
    assert!(cgroup::named(&format!("libpod-{id}")).is_empty() && cgroup::named(&group).is_empty());
}
