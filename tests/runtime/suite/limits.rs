//! Limits: written to the cgroup, read back from the kernel, and felt by the payload.

use serde_json::{Value, json};
use stockade_testkit::{Bundle, cgroup, requires};

fn limited(resources: &Value) -> Bundle {
    Bundle::busybox().args(&["/bin/sleep", "1000"]).edit(|config| {
        for (key, value) in resources.as_object().unwrap() {
            config["linux"]["resources"][key] = value.clone();
        }
    })
}

#[test]
fn the_seventh_process_fails() {
    requires!(root, runtime, busybox_image);
    let bundle = limited(&json!({ "pids": { "limit": 6 } })).detached();
    assert_eq!(cgroup::read("pids", bundle.cgroup(), "pids.max"), "6");
    let script = "for i in 1 2 3 4 5 6; do sleep 100 & done; wait";
    let done = bundle.exec_call(&[], &["/bin/sh", "-c", script]).limit(std::time::Duration::from_secs(300));
    let running = done.start();
    stockade_testkit::eventually("fork to fail", std::time::Duration::from_secs(20), || {
        running.stderr_so_far().contains("fork")
    });
    bundle.delete_by_force().ok();
    running.wait().either_way();
}

#[test]
fn v1_files_hold_what_was_asked_for() {
    requires!(root, runtime, busybox_image, cgroup_v1);
    let bundle = limited(&json!({
        "memory": { "limit": 67_108_864, "reservation": 33_554_432 },
        "cpu": { "shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0" }
    }))
    .detached();
    let table = [
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("memory", "memory.soft_limit_in_bytes", "33554432"),
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "50000"),
        ("cpu", "cpu.cfs_period_us", "100000"),
        ("cpuset", "cpuset.cpus", "0"),
    ];
    for (controller, file, value) in table {
        assert_eq!(cgroup::read(controller, bundle.cgroup(), file), value, "{file}");
    }
}

#[test]
fn v2_files_hold_what_was_asked_for() {
    requires!(root, runtime, busybox_image, cgroup_v2);
    let bundle = limited(&json!({
        "memory": { "limit": 67_108_864, "swap": 100_663_296, "reservation": 33_554_432 },
        "cpu": { "shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0" },
        "pids": { "limit": 77 },
        "unified": { "memory.high": "50331648", "memory.oom.group": "1" }
    }))
    .detached();
    let table = [
        ("memory", "memory.max", "67108864"),
        ("memory", "memory.swap.max", "33554432"),
        ("memory", "memory.low", "33554432"),
        ("memory", "memory.high", "50331648"),
        ("memory", "memory.oom.group", "1"),
        ("cpu", "cpu.weight", "59"),
        ("cpu", "cpu.max", "50000 100000"),
        ("cpuset", "cpuset.cpus", "0"),
        ("pids", "pids.max", "77"),
    ];
    for (controller, file, value) in table {
        assert_eq!(cgroup::read(controller, bundle.cgroup(), file), value, "{file}");
    }
}

/// One process takes too much, and all of the container are killed.
#[test]
fn a_group_that_dies_of_memory_as_one_does() {
    requires!(root, stake, busybox_image, cgroup_v2);
    let resources =
        json!({ "memory": { "limit": 16_777_216, "swap": 16_777_216 }, "unified": { "memory.oom.group": "1" } });
    let script = "dd if=/dev/zero of=/dev/null bs=64M count=1; echo survived";
    let done = limited(&resources).args(&["/bin/sh", "-c", script]).run().exits(137);
    assert_eq!(done.out(), "");
    let without = json!({ "memory": { "limit": 16_777_216, "swap": 16_777_216 } });
    assert_eq!(limited(&without).args(&["/bin/sh", "-c", script]).run().ok().out(), "survived");
}

#[test]
fn update_changes_a_running_container() {
    requires!(root, runtime, busybox_image);
    let bundle = limited(&json!({})).detached();
    bundle.call(&["update", "--pids-limit", "77", bundle.id()]).run().ok();
    assert_eq!(cgroup::read("pids", bundle.cgroup(), "pids.max"), "77");
    let resources = json!({ "pids": { "limit": 78 } }).to_string();
    bundle.call(&["update", "--resources", "-", bundle.id()]).stdin(resources.as_bytes()).run().ok();
    assert_eq!(cgroup::read("pids", bundle.cgroup(), "pids.max"), "78");
}

#[test]
fn an_update_that_is_refused_changes_nothing() {
    requires!(root, stake, busybox_image, limits);
    let (shares, value) = if cgroup::is_v1("cpu") { ("cpu.shares", "700") } else { ("cpu.weight", "75") };
    let limit = if cgroup::is_v1("memory") { "memory.limit_in_bytes" } else { "memory.max" };
    let bundle = limited(&json!({ "pids": { "limit": 70 }, "cpu": { "shares": 700 } })).detached();
    let call =
        bundle.call(&["update", "--pids-limit", "77", "--cpu-share", "77", "--cpuset-cpus", "4000", bundle.id()]);
    call.run().refuses(&["as before"]);
    assert_eq!(cgroup::read("pids", bundle.cgroup(), "pids.max"), "70");
    assert_eq!(cgroup::read("cpu", bundle.cgroup(), shares), value);
    let before = cgroup::read("memory", bundle.cgroup(), limit);
    let resources =
        json!({ "pids": { "limit": 71 }, "memory": { "limit": 4096, "checkBeforeUpdate": true } }).to_string();
    let call = bundle.call(&["update", "--resources", "-", bundle.id()]).stdin(resources.as_bytes());
    call.run().refuses(&["more than the new limit"]);
    assert_eq!(cgroup::read("memory", bundle.cgroup(), limit), before);
    assert_eq!(cgroup::read("pids", bundle.cgroup(), "pids.max"), "70");
}

#[test]
fn memory_beyond_the_limit_kills() {
    requires!(root, runtime, busybox_image);
    let bundle = limited(&json!({ "memory": { "limit": 16_777_216 } })).args(&[
        "/bin/dd",
        "if=/dev/zero",
        "of=/dev/null",
        "bs=64M",
        "count=1",
    ]);
    bundle.run().exits(137);
    bundle.assert_gone();
}

#[test]
fn events_report_statistics() {
    requires!(root, runtime, busybox_image);
    let bundle = limited(&json!({ "pids": { "limit": 9 } })).detached();
    let event = bundle.call(&["events", "--stats", bundle.id()]).run().ok().json();
    assert_eq!(event["type"], "stats");
    assert_eq!(event["data"]["pids"]["limit"], 9);
    assert_eq!(event["data"]["pids"]["current"], 1);
}

#[test]
fn statistics_have_runcs_names() {
    requires!(root, runtime, busybox_image, limits);
    let bundle = limited(&json!({ "memory": { "limit": 67_108_864 } })).detached();
    let data = bundle.call(&["events", "--stats", bundle.id()]).run().ok().json()["data"].clone();
    let number = |pointer: &str| data.pointer(pointer).and_then(Value::as_u64);
    assert_eq!(number("/memory/usage/limit"), Some(67_108_864));
    assert!(number("/memory/usage/usage") > Some(0) && number("/cpu/usage/total") > Some(0), "{data}");
    if !cgroup::is_v1("memory") {
        assert!(number("/memory/raw/anon").is_some() && number("/memory/psi/some/total").is_some(), "{data}");
        assert!(number("/cpu/psi/some/total").is_some() && number("/blkio/psi/full/total").is_some(), "{data}");
        return;
    }
    assert!(number("/memory/raw/rss").is_some(), "{data}");
    // As the file says it: no limit is a number in cgroup v1.
    assert_eq!(number("/memory/kernel/limit").map(|limit| limit > 1 << 62), Some(true));
    for list in ["percpu", "percpu_kernel", "percpu_user"] {
        assert!(data["cpu"]["usage"][list].as_array().is_some_and(|all| !all.is_empty()), "{list}: {data}");
    }
    assert_eq!(data["cpuset"]["mems"][0], 0, "{data}");
    assert_eq!(number("/cpuset/sched_load_balance"), Some(1));
}

#[test]
fn want_of_memory_is_an_event_and_the_end_ends_them() {
    requires!(root, runtime, busybox_image);
    let bundle = limited(&json!({ "memory": { "limit": 16_777_216 } })).detached();
    let events = bundle.call(&["events", "--interval", "300ms", bundle.id()]).start();
    let seen = |kind: &str| events.stdout_so_far().lines().filter(|line| line.contains(kind)).count();
    let soon = std::time::Duration::from_secs(20);
    stockade_testkit::eventually("statistics", soon, || seen("\"stats\"") > 1);
    assert_eq!(seen("\"oom\""), 0);
    bundle.exec(&["/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]).exits(137);
    stockade_testkit::eventually("an event", soon, || seen("\"oom\"") > 0);
    bundle.kill("KILL").ok();
    bundle.until("stopped");
    if stockade_testkit::programs::runtime_is_ours() {
        events.wait().ok();
    } else {
        bundle.delete().ok();
        events.wait().either_way();
    }
    bundle.call(&["events", "--stats", bundle.id()]).run().refuses(&["not running", "does not exist"]);
}

#[test]
fn a_device_that_is_not_listed_cannot_be_opened() {
    requires!(root, runtime, busybox_image);
    let script = "mknod /tmp/null c 1 3 && mknod /tmp/kmsg c 1 11 && echo > /tmp/null && ! cat /tmp/kmsg";
    let allow =
        |minor: u32, access: &str| json!({ "allow": true, "type": "c", "major": 1, "minor": minor, "access": access });
    let rules = json!([{ "allow": false, "access": "rwm" }, allow(3, "rwm"), allow(11, "m")]);
    let done = limited(&json!({ "devices": rules })).sh(script).run().ok();
    assert!(done.stderr.contains("not permitted"), "{done:?}");
}
