//! The `config.json` that Docker writes for a container without options, as JSON to be edited.
//!
//! Written down by hand from what dockerd 28 and 29 produce and not taken from `stockade-policy`: the suites judge
//! that crate and the runtime, and a bench needs a bundle that every peer takes.

use serde_json::{Value, json};

/// The fourteen default capabilities.
pub const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// The default masked paths that every kernel may have.
pub const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// The default read-only paths.
pub const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The whole configuration: all six namespaces that Docker unshares on cgroup v2, its capabilities, system call
/// filter, mounts, devices, masks, and limits on processes, memory and CPU.
#[must_use]
pub fn docker(cgroup: &str, arguments: &[&str]) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0, "additionalGids": [0] },
            "args": arguments,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"],
            "cwd": "/",
            "capabilities": { "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES },
            "oomScoreAdj": 0
        },
        "root": { "path": "rootfs", "readonly": false },
        "hostname": "box",
        "mounts": mounts(),
        "linux": {
            "sysctl": {
                "net.ipv4.ip_unprivileged_port_start": "0",
                "net.ipv4.ping_group_range": "0 2147483647"
            },
            "resources": {
                "devices": devices(),
                "memory": { "limit": 268_435_456u64 },
                "cpu": { "shares": 1024, "quota": 100_000, "period": 100_000 },
                "pids": { "limit": 512 }
            },
            "cgroupsPath": cgroup,
            "namespaces": [
                { "type": "mount" }, { "type": "network" }, { "type": "uts" },
                { "type": "pid" }, { "type": "ipc" }, { "type": "cgroup" }
            ],
            "seccomp": seccomp(),
            "maskedPaths": MASKED,
            "readonlyPaths": READONLY
        }
    })
}

/// Docker's default filter for its default capabilities in OCI form; `null` where it was not written down.
///
/// # Panics
/// Never: the data is part of the kit.
#[must_use]
pub fn seccomp() -> Value {
    if cfg!(target_arch = "x86_64") {
        serde_json::from_str(include_str!("../data/seccomp-docker-x86_64.json")).expect("the kit's data is JSON")
    } else {
        Value::Null
    }
}

fn mounts() -> Value {
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
          "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
        { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
          "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
        { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
        { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
          "options": ["ro", "nosuid", "noexec", "nodev"] },
        { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"] },
        { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
          "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"] }
    ])
}

fn devices() -> Value {
    let allow = |kind: &str, major: Option<u32>, minor: Option<u32>, access: &str| {
        let mut rule = json!({ "allow": true, "type": kind, "access": access });
        if let Some(major) = major {
            rule["major"] = json!(major);
        }
        if let Some(minor) = minor {
            rule["minor"] = json!(minor);
        }
        rule
    };
    json!([
        { "allow": false, "access": "rwm" },
        allow("c", Some(1), Some(5), "rwm"),
        allow("c", Some(1), Some(3), "rwm"),
        allow("c", Some(1), Some(9), "rwm"),
        allow("c", Some(1), Some(8), "rwm"),
        allow("c", Some(5), Some(0), "rwm"),
        allow("c", Some(5), Some(1), "rwm"),
        { "allow": false, "type": "c", "major": 10, "minor": 229, "access": "rwm" }
    ])
}
