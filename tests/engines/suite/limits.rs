//! Limits as the kernel has them when the engine was asked for them, and what happens at the memory limit.

use stockade_testkit::{cgroup, offers, requires};

use crate::engine::{Engine, docker};

with_both_engines!(limits_are_in_force, a_container_at_its_memory_limit_is_killed);

fn limits_are_in_force(engine: &Engine) {
    if !cgroup::is_v1("memory") {
        return offers::skip(
            &format!("limits::{:?}::limits_are_in_force", engine.kind),
            "the files are those of cgroup v1",
        );
    }
    let options = [
        "--memory",
        "32m",
        "--memory-swap",
        "64m",
        "--memory-reservation",
        "16m",
        "--pids-limit",
        "99",
        "--cpu-shares",
        "300",
        "--cpu-period",
        "50000",
        "--cpu-quota",
        "20000",
        "--cpuset-cpus",
        "0",
    ];
    let container = engine.detached(&options, "exec sleep 1000");
    let group = container.group();
    let read = |controller: &str, file: &str| cgroup::read(controller, &group, file);
    assert_eq!(read("memory", "memory.limit_in_bytes"), "33554432");
    assert_eq!(read("memory", "memory.memsw.limit_in_bytes"), "67108864");
    assert_eq!(read("memory", "memory.soft_limit_in_bytes"), "16777216");
    assert_eq!(read("pids", "pids.max"), "99");
    assert_eq!(read("cpu", "cpu.shares"), "300");
    assert_eq!(read("cpu", "cpu.cfs_period_us"), "50000");
    assert_eq!(read("cpu", "cpu.cfs_quota_us"), "20000");
    assert_eq!(read("cpuset", "cpuset.cpus"), "0");
    let devices = read("devices", "devices.list");
    assert!(!devices.contains("a *:* rwm") && devices.contains("c 1:3 rwm"), "{devices}");
    let stats = container.run(&["stats", "--no-stream"]).ok().stdout;
    assert!(stats.contains("32MiB") || stats.contains("33.55MB"), "{stats}");
}

fn a_container_at_its_memory_limit_is_killed(engine: &Engine) {
    let container = engine.detached(&["--memory", "16m"], "x=a; while :; do x=$x$x; done");
    container.until("exited");
    assert_eq!(container.inspect("{{.State.ExitCode}}"), "137");
}

#[test]
fn docker_tells_of_a_lack_of_memory() {
    requires!(root, runtime, busybox_packed, docker, dockerd, nsenter);
    // The first process outlives the kill: the shim may hear of the container's end before it looks at the event.
    let script = "(x=a; while :; do x=$x$x; done); sleep 1; exit 5";
    let container = docker().detached(&["--memory", "16m"], script);
    container.until("exited");
    assert_eq!(container.inspect("{{.State.ExitCode}} {{.State.OOMKilled}}"), "5 true");
}

#[test]
fn docker_changes_limits() {
    requires!(root, runtime, busybox_packed, docker, dockerd, cgroup_v1);
    let container = docker().detached(&["--memory", "32m"], "exec sleep 1000");
    let options = ["update", "--memory", "48m", "--memory-swap", "96m", "--pids-limit", "77", "--cpu-shares", "200"];
    container.run(&options).ok();
    let read = |controller: &str, file: &str| cgroup::read(controller, &container.group(), file);
    assert_eq!(read("memory", "memory.limit_in_bytes"), "50331648");
    assert_eq!(read("memory", "memory.memsw.limit_in_bytes"), "100663296");
    assert_eq!(read("pids", "pids.max"), "77");
    assert_eq!(read("cpu", "cpu.shares"), "200");
}
