//! `linux.resources` in cgroup v2: the same properties as in v1, in the files that this world has for them.

use serde_json::json;
use stockade_testkit::requires;

use super::resources::{RESOURCES, resource, throttle};
use super::{Case, Prints, Refused, Warned, case, try_all};

/// The limits of disks that the group has.
const RATES: &str = "cat /sys/fs/cgroup/io.max";

pub(super) const RESOURCES_V2: &[Case] = &[
    case(
        "linux.resources.memory.limit",
        |c| resource(c, "memory", &json!({ "limit": 67_108_864 })),
        Prints("cat /sys/fs/cgroup/memory.max", "67108864"),
    ),
    case(
        "linux.resources.memory.swap",
        |c| resource(c, "memory", &json!({ "limit": 67_108_864, "swap": 134_217_728 })),
        Prints("cat /sys/fs/cgroup/memory.swap.max", "67108864"),
    ),
    case(
        "linux.resources.memory.reservation",
        |c| resource(c, "memory", &json!({ "reservation": 33_554_432 })),
        Prints("cat /sys/fs/cgroup/memory.low", "33554432"),
    ),
    case(
        "linux.resources.memory.swappiness",
        |c| resource(c, "memory", &json!({ "swappiness": 7 })),
        Warned("swappiness"),
    ),
    case(
        "linux.resources.memory.disableOOMKiller",
        |c| resource(c, "memory", &json!({ "disableOOMKiller": true })),
        Warned("OOM killer"),
    ),
    case(
        "linux.resources.cpu.shares",
        |c| resource(c, "cpu", &json!({ "shares": 77 })),
        Prints("cat /sys/fs/cgroup/cpu.weight", "14"),
    ),
    case(
        "linux.resources.cpu.quota",
        |c| resource(c, "cpu", &json!({ "quota": 40_000, "period": 80_000, "burst": 10_000 })),
        Prints("cd /sys/fs/cgroup; cat cpu.max cpu.max.burst", "40000 80000\n10000"),
    ),
    case(
        "linux.resources.cpu.realtimeRuntime",
        |c| resource(c, "cpu", &json!({ "realtimeRuntime": 9000, "realtimePeriod": 900_000 })),
        Refused("real-time"),
    ),
    case(
        "linux.resources.cpu.idle",
        |c| resource(c, "cpu", &json!({ "idle": 1 })),
        Prints("cat /sys/fs/cgroup/cpu.idle", "1"),
    ),
    case(
        "linux.resources.cpu.cpus",
        |c| resource(c, "cpu", &json!({ "cpus": "0", "mems": "0" })),
        Prints("cd /sys/fs/cgroup; cat cpuset.cpus cpuset.mems", "0\n0"),
    ),
    case(
        "linux.resources.pids.limit",
        |c| resource(c, "pids", &json!({ "limit": 9 })),
        Prints("cat /sys/fs/cgroup/pids.max", "9"),
    ),
    case(
        "linux.resources.pids.limit",
        |c| resource(c, "pids", &json!({ "limit": -1 })),
        Prints("cat /sys/fs/cgroup/pids.max", "max"),
    ),
    case(
        "linux.resources.blockIO.throttleReadBpsDevice",
        |c| throttle(c, "ReadBps"),
        Prints(RATES, "7:0 rbps=7 wbps=max riops=max wiops=max"),
    ),
    case(
        "linux.resources.blockIO.throttleWriteBpsDevice",
        |c| throttle(c, "WriteBps"),
        Prints(RATES, "7:0 rbps=max wbps=7 riops=max wiops=max"),
    ),
    case(
        "linux.resources.blockIO.throttleReadIOPSDevice",
        |c| throttle(c, "ReadIOPS"),
        Prints(RATES, "7:0 rbps=max wbps=max riops=7 wiops=max"),
    ),
    case(
        "linux.resources.blockIO.throttleWriteIOPSDevice",
        |c| throttle(c, "WriteIOPS"),
        Prints(RATES, "7:0 rbps=max wbps=max riops=max wiops=7"),
    ),
    case(
        "linux.resources.unified",
        |c| resource(c, "unified", &json!({ "memory.high": "50331648", "memory.oom.group": "1" })),
        Prints("cd /sys/fs/cgroup; cat memory.high memory.oom.group", "50331648\n1"),
    ),
    case("linux.resources.unified", |c| resource(c, "unified", &json!({ "memory.none": "1" })), Refused("memory.none")),
    case(
        "linux.resources.devices",
        |c| {
            let kmsg = json!({ "allow": true, "type": "c", "major": 1, "minor": 11, "access": "m" });
            c["linux"]["resources"]["devices"].as_array_mut().unwrap().push(kmsg);
        },
        Prints(
            "mknod /tmp/k c 1 11 && echo made; cat /tmp/k 2>&1 || true",
            "made\ncat: can't open '/tmp/k': Operation not permitted",
        ),
    ),
];

#[test]
fn resource_properties_in_cgroup_v2() {
    requires!(root, stake, busybox_image, cgroup_v2);
    try_all(RESOURCES);
    try_all(RESOURCES_V2);
}
