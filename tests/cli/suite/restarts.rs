//! Containers that are started again: by their policy, by `restart`, after a reboot; and those that stand still.

use std::time::Duration;

use rustix::process::{Pid, Signal};
use stockade_testkit::{Stockade, cgroup, eventually, requires};

const LONG: Duration = Duration::from_secs(30);

fn restarts(stockade: &Stockade, id: &str) -> u32 {
    stockade.inspect(id, "{{.RestartCount}}").parse().unwrap()
}

#[test]
fn a_failure_is_tried_again_so_often_and_then_stays() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&["--restart", "on-failure:2"], &["sh", "-c", "echo run; exit 3"]);
    stockade.until(&id, "exited");
    assert_eq!(stockade.inspect(&id, "{{.RestartCount}} {{.State.ExitCode}}"), "2 3");
    assert_eq!(stockade.ask(&["logs", &id]).ok().out(), "run\nrun\nrun");
    let policy = "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}";
    assert_eq!(stockade.inspect(&id, policy), "on-failure 2");
    let done = stockade.detached(&["--restart", "on-failure"], &["true"]);
    stockade.until(&done, "exited");
    assert_eq!(restarts(&stockade, &done), 0);
}

#[test]
fn always_goes_on_until_it_is_stopped() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&["--restart", "always"], &["sleep", "1000"]);
    for round in 1..=2 {
        let pid = stockade.pid(&id);
        rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        eventually("the restart", LONG, || {
            restarts(&stockade, &id) == round && stockade.inspect(&id, "{{.State.Status}}") == "running"
        });
        assert_ne!(stockade.pid(&id), pid);
    }
    stockade.ask(&["stop", "-t", "0", &id]).ok();
    assert_eq!(stockade.inspect(&id, "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
    stockade.ask(&["start", &id]).ok();
    assert_eq!(restarts(&stockade, &id), 0);
    stockade.ask(&["kill", &id]).ok();
    assert_eq!(stockade.inspect(&id, "{{.State.Status}}"), "exited");
}

#[test]
fn wait_tells_the_end_of_a_run_though_another_follows() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&["--restart", "always", "-i"], &["sh", "-c", "sleep 1; exit 5"]);
    assert_eq!(stockade.ask(&["wait", &id]).ok().out(), "5");
    assert_ne!(stockade.inspect(&id, "{{.State.Status}}"), "exited");
}

/// A container that fails at once, and waits so long for its next start that it is surely found waiting.
fn waiting(stockade: &Stockade) -> String {
    let id = stockade.detached(&["--restart", "always"], &["false"]);
    eventually("some restarts", LONG, || restarts(stockade, &id) >= 5);
    stockade.until(&id, "restarting");
    id
}

#[test]
fn what_waits_for_its_restart_is_shown_stopped_and_removed() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = waiting(&stockade);
    let shown = stockade.ask(&["ps", "--format", "{{.Status}}"]).ok();
    assert!(shown.out().starts_with("Restarting (1) "), "{shown:?}");
    stockade.ask(&["pause", &id]).exits(1).refuses(&["is restarting, wait until the container is running"]);
    stockade.ask(&["exec", &id, "true"]).exits(1).refuses(&["is restarting: wait until it is running"]);
    stockade.ask(&["attach", &id]).exits(1).refuses(&["restarting container", "wait until it is running"]);
    // As good as started, and its next end is waited for.
    stockade.ask(&["start", &id]).ok();
    let waited = stockade.call(&["wait", &id]).start();
    stockade.ask(&["stop", &id]).ok();
    assert_eq!(waited.wait().ok().out(), "1");
    assert_eq!(stockade.inspect(&id, "{{.State.Status}} {{.State.ExitCode}}"), "exited 1");
    let id = waiting(&stockade);
    stockade.ask(&["rm", &id]).exits(1).refuses(&["is restarting"]);
    stockade.ask(&["rm", "-f", &id]).ok();
    // Whoever kills the monitor ends the restarts.
    let id = waiting(&stockade);
    let monitor = stockade.inspect(&id, "{{.Stockade.Monitor}}").parse().unwrap();
    rustix::process::kill_process(Pid::from_raw(monitor).unwrap(), Signal::KILL).unwrap();
    stockade.until(&id, "exited");
    assert!(stockade.inspect(&id, "{{.State.Error}}").contains("its monitor was killed"));
}

#[test]
fn rm_and_restart_are_refused_together() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let both = stockade.ask(&["run", "--rm", "--restart", "always", stockade.image(), "true"]).exits(125);
    both.refuses(&["conflicting options: cannot specify both --restart and --rm"]);
    stockade.assert_gone();
}

#[test]
fn restart_and_rename() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&["--name", "old"], &["sleep", "1000"]);
    let pid = stockade.pid(&id);
    assert_eq!(stockade.ask(&["restart", "-t", "0", "old"]).ok().out(), "old");
    assert_ne!(stockade.pid(&id), pid);
    stockade.ask(&["rename", "old", "new"]).ok();
    assert_eq!(stockade.inspect("new", "{{.Id}} {{.Name}}"), format!("{id} /new"));
    stockade.ask(&["inspect", "old"]).exits(1);
    stockade.ask(&["rename", "new", "new"]).exits(1).refuses(&["the same name"]);
    let other = stockade.detached(&["--name", "old"], &["true"]);
    stockade.ask(&["rename", &other, "new"]).exits(1).refuses(&["the name new is in use"]);
    // One that removes itself does not do so for a restart.
    let rm = stockade.detached(&["--rm"], &["sleep", "1000"]);
    stockade.ask(&["restart", "-t", "0", &rm]).ok();
    assert_eq!(stockade.inspect(&rm, "{{.State.Running}}"), "true");
}

#[test]
fn paused_it_stands_still_and_goes_on_or_ends() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&[], &["sleep", "1000"]);
    assert_eq!(stockade.ask(&["pause", &id]).ok().out(), id);
    assert_eq!(stockade.inspect(&id, "{{.State.Status}} {{.State.Running}} {{.State.Paused}}"), "paused true true");
    assert!(stockade.ask(&["ps", "--format", "{{.Status}}"]).ok().out().ends_with("(Paused)"));
    stockade.ask(&["pause", &id]).exits(1).refuses(&["already paused"]);
    assert_eq!(stockade.ask(&["info", "--format", "{{.ContainersRunning}} {{.ContainersPaused}}"]).ok().out(), "0 1");
    stockade.ask(&["exec", &id, "true"]).exits(1).refuses(&["is paused: unpause it before exec"]);
    stockade.ask(&["attach", &id]).exits(1).refuses(&["paused container", "unpause it first"]);
    stockade.ask(&["cp", &format!("{id}:/etc/passwd"), "-"]).ok();
    stockade.ask(&["stats", "--no-stream", &id]).ok();
    // A commit does not let it go on.
    stockade.ask(&["commit", &id, "of-a-paused:1"]).ok();
    assert_eq!(stockade.inspect(&id, "{{.State.Status}}"), "paused");
    stockade.ask(&["start", &id]).exits(1).refuses(&["cannot start a paused container, try unpause instead"]);
    stockade.ask(&["rm", &id]).exits(1).refuses(&["is paused and must be unpaused first"]);
    stockade.ask(&["unpause", &id]).ok();
    stockade.ask(&["unpause", &id]).exits(1).refuses(&["is not paused"]);
    stockade.ask(&["pause", &id]).ok();
    stockade.ask(&["stop", "-t", "1", &id]).ok();
    assert_eq!(stockade.inspect(&id, "{{.State.Status}}"), "exited");
    stockade.ask(&["pause", &id]).exits(1).refuses(&["not running"]);
    for end in [&["kill"][..], &["rm", "-f"]] {
        stockade.ask(&["start", &id]).ok();
        stockade.ask(&["pause", &id]).ok();
        stockade.call(end).arg(&id).run().ok();
    }
    stockade.assert_gone();
}

#[test]
fn limits_are_updated_now_and_for_later_or_not_at_all() {
    requires!(root, stockade, busybox_packed, limits);
    let stockade = Stockade::new();
    let id = stockade.detached(&["-m", "64m"], &["sleep", "1000"]);
    let pids = |id: &str| {
        let pid = stockade.pid(id);
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let name = if cgroup::is_v1("pids") { ":pids:" } else { "0::" };
        let path = groups.lines().find_map(|line| line.split_once(name)).unwrap().1.to_owned();
        cgroup::read("pids", &path, "pids.max")
    };
    stockade.ask(&["update", "--pids-limit", "77", "--restart", "always", &id]).ok();
    assert_eq!(pids(&id), "77");
    let told = "{{.HostConfig.PidsLimit}} {{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}";
    assert_eq!(stockade.inspect(&id, told), format!("77 {} always", 64 << 20));
    // One limit that cannot be had is enough.
    stockade.ask(&["update", "--pids-limit", "78", "--cpuset-mems", "500", &id]).exits(1);
    assert_eq!((pids(&id), stockade.inspect(&id, told)), ("77".to_owned(), format!("77 {} always", 64 << 20)));
    stockade.ask(&["update", "-m", "256m", &id]).exits(1).refuses(&["update the memoryswap at the same time"]);
    stockade.ask(&["update", &id]).exits(125);
    stockade.ask(&["restart", "-t", "0", &id]).ok();
    assert_eq!(pids(&id), "77");
    // The policy that it has now is the one that counts.
    let pid = stockade.pid(&id);
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    eventually("the restart", LONG, || restarts(&stockade, &id) == 1);
    let rm = stockade.detached(&["--rm"], &["sleep", "1000"]);
    stockade.ask(&["update", "--restart", "always", &rm]).exits(1).refuses(&["--rm is set"]);
}

/// What a reboot leaves: no process, and an exec root without anything.
fn reboot(stockade: &Stockade) {
    for id in stockade.ids() {
        let monitor: i32 = stockade.inspect(&id, "{{.Stockade.Monitor}}").parse().unwrap();
        if let Some(monitor) = Pid::from_raw(monitor) {
            let payload = stockade.inspect(&id, "{{.State.Pid}}").parse().ok().and_then(Pid::from_raw);
            rustix::process::kill_process(monitor, Signal::KILL).unwrap();
            payload.into_iter().for_each(|pid| rustix::process::kill_process(pid, Signal::KILL).unwrap());
        }
    }
    eventually("everybody's end", LONG, || stockade.ask(&["ps", "-q"]).ok().out().is_empty());
    std::fs::remove_dir_all(stockade.folder().join("exec")).unwrap();
}

#[test]
fn after_a_reboot_runs_what_should() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let start =
        |name: &str, policy: &str| stockade.detached(&["--name", name, "--restart", policy], &["sleep", "1000"]);
    for (name, policy) in [
        ("no", "no"),
        ("always", "always"),
        ("unless", "unless-stopped"),
        ("failure", "on-failure"),
        ("halted", "unless-stopped"),
        ("forced", "always"),
    ] {
        start(name, policy);
    }
    let done =
        stockade.ask(&["create", "--restart", "always", "--name", "made", stockade.image(), "sleep", "1000"]).ok();
    stockade.know(done.out());
    stockade.ask(&["stop", "-t", "0", "halted", "forced"]).ok();
    stockade.ask(&["restart", "-t", "0", "unless"]).ok();
    reboot(&stockade);
    let resumed = stockade.ask(&["system", "resume"]).ok();
    assert_eq!(resumed.out(), "always\nunless\nfailure\nforced");
    let running = stockade.ask(&["ps", "--format", "{{.Names}}"]).ok();
    assert_eq!(running.out(), "forced\nfailure\nunless\nalways");
    assert_eq!(stockade.ask(&["system", "resume"]).ok().out(), "", "what runs is left alone");
}

#[test]
fn a_container_that_cannot_be_resumed_is_told_and_the_others_run() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let source = stockade.folder().join("source");
    std::fs::create_dir(&source).unwrap();
    let bind = format!("type=bind,source={},target=/mnt", source.display());
    let broken = ["--name", "broken", "--restart", "always", "--mount", &bind];
    stockade.know(&stockade.detached(&broken, &["sleep", "1000"]));
    stockade.know(&stockade.detached(&["--name", "whole", "--restart", "always"], &["sleep", "1000"]));
    reboot(&stockade);
    std::fs::remove_dir(&source).unwrap();
    let resumed = stockade.ask(&["system", "resume"]).exits(1);
    assert_eq!(resumed.out(), "whole");
    assert!(resumed.stderr.contains("container broken was not started"), "{resumed:?}");
}

#[test]
fn a_container_in_anothers_namespaces_is_started_again_while_somebody_reads_it() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let other = stockade.detached(&["--ipc", "shareable"], &["sleep", "1000"]);
    let joins = format!("container:{other}");
    let id = stockade.detached(&["--ipc", &joins, "--restart", "always"], &["sleep", "1000"]);
    // Nobody takes what is exported.
    let pipe = stockade.folder().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let reader = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let line = format!("exec \"$@\" >{}", pipe.display());
    let words = stockade.command_line();
    let export = stockade_testkit::Call::new("sh").args(["-c", &line, "sh"]).args(&words).args(["export", &id]).start();
    let mut waiting = [rustix::event::PollFd::new(&reader, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut waiting, None).unwrap();
    let pid = stockade.pid(&id);
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    eventually("the restart", LONG, || {
        restarts(&stockade, &id) == 1 && stockade.inspect(&id, "{{.State.Status}}") == "running"
    });
    let ipc = |id: &str| std::fs::read_link(format!("/proc/{}/ns/ipc", stockade.pid(id))).unwrap();
    assert_eq!(ipc(&id), ipc(&other));
    export.signal(Signal::KILL);
    export.wait().either_way();
    drop(reader);
    stockade.ask(&["rm", "-f", &id, &other]).ok();
    stockade.assert_gone();
}
