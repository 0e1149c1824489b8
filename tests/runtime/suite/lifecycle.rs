//! From create to delete, and many containers at once.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use serde_json::json;
use stockade_kernel::spawn::only_with;
use stockade_testkit::{Bundle, eventually, programs, requires};

#[test]
fn create_start_kill_delete() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]);
    bundle.create().ok();
    assert_eq!(bundle.status(), "created");
    bundle.start().ok();
    assert_eq!(bundle.status(), "running");
    bundle.kill("KILL").ok();
    bundle.until("stopped");
    bundle.delete().ok();
    bundle.call(&["state", bundle.id()]).run().refuses(&["does not exist", bundle.id()]);
    bundle.assert_gone();
}

#[test]
fn run_leaves_nothing() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox();
    bundle.run().ok();
    bundle.assert_gone();
}

#[test]
fn nothing_of_the_payload_runs_before_start() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("echo ran > /ran");
    bundle.create().ok();
    std::thread::sleep(Duration::from_millis(200));
    assert!(!bundle.rootfs().join("ran").exists());
    bundle.start().ok();
    bundle.until("stopped");
    assert!(bundle.rootfs().join("ran").exists());
    bundle.delete().ok();
}

#[test]
fn state_has_the_fields_of_the_specification() {
    requires!(root, runtime, busybox_image);
    let bundle =
        Bundle::busybox().args(&["/bin/sleep", "1000"]).edit(|config| config["annotations"] = json!({"a": "b"}));
    let bundle = bundle.detached();
    let state = bundle.state();
    assert_eq!(state["id"], bundle.id());
    assert_eq!(state["status"], "running");
    assert_eq!(state["bundle"], bundle.folder().to_str().unwrap());
    assert_eq!(state["annotations"]["a"], "b");
    assert!(state["ociVersion"].is_string());
    assert!(std::path::Path::new(&format!("/proc/{}", state["pid"])).exists());
}

#[test]
fn a_running_container_is_deleted_by_force_only() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    bundle.delete().refuses(&["not stopped", "running"]);
    bundle.delete_by_force().ok();
    bundle.assert_gone();
}

#[test]
fn an_id_is_taken_once() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    bundle.create().refuses(&["exist", "in use"]);
    assert_eq!(bundle.status(), "running");
}

#[test]
fn one_with_the_cgroup_of_another_is_refused_and_the_other_lives() {
    requires!(root, stake, busybox_image);
    let first = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    let path = first.cgroup().to_owned();
    let second = Bundle::busybox().edit(|config| config["linux"]["cgroupsPath"] = serde_json::json!(path));
    second.run().refuses(&["in use"]);
    second.assert_gone();
    assert_eq!(first.status(), "running");
}

#[test]
fn list_shows_containers() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    let list = bundle.call(&["list", "--format", "json"]).run().ok().json();
    assert_eq!(list[0]["id"], bundle.id());
    assert_eq!(list[0]["status"], "running");
    assert_eq!(bundle.call(&["list", "--quiet"]).run().ok().out(), bundle.id());
}

#[test]
fn pause_and_resume() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    bundle.call(&["pause", bundle.id()]).run().ok();
    assert_eq!(bundle.status(), "paused");
    bundle.call(&["resume", bundle.id()]).run().ok();
    assert_eq!(bundle.status(), "running");
}

#[test]
fn a_paused_container_is_deleted_by_force() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    bundle.call(&["pause", bundle.id()]).run().ok();
    bundle.delete_by_force().ok();
    bundle.assert_gone();
}

#[test]
fn signals_by_name_and_number() {
    requires!(root, runtime, busybox_image);
    let numbers = [("10", 10), ("USR1", 10), ("SIGUSR1", 10), ("sigusr2", 12), ("15", 15), ("HUP", 1)];
    let traps: String = (1..16).filter(|n| *n != 9).map(|n| format!("trap 'echo got {n}' {n}; ")).collect();
    let bundle = Bundle::busybox().sh(&format!("{traps} echo ready; while :; do sleep 0.05; done"));
    let running = bundle.run_started();
    let soon = Duration::from_secs(20);
    eventually("the traps to be set", soon, || running.stdout_so_far().contains("ready"));
    for (index, (name, number)) in numbers.iter().enumerate() {
        bundle.kill(name).ok();
        eventually(name, soon, || running.stdout_so_far().lines().count() == index + 2);
        assert_eq!(running.stdout_so_far().lines().last(), Some(format!("got {number}").as_str()), "{name}");
    }
    bundle.call(&["kill", bundle.id()]).run().ok();
    eventually("TERM, if none is named", soon, || running.stdout_so_far().lines().last() == Some("got 15"));
    // runc sends 0, and tells nothing.
    let wrong: &[&str] = if programs::runtime_is_ours() { &["NONSENSE", "0", "65", ""] } else { &["NONSENSE"] };
    for wrong in wrong {
        bundle.kill(wrong).refuses(&["signal"]);
    }
    bundle.kill("9").ok();
    running.wait().exits(137);
}

#[test]
fn a_signal_for_all_reaches_children_too() {
    requires!(root, stake, busybox_image);
    let child = "sh -c 'trap \"echo child; exit\" USR1; while :; do sleep 0.05; done'";
    let script = format!("trap 'echo first' USR1; {child} & echo ready; wait; wait; while :; do sleep 0.05; done");
    let bundle = Bundle::busybox().sh(&script);
    let running = bundle.run_started();
    eventually("the trap to be set", Duration::from_secs(20), || running.stdout_so_far().contains("ready"));
    std::thread::sleep(Duration::from_millis(200));
    bundle.call(&["kill", "--all", bundle.id(), "USR1"]).run().ok();
    let said = |word: &str| running.stdout_so_far().contains(word);
    eventually("both to get it", Duration::from_secs(20), || said("first") && said("child"));
    bundle.call(&["kill", "-a", bundle.id(), "KILL"]).run().ok();
    running.wait().exits(137);
    bundle.assert_gone();
}

#[test]
fn kill_among_the_hosts_processes_ends_them_all() {
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox().sh("sleep 1000 & sleep 1000 & wait").without_namespace("pid").detached();
    let count = || bundle.call(&["ps", "-f", "json", bundle.id()]).run().ok().json().as_array().unwrap().len();
    eventually("all to run", Duration::from_secs(20), || count() == 3);
    bundle.kill("KILL").ok();
    eventually("all to end", Duration::from_secs(20), || count() == 0);
}

#[test]
fn what_each_status_allows() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]);
    let call = |arguments: &[&str]| bundle.call(&[arguments, &[bundle.id()]].concat()).run();
    bundle.create().ok();
    assert_eq!(bundle.status(), "created");
    call(&["resume"]).refuses(&["not paused"]);
    bundle.start().ok();
    bundle.start().refuses(&["running"]);
    call(&["resume"]).refuses(&["not paused"]);
    call(&["pause"]).ok();
    call(&["pause"]).refuses(&["paused", "not running"]);
    bundle.delete().refuses(&["paused", "not stopped"]);
    call(&["resume"]).ok();
    bundle.delete().refuses(&["running", "not stopped"]);
    bundle.kill("KILL").ok();
    bundle.until("stopped");
    bundle.kill("TERM").refuses(&["not running"]);
    call(&["pause"]).refuses(&["not running", "stopped"]);
    call(&["update", "--pids-limit", "5"]).refuses(&["not running", "cgroup"]);
    bundle.start().refuses(&["stopped"]);
    bundle.delete().ok();
}

#[test]
fn a_created_container_ends_by_a_signal_or_is_deleted() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox();
    bundle.create().ok();
    bundle.kill("KILL").ok();
    bundle.until("stopped");
    bundle.delete().ok();
    bundle.create().ok();
    bundle.delete().ok();
    bundle.assert_gone();
}

#[test]
fn a_container_that_is_kept_is_there_after_its_end() {
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox().sh("exit 4");
    bundle.run_call(&["--keep"]).run().exits(4);
    assert_eq!(bundle.status(), "stopped");
    assert_eq!(bundle.state()["pid"], 0);
    bundle.delete().ok();
    bundle.assert_gone();
}

#[test]
fn orphans_are_reaped_and_gone_at_the_end() {
    requires!(root, stake, busybox_image);
    // Among the host's processes orphans come to the runtime.
    let script = "(sleep 0.1 & sleep 1000 &); sleep 0.1; echo orphaned; sleep 0.5; exit 3";
    let bundle = Bundle::busybox().sh(script).without_namespace("pid");
    let running = bundle.run_started();
    eventually("the orphans", Duration::from_secs(20), || running.stdout_so_far().contains("orphaned"));
    std::thread::sleep(Duration::from_millis(200));
    let pid = running.pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let state = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let states: Vec<_> = children.split_whitespace().map(state).collect();
    assert!(states.len() > 1, "the second orphan lives: {states:?}");
    assert!(states.iter().all(|stat| !stat.contains(") Z ")), "{states:?}");
    running.wait().exits(3);
    bundle.assert_gone();
}

#[test]
fn tables_and_lists() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("sleep 1000 & exec sleep 1000").detached();
    let pid = bundle.pid().to_string();
    let shown = || bundle.call(&["ps", bundle.id()]).run().ok().stdout;
    eventually("both to run", Duration::from_secs(20), || shown().matches("sleep 1000").count() == 2);
    assert_eq!(bundle.call(&["ps", "-f", "json", bundle.id()]).run().ok().json().as_array().unwrap().len(), 2);
    let table = shown();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 3 && lines[0].contains("PID") && table.contains("sleep 1000"), "{table}");
    let table = bundle.call(&["ps", bundle.id(), "-o", "comm,pid"]).run().ok().stdout;
    assert_eq!(table.lines().filter(|line| line.starts_with("sleep")).count(), 2, "{table}");
    bundle.call(&["ps", bundle.id(), "--no-such-option"]).run().refuses(&["ps", "option"]);
    let table = bundle.call(&["list"]).run().ok().stdout;
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(table.lines().next().unwrap().split_whitespace().next(), Some("ID"));
    assert_eq!(row[..4], [bundle.id(), &pid, "running", bundle.folder().to_str().unwrap()]);
    let empty = Bundle::empty();
    assert!(empty.call(&["list", "-q"]).run().ok().out().is_empty());
}

#[test]
fn the_pid_file_names_the_first_process() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]);
    let file = bundle.folder().join("pid");
    bundle.create_call(&["--pid-file", file.to_str().unwrap()]).run().ok();
    assert_eq!(std::fs::read_to_string(file).unwrap().trim(), bundle.pid().to_string());
}

#[test]
/// In one state folder, and one image for all: what they share is not in each other's way.
fn two_hundred_containers_by_eight_processes() {
    requires!(root, runtime, busybox_image);
    let image = Bundle::busybox();
    let image = &image;
    std::thread::scope(|scope| {
        let one = |number: i32| {
            let bundle = Bundle::empty().state_in(image.state_folder()).sh(&format!("exit {number}"));
            let bundle = bundle.edit(|config| config["root"]["path"] = json!(image.rootfs()));
            for _ in 0..25 {
                bundle.run().exits(number);
            }
            bundle.assert_gone();
        };
        let workers: Vec<_> = (0..8).map(|number| scope.spawn(move || one(number))).collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
    assert_eq!(image.call(&["list", "--quiet"]).run().ok().out(), "");
}

#[test]
fn a_payload_that_is_killed_leaves_nothing_after_delete() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("sleep 1000 & sleep 1000").detached();
    let pid = rustix::process::Pid::from_raw(bundle.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    bundle.until("stopped");
    bundle.delete().ok();
    bundle.assert_gone();
}

/// `run --detach --start-fd` of the container, which inherits `stderr`, and the other end of its socket.
fn made_by_run(bundle: &Bundle, stderr: Stdio) -> (Child, OwnedFd) {
    bundle.write();
    let (ours, theirs) = pair();
    let mut command = Command::new(programs::runtime());
    command.arg("--root").arg(bundle.state_folder()).args(["run", "--detach", "--bundle"]).arg(bundle.folder());
    command.args(["--start-fd", &theirs.as_raw_fd().to_string(), bundle.id()]).stderr(stderr);
    only_with(&mut command, theirs);
    let child = command.spawn().unwrap();
    drop(command);
    (child, ours)
}

fn pair() -> (OwnedFd, OwnedFd) {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

/// How much the runtime says; 0 at its end.
fn said(socket: &OwnedFd) -> usize {
    rustix::net::recv(socket, &mut [0; 16], RecvFlags::empty()).unwrap().0
}

#[test]
fn run_waits_for_the_word_of_its_caller_between_create_and_start() {
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox().sh("echo ran > /ran; ls /proc/self/fd > /fds; sleep 1000");
    let (mut child, socket) = made_by_run(&bundle, Stdio::null());
    assert_eq!(said(&socket), 1);
    std::thread::sleep(Duration::from_millis(200));
    assert!(!bundle.rootfs().join("ran").exists());
    rustix::net::send(&socket, b"go", SendFlags::NOSIGNAL).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(bundle.status(), "running");
    eventually("the payload has run", Duration::from_secs(10), || {
        std::fs::read_to_string(bundle.rootfs().join("fds")).is_ok_and(|fds| fds.lines().count() == 4)
    });
    assert_eq!(said(&socket), 0, "the payload has the socket");
    bundle.delete_by_force().ok();
    bundle.assert_gone();
}

#[test]
fn what_is_not_told_to_start_is_removed() {
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox().sh("echo ran > /ran");
    let (child, socket) = made_by_run(&bundle, Stdio::piped());
    assert_eq!(said(&socket), 1);
    drop(socket);
    let ended = child.wait_with_output().unwrap();
    assert!(!ended.status.success());
    let complaint = String::from_utf8(ended.stderr).unwrap();
    assert!(complaint.contains("cannot start the container: it was not told to"), "{complaint}");
    assert!(!bundle.rootfs().join("ran").exists());
    bundle.assert_gone();
}

#[test]
fn a_runtime_that_is_killed_before_the_word_leaves_nobody_running() {
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox().sh("echo ran > /ran; sleep 1000");
    let (mut child, socket) = made_by_run(&bundle, Stdio::null());
    assert_eq!(said(&socket), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(said(&socket), 0);
    bundle.delete_by_force().ok();
    assert!(!bundle.rootfs().join("ran").exists());
    bundle.assert_gone();
}

#[test]
fn the_word_comes_by_a_socket_of_the_callers() {
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox();
    bundle.run_call(&["--start-fd", "3"]).run().refuses(&["--start-fd", "--detach"]);
    bundle.run_call(&["--detach", "--start-fd", "77"]).run().refuses(&["--start-fd", "77", "a socket"]);
    bundle.run_call(&["--detach", "--start-fd", "1"]).run().refuses(&["--start-fd", "a socket"]);
    bundle.run_call(&["--detach", "--start-fd", "-1"]).run().refuses(&["--start-fd", "-1"]);
    let given = ["run", "--detach", "--start-fd", "5", "--bundle", bundle.folder().to_str().unwrap(), bundle.id()];
    bundle.call_after("exec 5</etc/passwd", &given).run().refuses(&["--start-fd", "5", "a socket"]);
    bundle.assert_gone();
}
