//! `linux.resources`.

use serde_json::{Value, json};
use stockade_testkit::{Bundle, cgroup, requires};

use super::{Case, Prints, Refused, Warned, case, try_all};

/// Sets one section of `linux.resources`.
pub(super) fn resource(config: &mut Value, section: &str, value: &Value) {
    config["linux"]["resources"][section] = value.clone();
}

/// What is refused whatever the world of control groups is.
pub(super) const RESOURCES: &[Case] = &[
    case("linux.resources.memory.limit", |c| resource(c, "memory", &json!({ "limit": -2 })), Refused("memory.limit")),
    case(
        "linux.resources.memory.swap",
        |c| resource(c, "memory", &json!({ "limit": 8192, "swap": 4096 })),
        Refused("swap"),
    ),
    case("linux.resources.cpu.quota", |c| resource(c, "cpu", &json!({ "quota": 7 })), Refused("cpu.quota")),
    case("linux.resources.cpu.cpus", |c| resource(c, "cpu", &json!({ "cpus": "0-4095" })), Refused("cpuset.cpus")),
    case(
        "linux.resources.blockIO.leafWeight",
        |c| resource(c, "blockIO", &json!({ "leafWeight": 100 })),
        Refused("leaf"),
    ),
    case(
        "linux.resources.unified",
        |c| resource(c, "unified", &json!({ "../x": "1" })),
        Refused("linux.resources.unified[\"../x\"]"),
    ),
];

const MEMORY_LIMIT: &str = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes";

pub(super) const RESOURCES_V1: &[Case] = &[
    case(
        "linux.resources.memory.limit",
        |c| resource(c, "memory", &json!({ "limit": 67_108_864 })),
        Prints(MEMORY_LIMIT, "67108864"),
    ),
    case(
        "linux.resources.memory.swap",
        |c| resource(c, "memory", &json!({ "limit": 67_108_864, "swap": 134_217_728 })),
        Prints("cat /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", "134217728"),
    ),
    case(
        "linux.resources.memory.reservation",
        |c| resource(c, "memory", &json!({ "reservation": 33_554_432 })),
        Prints("cat /sys/fs/cgroup/memory/memory.soft_limit_in_bytes", "33554432"),
    ),
    case(
        "linux.resources.memory.kernel",
        |c| resource(c, "memory", &json!({ "kernel": 4096 })),
        Warned("kernel memory"),
    ),
    case("linux.resources.memory.kernelTCP", |c| resource(c, "memory", &json!({ "kernelTCP": 4096 })), Warned("TCP")),
    case(
        "linux.resources.memory.swappiness",
        |c| resource(c, "memory", &json!({ "swappiness": 7 })),
        Prints("cat /sys/fs/cgroup/memory/memory.swappiness", "7"),
    ),
    case(
        "linux.resources.memory.swappiness",
        |c| resource(c, "memory", &json!({ "swappiness": 101 })),
        Refused("memory.swappiness"),
    ),
    case(
        "linux.resources.memory.disableOOMKiller",
        |c| resource(c, "memory", &json!({ "disableOOMKiller": true })),
        Prints("grep oom_kill_disable /sys/fs/cgroup/memory/memory.oom_control", "oom_kill_disable 1"),
    ),
    case(
        "linux.resources.memory.useHierarchy",
        |c| resource(c, "memory", &json!({ "useHierarchy": true })),
        Prints("cat /sys/fs/cgroup/memory/memory.use_hierarchy", "1"),
    ),
    case(
        "linux.resources.memory.useHierarchy",
        |c| resource(c, "memory", &json!({ "useHierarchy": false })),
        Refused("hierarchy"),
    ),
    case(
        "linux.resources.cpu.shares",
        |c| resource(c, "cpu", &json!({ "shares": 77 })),
        Prints("cat /sys/fs/cgroup/cpu/cpu.shares", "77"),
    ),
    case(
        "linux.resources.cpu.quota",
        |c| resource(c, "cpu", &json!({ "quota": 40_000, "period": 80_000, "burst": 10_000 })),
        Prints("cd /sys/fs/cgroup/cpu; cat cpu.cfs_quota_us cpu.cfs_period_us cpu.cfs_burst_us", "40000\n80000\n10000"),
    ),
    case("linux.resources.cpu.period", |c| resource(c, "cpu", &json!({ "period": 7 })), Refused("cpu.period")),
    case(
        "linux.resources.cpu.burst",
        |c| resource(c, "cpu", &json!({ "quota": 4000, "burst": 9000 })),
        Refused("burst can not exceed the quota"),
    ),
    case(
        "linux.resources.cpu.realtimeRuntime",
        |c| resource(c, "cpu", &json!({ "realtimeRuntime": 9000, "realtimePeriod": 900_000 })),
        Prints("cd /sys/fs/cgroup/cpu; cat cpu.rt_runtime_us cpu.rt_period_us", "9000\n900000"),
    ),
    case(
        "linux.resources.cpu.realtimePeriod",
        |c| resource(c, "cpu", &json!({ "realtimeRuntime": -2 })),
        Refused("realtimeRuntime"),
    ),
    case(
        "linux.resources.cpu.idle",
        |c| resource(c, "cpu", &json!({ "idle": 1 })),
        Prints("cat /sys/fs/cgroup/cpu/cpu.idle", "1"),
    ),
    case("linux.resources.cpu.idle", |c| resource(c, "cpu", &json!({ "idle": 2 })), Refused("cpu.idle")),
    case(
        "linux.resources.cpu.cpus",
        |c| resource(c, "cpu", &json!({ "cpus": "0", "mems": "0" })),
        Prints("cd /sys/fs/cgroup/cpuset; cat cpuset.cpus cpuset.mems", "0\n0"),
    ),
    case("linux.resources.cpu.mems", |c| resource(c, "cpu", &json!({ "mems": "x" })), Refused("cpu.mems")),
    case(
        "linux.resources.pids.limit",
        |c| resource(c, "pids", &json!({ "limit": 9 })),
        Prints("cat /sys/fs/cgroup/pids/pids.max", "9"),
    ),
    case(
        "linux.resources.pids.limit",
        |c| resource(c, "pids", &json!({ "limit": -1 })),
        Prints("cat /sys/fs/cgroup/pids/pids.max", "max"),
    ),
    case("linux.resources.pids.limit", |c| resource(c, "pids", &json!({ "limit": -2 })), Refused("pids.limit")),
    case(
        "linux.resources.blockIO.weight",
        |c| resource(c, "blockIO", &json!({ "weight": 123 })),
        Prints("cat /sys/fs/cgroup/blkio/blkio.bfq.weight", "123"),
    ),
    case(
        "linux.resources.blockIO.weight",
        |c| resource(c, "blockIO", &json!({ "weight": 9 })),
        Refused("blockIO.weight"),
    ),
    case(
        "linux.resources.blockIO.weightDevice",
        |c| resource(c, "blockIO", &json!({ "weightDevice": [{ "major": 4096, "minor": 0, "weight": 100 }] })),
        Refused("blockIO.weightDevice[0].major"),
    ),
    case(
        "linux.resources.blockIO.throttleReadBpsDevice",
        |c| throttle(c, "ReadBps"),
        Prints(THROTTLE, "blkio.throttle.read_bps_device 7:0 7"),
    ),
    case(
        "linux.resources.blockIO.throttleWriteBpsDevice",
        |c| throttle(c, "WriteBps"),
        Prints(THROTTLE, "blkio.throttle.write_bps_device 7:0 7"),
    ),
    case(
        "linux.resources.blockIO.throttleReadIOPSDevice",
        |c| throttle(c, "ReadIOPS"),
        Prints(THROTTLE, "blkio.throttle.read_iops_device 7:0 7"),
    ),
    case(
        "linux.resources.blockIO.throttleWriteIOPSDevice",
        |c| throttle(c, "WriteIOPS"),
        Prints(THROTTLE, "blkio.throttle.write_iops_device 7:0 7"),
    ),
    case(
        "linux.resources.unified",
        |c| resource(c, "unified", &json!({ "memory.high": "max" })),
        Refused("memory.high"),
    ),
    case(
        "linux.resources.devices",
        |c| {
            let null = json!({ "allow": true, "type": "c", "major": 1, "minor": 11, "access": "rwm" });
            c["linux"]["resources"]["devices"].as_array_mut().unwrap().push(null);
        },
        Prints("grep '1:11' /sys/fs/cgroup/devices/devices.list", "c 1:11 rwm"),
    ),
    case(
        "linux.resources.devices",
        |c| resource(c, "devices", &json!([{ "allow": true, "access": "x" }])),
        Refused("devices[0].access"),
    ),
];

const THROTTLE: &str =
    "cd /sys/fs/cgroup/blkio; for f in *throttle.*_device; do while read l; do echo $f $l; done < $f; done";

/// A rate for the first loop device, which every machine of ours has.
pub(super) fn throttle(config: &mut Value, what: &str) {
    config["linux"]["resources"]["blockIO"][format!("throttle{what}Device")] =
        json!([{ "major": 7, "minor": 0, "rate": 7 }]);
}

#[test]
fn resource_properties_in_cgroup_v1() {
    requires!(root, stake, busybox_image, cgroup_v1);
    try_all(RESOURCES);
    try_all(RESOURCES_V1);
}

/// Gives a property its value.
type Set = fn(&mut Value);

/// What depends on controllers that a machine may lack: then the limit is refused and the error names the controller.
pub(super) const RESOURCES_OF_ANY_MACHINE: &[(&str, &str, Set)] = &[
    ("linux.resources.hugepageLimits", "hugetlb", |c| {
        resource(c, "hugepageLimits", &json!([{ "pageSize": "2MB", "limit": 2_097_152 }]));
    }),
    ("linux.resources.network.classID", "net_cls", |c| resource(c, "network", &json!({ "classID": 1 }))),
    ("linux.resources.network.priorities", "net_prio", |c| {
        resource(c, "network", &json!({ "priorities": [{ "name": "lo", "priority": 1 }] }));
    }),
    ("linux.resources.rdma", "rdma", |c| resource(c, "rdma", &json!({ "mlx5_1": { "hcaHandles": 3 } }))),
];

#[test]
fn a_limit_without_its_controller_is_refused() {
    requires!(root, stake, busybox_image);
    for (property, controller, set) in RESOURCES_OF_ANY_MACHINE {
        let there = cgroup::hierarchies().iter().any(|one| {
            let unified = std::fs::read_to_string(one.mount.join("cgroup.controllers")).unwrap_or_default();
            one.controllers.iter().any(|name| name == controller)
                || unified.split_whitespace().any(|c| c == *controller)
        });
        let bundle = Bundle::busybox().edit(set);
        let done = bundle.run();
        match there {
            true if *controller != "rdma" => assert_eq!(done.code(), 0, "{property}: {done:?}"),
            _ => drop(done.refuses(&[controller])),
        }
        bundle.assert_gone();
    }
}
