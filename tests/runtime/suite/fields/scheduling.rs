//! How a process is scheduled, and how it takes memory.

use serde_json::{Value, json};
use stockade_testkit::{Bundle, cgroup, requires};

use super::{Case, Prints, Refused, case, try_all};

/// Fields of the shell's own `/proc/self/stat`: nice value, real-time priority and policy (`proc_pid_stat(5)`).
const SCHEDULING: &str = "read line < /proc/self/stat; set -- ${line##*)}; echo ${17} ${38} ${39}";

/// Scheduling; a new cpu cgroup of cgroup v1 has no real-time processor time unless it is given some.
pub(super) const SCHEDULING_CASES: &[Case] = &[
    case(
        "process.scheduler.policy",
        |c| scheduler(c, &json!({ "policy": "SCHED_BATCH" })),
        Prints(SCHEDULING, "0 0 3"),
    ),
    case("process.scheduler.policy", |c| scheduler(c, &json!({ "policy": "SCHED_IDLE" })), Prints(SCHEDULING, "0 0 5")),
    case(
        "process.scheduler.policy",
        |c| scheduler(c, &json!({ "policy": "SCHED_X" })),
        Refused("process.scheduler.policy"),
    ),
    case("process.scheduler.policy", |c| scheduler(c, &json!({ "policy": "SCHED_ISO" })), Refused("scheduling policy")),
    case(
        "process.scheduler.nice",
        |c| scheduler(c, &json!({ "policy": "SCHED_OTHER", "nice": -5 })),
        Prints(SCHEDULING, "-5 0 0"),
    ),
    case(
        "process.scheduler.priority",
        |c| real_time(c, &json!({ "policy": "SCHED_FIFO", "priority": 3 })),
        Prints(SCHEDULING, "0 3 1"),
    ),
    case(
        "process.scheduler.priority",
        |c| real_time(c, &json!({ "policy": "SCHED_RR", "priority": 4 })),
        Prints(SCHEDULING, "0 4 2"),
    ),
    case(
        "process.scheduler.priority",
        |c| scheduler(c, &json!({ "policy": "SCHED_BATCH", "priority": 4 })),
        Refused("process.scheduler.priority"),
    ),
    case(
        "process.scheduler.flags",
        |c| scheduler(c, &json!({ "policy": "SCHED_BATCH", "nice": -5, "flags": ["SCHED_FLAG_RESET_ON_FORK"] })),
        // A child is no longer before others.
        Prints("sh -c 'read line < /proc/self/stat; set -- ${line##*)}; echo ${17} ${39}'; true", "0 3"),
    ),
    case(
        "process.scheduler.flags",
        |c| scheduler(c, &json!({ "policy": "SCHED_BATCH", "flags": ["SCHED_FLAG_UTIL_CLAMP_MIN"] })),
        Refused("process.scheduler.flags[0]"),
    ),
    case("process.scheduler.runtime", deadline, Prints(SCHEDULING, "0 0 6")),
    case("process.scheduler.deadline", deadline, Prints(SCHEDULING, "0 0 6")),
    case("process.scheduler.period", deadline, Prints(SCHEDULING, "0 0 6")),
    case(
        "process.scheduler.runtime",
        |c| scheduler(c, &json!({ "policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2 })),
        Refused("process.scheduler.runtime"),
    ),
    case(
        "process.ioPriority.class",
        |c| c["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 }),
        Prints("ionice", "best-effort: prio 6"),
    ),
    case(
        "process.ioPriority.class",
        |c| c["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_IDLE", "priority": 0 }),
        Prints("ionice", "idle"),
    ),
    case(
        "process.ioPriority.priority",
        |c| c["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_RT", "priority": 8 }),
        Refused("process.ioPriority.priority"),
    ),
    case(
        "process.execCPUAffinity.initial",
        |c| c["process"]["execCPUAffinity"] = json!({ "initial": "x" }),
        Refused("process.execCPUAffinity.initial"),
    ),
    case(
        "linux.personality.domain",
        |c| c["linux"]["personality"] = json!({ "domain": "LINUX32" }),
        Prints("uname -m", "i686"),
    ),
    case(
        "linux.personality.flags",
        |c| c["linux"]["personality"] = json!({ "domain": "LINUX", "flags": ["X"] }),
        Refused("linux.personality.flags"),
    ),
    case(
        "linux.memoryPolicy.mode",
        |c| c["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_BIND", "nodes": "0" }),
        Prints("head -1 /proc/self/numa_maps | cut -d' ' -f2", "bind:0"),
    ),
    case(
        "linux.memoryPolicy.nodes",
        |c| c["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_BIND", "nodes": "" }),
        Refused("linux.memoryPolicy.nodes"),
    ),
    case(
        "linux.memoryPolicy.flags",
        |c| c["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] }),
        Prints("head -1 /proc/self/numa_maps | cut -d' ' -f2", "bind=static:0"),
    ),
    case(
        "linux.memoryPolicy.flags",
        |c| c["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["X"] }),
        Refused("linux.memoryPolicy.flags[0]"),
    ),
];

/// Sets `process.scheduler`.
fn scheduler(config: &mut Value, value: &Value) {
    config["process"]["scheduler"] = value.clone();
}

/// With real-time processor time for the group, where cgroup v1 gives it out.
fn real_time(config: &mut Value, value: &Value) {
    scheduler(config, value);
    if cgroup::is_v1("cpu") {
        config["linux"]["resources"]["cpu"] = json!({ "realtimePeriod": 1_000_000, "realtimeRuntime": 10_000 });
    }
}

/// A payload that gets 1 ms of every 100 ms.
fn deadline(config: &mut Value) {
    let value =
        json!({ "policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 100_000_000, "period": 100_000_000 });
    real_time(config, &value);
}

#[test]
fn scheduling_properties() {
    requires!(root, stake, busybox_image);
    try_all(SCHEDULING_CASES);
}
#[test]
fn processors_of_what_is_executed_in_a_container() {
    requires!(root, stake, busybox_image);
    let affinity = json!({ "initial": "1", "final": "0" });
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]);
    let bundle = bundle.edit(|config| config["process"]["execCPUAffinity"] = affinity).detached();
    let script = "grep Cpus_allowed_list /proc/self/status | tr -d '\\t'";
    assert_eq!(bundle.exec(&["/bin/sh", "-c", script]).ok().out(), "Cpus_allowed_list:0");
    // The payload itself is where it would be without.
    let of_payload = bundle.exec(&["/bin/sh", "-c", "grep Cpus_allowed_list /proc/1/status | tr -d '\\t'"]).ok();
    assert_ne!(of_payload.out(), "Cpus_allowed_list:0");
}
