//! `linux`, but for its limits.

use serde_json::json;
use stockade_testkit::{Bundle, Call, programs, requires};

use super::{Case, Prints, Refused, case, try_all};

/// The propagation of the root.
const ROOT_PROPAGATION: &str = "grep ' / / \\| / ' /proc/self/mountinfo | head -1 | cut -d' ' -f7 | cut -d: -f1";
pub(super) const LINUX: &[Case] = &[
    case(
        "linux.namespaces.type",
        |c| c["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "pid" })),
        Refused("linux.namespaces[6].type"),
    ),
    case(
        "linux.namespaces.type",
        |c| c["linux"]["namespaces"][0]["type"] = json!("x"),
        Refused("linux.namespaces[0].type"),
    ),
    case(
        "linux.namespaces.path",
        |c| {
            c["linux"]["namespaces"][1]["path"] = json!("/proc/self/ns/mnt");
            c["linux"]["sysctl"] = json!({});
        },
        Refused("/proc/self/ns/mnt"),
    ),
    case(
        "linux.timeOffsets",
        |c| c["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": 1 } }),
        Refused("linux.timeOffsets"),
    ),
    case(
        "linux.timeOffsets",
        |c| {
            c["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "time" }));
            c["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": 7, "nanosecs": 5 }, "boottime": { "secs": 9 } });
        },
        Prints("tr -s ' ' < /proc/self/timens_offsets", "monotonic 7 5\nboottime 9 0"),
    ),
    case(
        "linux.uidMappings",
        |c| c["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 1, "size": 1 }]),
        Refused("linux.uidMappings"),
    ),
    case(
        "linux.gidMappings",
        |c| c["linux"]["gidMappings"] = json!([{ "containerID": 0, "hostID": 1, "size": 1 }]),
        Refused("linux.gidMappings"),
    ),
    case(
        "linux.sysctl",
        |c| c["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1", "kernel/shmmni": "17" }),
        Prints("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni", "1\n17"),
    ),
    case("linux.sysctl", |c| c["linux"]["sysctl"] = json!({ "vm.swappiness": "1" }), Refused("vm.swappiness")),
    case("linux.sysctl", |c| c["linux"]["sysctl"] = json!({ "net.no.such": "1" }), Refused("net/no/such")),
    case(
        "linux.devices",
        |c| {
            c["linux"]["devices"] = json!([
                { "path": "/dev/c", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 5, "gid": 6 },
                { "path": "/other/u", "type": "u", "major": 1, "minor": 5 },
                { "path": "/dev/b", "type": "b", "major": 7, "minor": 1, "fileMode": 0o60_600 },
                { "path": "/dev/p", "type": "p", "fileMode": 0o622 },
            ]);
        },
        Prints(
            "stat -c '%F %t %T %a %u %g' /dev/c /other/u /dev/b /dev/p",
            "character special file 1 3 640 5 6\ncharacter special file 1 5 666 0 0\n\
             block special file 7 1 600 0 0\nfifo 0 0 622 0 0",
        ),
    ),
    case(
        "linux.devices",
        |c| c["linux"]["devices"] = json!([{ "path": "/bin/busybox", "type": "c", "major": 1, "minor": 3 }]),
        Refused("/bin/busybox"),
    ),
    case(
        "linux.devices",
        |c| c["linux"]["devices"] = json!([{ "path": "/dev/x", "type": "c" }]),
        Refused("linux.devices[0].major"),
    ),
    case(
        "linux.devices",
        |_| {},
        Prints(
            "cd /dev; stat -c '%n %t %T %a' full null random tty urandom zero; for n in ptmx fd stdin stdout stderr; do readlink $n; done",
            "full 1 7 666\nnull 1 3 666\nrandom 1 8 666\ntty 5 0 666\nurandom 1 9 666\nzero 1 5 666\n\
             pts/ptmx\n/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2",
        ),
    ),
    case("linux.netDevices", |c| c["linux"]["netDevices"] = json!({ "no-such": {} }), Refused("no-such")),
    case(
        "linux.netDevices",
        |c| c["linux"]["netDevices"] = json!({ "a": { "name": "b/c" } }),
        Refused("linux.netDevices[\"a\"].name"),
    ),
    case(
        "linux.rootfsPropagation",
        |c| c["linux"]["rootfsPropagation"] = json!("rprivate"),
        Prints(ROOT_PROPAGATION, "-"),
    ),
    case(
        "linux.rootfsPropagation",
        |c| c["linux"]["rootfsPropagation"] = json!("shared"),
        Prints(ROOT_PROPAGATION, "shared"),
    ),
    case(
        "linux.rootfsPropagation",
        |c| c["linux"]["rootfsPropagation"] = json!("unbindable"),
        Prints(ROOT_PROPAGATION, "unbindable"),
    ),
    case(
        "linux.rootfsPropagation",
        |c| c["linux"]["rootfsPropagation"] = json!("x"),
        Refused("linux.rootfsPropagation"),
    ),
    case(
        "linux.maskedPaths",
        |c| c["linux"]["maskedPaths"] = json!(["/etc", "/home"]),
        Prints("echo /etc/* /home/*", "/etc/* /home/*"),
    ),
    case("linux.maskedPaths", |c| c["linux"]["maskedPaths"] = json!(["etc"]), Refused("linux.maskedPaths[0]")),
    case(
        "linux.readonlyPaths",
        |c| c["linux"]["readonlyPaths"] = json!(["/etc"]),
        Prints("touch /etc/x 2>&1 | grep -o Read-only", "Read-only"),
    ),
    case("linux.readonlyPaths", |c| c["linux"]["readonlyPaths"] = json!(["etc"]), Refused("linux.readonlyPaths[0]")),
    case("linux.mountLabel", |c| c["linux"]["mountLabel"] = json!("x"), Refused("linux.mountLabel")),
    case("linux.intelRdt", |c| c["linux"]["intelRdt"] = json!({ "closID": "x" }), Refused("linux.intelRdt")),
    case("linux.seccomp", |c| c["linux"]["seccomp"]["defaultAction"] = json!("X"), Refused("defaultAction")),
    case("linux.cgroupsPath", |c| c["linux"]["cgroupsPath"] = json!("/a/../b"), Refused("linux.cgroupsPath")),
];

#[test]
fn linux_properties() {
    requires!(root, stake, busybox_image, time_namespaces);
    try_all(LINUX);
}
#[test]
fn a_network_device_is_handed_over_under_its_new_name() {
    requires!(root, stake, busybox_image, unshare, ip);
    let bundle = Bundle::busybox().args(&["/bin/ls", "/sys/class/net"]).edit(|config| {
        config["linux"]["netDevices"] = json!({ "outer0": { "name": "inner0" }, "outer1": {} });
    });
    bundle.write();
    // The runtime's own network namespace is one that this test has made.
    let script = "ip link add outer0 type veth peer name outer1 && exec \"$0\" \"$@\"";
    let call = Call::new("unshare").args(["--net", "sh", "-c", script]).arg(programs::runtime());
    let call = call.arg("--root").arg(bundle.state_folder()).args(["run", "--bundle"]).arg(bundle.folder());
    assert_eq!(
        call.arg(bundle.id()).run().ok().out().split_whitespace().collect::<Vec<_>>(),
        ["inner0", "lo", "outer1"]
    );
}
