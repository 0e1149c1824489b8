//! `exec`: another process in a running container, behind the same walls.

use serde_json::json;
use std::time::Duration;
use stockade_testkit::{Bundle, eventually, requires};

fn sleeping() -> Bundle {
    Bundle::busybox().args(&["/bin/sleep", "1000"]).detached()
}

#[test]
fn output_and_exit_code() {
    requires!(root, runtime, busybox_image);
    let bundle = sleeping();
    assert_eq!(bundle.exec(&["/bin/echo", "hello"]).ok().out(), "hello");
    bundle.exec(&["/bin/sh", "-c", "exit 7"]).exits(7);
}

#[test]
fn the_walls_are_those_of_the_container() {
    requires!(root, runtime, busybox_image);
    let bundle = sleeping();
    let script = "for p in self 1; do for n in mnt pid net uts; do readlink /proc/$p/ns/$n; done; done";
    let text = bundle.exec(&["/bin/sh", "-c", script]).ok().stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..4], lines[4..]);
    let status = |pid: &str| {
        let script = format!("grep -E '^(Cap|Seccomp:)' /proc/{pid}/status");
        bundle.exec(&["/bin/sh", "-c", &script]).ok().stdout
    };
    assert_eq!(status("self"), status("1"));
    let group = |pid: &str| bundle.exec(&["/bin/cat", &format!("/proc/{pid}/cgroup")]).ok().stdout;
    assert_eq!(group("self"), group("1"));
}

#[test]
fn user_environment_and_directory() {
    requires!(root, runtime, busybox_image);
    let bundle = sleeping();
    let options = ["--user", "1000:1000", "--env", "A=b", "--cwd", "/tmp"];
    let script = "id -u; id -g; echo $A; pwd; grep CapEff /proc/self/status";
    let done = bundle.exec_call(&options, &["/bin/sh", "-c", script]).run().ok();
    assert_eq!(done.out(), "1000\n1000\nb\n/tmp\nCapEff:\t0000000000000000");
}

#[test]
fn a_process_file() {
    requires!(root, runtime, busybox_image);
    let bundle = sleeping();
    let file = bundle.folder().join("process.json");
    let process =
        json!({ "user": { "uid": 5, "gid": 6 }, "args": ["/bin/id", "-u"], "cwd": "/", "env": ["PATH=/bin"] });
    std::fs::write(&file, process.to_string()).unwrap();
    let done = bundle.call(&["exec", "--process", file.to_str().unwrap(), bundle.id()]).run().ok();
    assert_eq!(done.out(), "5");
}

#[test]
fn detached_with_a_pid_file() {
    requires!(root, runtime, busybox_image);
    let bundle = sleeping();
    let file = bundle.folder().join("pid");
    let options = ["--detach", "--pid-file", file.to_str().unwrap()];
    bundle.exec_call(&options, &["/bin/sleep", "1000"]).run().ok();
    let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    let listed = bundle.call(&["ps", "--format", "json", bundle.id()]).run().ok().json();
    assert!(listed.as_array().unwrap().contains(&json!(pid)), "{listed}");
    eventually("sleep to run", Duration::from_secs(5), || {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sleep")
    });
}

#[test]
fn exec_in_a_stopped_container_fails() {
    requires!(root, runtime, busybox_image);
    let bundle = sleeping();
    bundle.kill("KILL").ok();
    bundle.until("stopped");
    bundle.exec(&["/bin/true"]).refuses(&["stopped", "not running"]);
}
