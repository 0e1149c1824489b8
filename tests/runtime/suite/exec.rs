//! `exec`: another process in a running container, behind the same walls.

use serde_json::json;
use std::time::Duration;
use stockade_testkit::{Bundle, cgroup, eventually, requires};

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
fn in_a_group_below_the_containers() {
    requires!(root, stake, busybox_image, cgroup_v1);
    let bundle = sleeping();
    for controller in ["pids", "memory"] {
        std::fs::create_dir(cgroup::folder(controller, bundle.cgroup()).join("sub")).unwrap();
    }
    let group = |options: &[&str]| {
        let script = "grep -E ':(pids|memory|cpu):' /proc/self/cgroup | cut -d: -f2- | sort | tr '\\n' ' '";
        bundle.exec_call(options, &["/bin/sh", "-c", script]).run().ok().out().to_owned()
    };
    assert_eq!(group(&["--cgroup", "pids:sub"]), "cpu:/ memory:/ pids:/sub");
    assert_eq!(group(&["--cgroup=/"]), "cpu:/ memory:/ pids:/");
    assert_eq!(group(&["--cgroup", "pids,memory:/sub"]), "cpu:/ memory:/sub pids:/sub");
    assert_eq!(group(&["--cgroup", "pids:sub", "--cgroup", "memory:sub"]), "cpu:/ memory:/sub pids:/sub");
    for (wrong, word) in [("sub", "sub"), ("pids:../x", "--cgroup"), ("pids:none", "none"), ("magic:sub", "magic")] {
        bundle.exec_call(&["--cgroup", wrong], &["/bin/true"]).run().refuses(&[word]);
    }
    bundle.exec_call(&["--cgroup", "pids:sub", "--cgroup", "sub"], &["/bin/true"]).run().refuses(&["--cgroup"]);
}

#[test]
fn in_a_group_of_cgroup_v2_below_the_containers() {
    requires!(root, stake, busybox_image, cgroup_v2);
    let bundle = sleeping();
    std::fs::create_dir(cgroup::folder("pids", bundle.cgroup()).join("sub")).unwrap();
    for (option, group) in [("sub", "0::/sub"), ("/sub", "0::/sub"), ("/", "0::/")] {
        let done = bundle.exec_call(&["--cgroup", option], &["/bin/cat", "/proc/self/cgroup"]).run().ok();
        assert_eq!(done.out(), group, "{option}");
    }
    for (wrong, word) in [("../x", "--cgroup"), ("none", "none"), ("pids:sub", "pids"), ("magic:sub", "magic")] {
        bundle.exec_call(&["--cgroup", wrong], &["/bin/true"]).run().refuses(&[word]);
    }
}

#[test]
fn in_the_first_process_group_where_the_containers_takes_none() {
    // cgroup v2 allows no processes beside groups that have controllers.
    requires!(root, stake, busybox_image, cgroup_v2);
    let script = "mkdir /sys/fs/cgroup/init && echo 1 > /sys/fs/cgroup/init/cgroup.procs && \
        echo +pids > /sys/fs/cgroup/cgroup.subtree_control && exec sleep 1000";
    let bundle = Bundle::busybox().sh(script).without_mount("/sys/fs/cgroup");
    let bundle = bundle.mount("cgroup", "cgroup", "/sys/fs/cgroup", &["rw"]).detached();
    eventually("controllers to be given away", Duration::from_secs(20), || {
        cgroup::read("pids", bundle.cgroup(), "cgroup.subtree_control").contains("pids")
    });
    assert_eq!(bundle.exec(&["/bin/cat", "/proc/self/cgroup"]).ok().out(), "0::/init");
}

#[test]
fn everything_that_the_command_line_changes() {
    requires!(root, stake, busybox_image);
    let bundle = sleeping();
    let status = |options: &[&str], script: &str| {
        bundle.exec_call(options, &["/bin/sh", "-c", script]).run().ok().out().replace('\t', " ")
    };
    assert_eq!(status(&["-g", "7", "--additional-gids=8"], "grep Groups: /proc/self/status"), "Groups: 0 7 8");
    assert_eq!(status(&["--no-new-privs"], "grep NoNewPrivs /proc/self/status"), "NoNewPrivs: 1");
    assert_eq!(status(&["-c", "CAP_SYS_NICE"], "grep CapBnd /proc/self/status"), "CapBnd: 00000000a88425fb");
    assert_eq!(status(&["-u", "7"], "id -u; id -g"), "7\n0");
    assert_eq!(status(&["-e", "A=1", "-e", "A=2", "--env", "B=3"], "echo $A$B"), "23");
    assert_eq!(status(&["--cwd", ""], "pwd"), "/", "an empty value is none");
    for (wrong, word) in [
        (["--user", "name"], "user"),
        (["--cap", "CAP_X"], "CAP_X"),
        (["--additional-gids", "x"], "additional-gids"),
        (["--apparmor", "no-such-profile"], "no-such-profile"),
        (["--process-label", "x"], "SELinux"),
        (["--preserve-fds", "9"], "not open"),
        (["--cwd", "relative"], "cwd"),
    ] {
        bundle.exec_call(&wrong, &["/bin/true"]).run().refuses(&[word]);
    }
}

#[test]
fn a_failure_is_told_from_the_command_own_exit_code() {
    requires!(root, runtime, busybox_image);
    let bundle = sleeping();
    bundle.exec(&["/no/such/program"]).exits(255).refuses(&["no such file"]);
    bundle.exec(&["/etc"]).exits(255);
}

#[test]
fn a_paused_container_is_asked_for() {
    requires!(root, runtime, busybox_image);
    let bundle = sleeping();
    bundle.call(&["pause", bundle.id()]).run().ok();
    bundle.exec(&["/bin/true"]).refuses(&["paused"]);
    let waiting = bundle.exec_call(&["--ignore-paused"], &["/bin/echo", "thawed"]).start();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(waiting.stdout_so_far(), "");
    bundle.call(&["resume", bundle.id()]).run().ok();
    assert_eq!(waiting.wait().ok().out(), "thawed");
}

#[test]
fn exec_in_a_stopped_container_fails() {
    requires!(root, runtime, busybox_image);
    let bundle = sleeping();
    bundle.kill("KILL").ok();
    bundle.until("stopped");
    bundle.exec(&["/bin/true"]).refuses(&["stopped", "not running"]);
}
