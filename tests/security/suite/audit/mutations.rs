//! Ways in which a container is made weaker than asked, each with what the audit must find.

use serde_json::{Value, json};

/// One way.
pub(super) struct Mutation {
    pub(super) name: &'static str,
    /// What is changed in the configuration.
    pub(super) change: fn(&mut Value),
    /// `check: part` of each finding that must be weaker than asked.
    pub(super) found: &'static [&'static str],
}

const fn mutation(name: &'static str, change: fn(&mut Value), found: &'static [&'static str]) -> Mutation {
    Mutation { name, change, found }
}

fn without_namespace(config: &mut Value, kind: &str) {
    config["linux"]["namespaces"].as_array_mut().unwrap().retain(|one| one["type"] != kind);
}

fn mount(config: &mut Value, one: Value) {
    config["mounts"].as_array_mut().unwrap().push(one);
}

fn bind(config: &mut Value, source: &str, destination: &str, access: &str) {
    let one = json!({ "type": "bind", "source": source, "destination": destination,
        "options": ["bind", "rprivate", access] });
    mount(config, one);
}

/// Takes an option from the mount at `destination`.
fn without_option(config: &mut Value, destination: &str, option: &str) {
    for one in config["mounts"].as_array_mut().unwrap() {
        if one["destination"] == destination {
            one["options"].as_array_mut().unwrap().retain(|other| other != option);
        }
    }
}

fn without_mount(config: &mut Value, destination: &str) {
    config["mounts"].as_array_mut().unwrap().retain(|one| one["destination"] != destination);
}

fn without_path(config: &mut Value, list: &str, path: &str) {
    config["linux"][list].as_array_mut().unwrap().retain(|one| one != path);
}

fn allow_device(config: &mut Value, kind: &str, major: u32, minor: u32) {
    let rule = json!({ "allow": true, "type": kind, "major": major, "minor": minor, "access": "rw" });
    config["linux"]["resources"]["devices"].as_array_mut().unwrap().push(rule);
}

fn allow_call(config: &mut Value, name: &str) {
    let rule = json!({ "names": [name], "action": "SCMP_ACT_ALLOW" });
    config["linux"]["seccomp"]["syscalls"].as_array_mut().unwrap().push(rule);
}

/// Allows a call in every rule that is about its arguments.
fn allow_arguments(config: &mut Value, name: &str) {
    for rule in config["linux"]["seccomp"]["syscalls"].as_array_mut().unwrap() {
        if rule["names"].as_array().unwrap().iter().any(|one| one == name) {
            rule["action"] = "SCMP_ACT_ALLOW".into();
            rule.as_object_mut().unwrap().remove("args");
            rule.as_object_mut().unwrap().remove("errnoRet");
        }
    }
}

fn add_capability(config: &mut Value, sets: &[&str], name: &str) {
    for set in sets {
        let set = &mut config["process"]["capabilities"][*set];
        if set.is_null() {
            *set = json!([]);
        }
        set.as_array_mut().unwrap().push(name.into());
    }
}

fn environment(config: &mut Value, variable: &str) {
    config["process"]["env"].as_array_mut().unwrap().push(variable.into());
}

fn node(config: &mut Value, path: &str, kind: &str, major: u32, minor: u32) {
    let one =
        json!({ "path": path, "type": kind, "major": major, "minor": minor, "fileMode": 0o600, "uid": 0, "gid": 0 });
    let devices = &mut config["linux"]["devices"];
    if devices.is_null() {
        *devices = json!([]);
    }
    devices.as_array_mut().unwrap().push(one);
}

/// All of them.
pub(super) const MUTATIONS: &[Mutation] = &[
    // Namespaces.
    mutation(
        "the host's IPC",
        |c| {
            without_namespace(c, "ipc");
            c["linux"]["sysctl"].as_object_mut().unwrap().remove("kernel.msgmax");
        },
        &["namespaces: ipc", "sysctls: kernel.msgmax"],
    ),
    mutation(
        "the host's host name",
        |c| {
            without_namespace(c, "uts");
            c.as_object_mut().unwrap().remove("hostname");
        },
        &["namespaces: uts"],
    ),
    mutation("the host's cgroups", |c| without_namespace(c, "cgroup"), &["namespaces: cgroup"]),
    mutation("the host's processes", |c| without_namespace(c, "pid"), &["namespaces: pid"]),
    // Capabilities and privileges.
    mutation(
        "one more in the bounding set",
        |c| add_capability(c, &["bounding"], "CAP_SYS_ADMIN"),
        &["capabilities: bounding"],
    ),
    mutation("another one there", |c| add_capability(c, &["bounding"], "CAP_NET_RAW"), &["capabilities: bounding"]),
    mutation(
        "one that is inherited",
        |c| add_capability(c, &["permitted", "inheritable"], "CAP_KILL"),
        // The others are lost at the exec of a user's program.
        &["capabilities: inheritable"],
    ),
    mutation(
        "an ambient one",
        |c| add_capability(c, &["permitted", "effective", "inheritable", "ambient"], "CAP_KILL"),
        &["capabilities: permitted", "capabilities: effective", "capabilities: inheritable", "capabilities: ambient"],
    ),
    mutation(
        "new privileges",
        |c| c["process"]["noNewPrivileges"] = false.into(),
        &["no-new-privileges: no_new_privs"],
    ),
    // The filter.
    mutation("no filter", |c| drop(c["linux"].as_object_mut().unwrap().remove("seccomp")), &["seccomp: mode"]),
    mutation("mount", |c| allow_call(c, "mount"), &["filter: program", "calls: native", "calls: x32", "calls: i386"]),
    mutation("bpf", |c| allow_call(c, "bpf"), &["filter: program", "calls: native", "calls: x32", "calls: i386"]),
    mutation("keyctl", |c| allow_call(c, "keyctl"), &["filter: program", "calls: native", "calls: x32", "calls: i386"]),
    mutation(
        "io_uring_setup",
        |c| allow_call(c, "io_uring_setup"),
        &["filter: program", "calls: native", "calls: x32", "calls: i386"],
    ),
    mutation(
        "open_by_handle_at",
        |c| allow_call(c, "open_by_handle_at"),
        &["filter: program", "calls: native", "calls: x32", "calls: i386"],
    ),
    mutation(
        "unshare",
        |c| allow_call(c, "unshare"),
        &["filter: program", "calls: native", "calls: upper bits", "calls: x32", "calls: i386"],
    ),
    mutation("a call of no known way out", |c| allow_call(c, "nfsservctl"), &["filter: program"]),
    mutation(
        "clone with any flags",
        |c| allow_arguments(c, "clone"),
        &["filter: program", "calls: native", "calls: upper bits", "calls: x32", "calls: i386"],
    ),
    mutation(
        "sockets of any family",
        |c| allow_arguments(c, "socket"),
        &["filter: program", "calls: native", "calls: upper bits", "calls: x32", "calls: i386"],
    ),
    mutation(
        "any personality",
        |c| allow_arguments(c, "personality"),
        &["filter: program", "calls: native", "calls: upper bits", "calls: x32", "calls: i386"],
    ),
    // Identity.
    mutation("root", |c| c["process"]["user"]["uid"] = 0.into(), &["identity: user"]),
    mutation("another user", |c| c["process"]["user"]["uid"] = 1001.into(), &["identity: user"]),
    mutation("one more group", |c| c["process"]["user"]["additionalGids"] = json!([1000, 0]), &["identity: groups"]),
    mutation("another group", |c| c["process"]["user"]["gid"] = 27.into(), &["identity: groups"]),
    // Root and mounts.
    mutation("a writable root", |c| c["root"]["readonly"] = false.into(), &["root: read-only"]),
    mutation(
        "one more mount",
        |c| mount(c, json!({ "type": "tmpfs", "source": "x", "destination": "/mnt", "options": [] })),
        &["mounts: /mnt"],
    ),
    mutation("one mount less", |c| without_mount(c, "/dev/shm"), &["mounts: /dev/shm"]),
    mutation("shared memory with programs", |c| without_option(c, "/dev/shm", "noexec"), &["mounts: /dev/shm"]),
    mutation("shared memory with devices", |c| without_option(c, "/dev/shm", "nodev"), &["mounts: /dev/shm"]),
    mutation("shared memory with set-user-id", |c| without_option(c, "/dev/shm", "nosuid"), &["mounts: /dev/shm"]),
    mutation("terminals with programs", |c| without_option(c, "/dev/pts", "noexec"), &["mounts: /dev/pts"]),
    mutation("writable sysfs", |c| without_option(c, "/sys", "ro"), &["mounts: /sys", "kernel-files: /sys written"]),
    mutation("procfs with devices", |c| without_option(c, "/proc", "nodev"), &["mounts: /proc"]),
    mutation("a folder of the host", |c| bind(c, "/etc", "/mnt", "ro"), &["mounts: /mnt", "host-paths: /mnt"]),
    mutation(
        "a writable folder of the host",
        |c| bind(c, "/var/log", "/mnt", "rw"),
        &["mounts: /mnt", "host-paths: /mnt"],
    ),
    mutation("the whole host", |c| bind(c, "/", "/mnt", "ro"), &["mounts: /mnt", "host-paths: /mnt"]),
    mutation(
        "the host's processes by procfs",
        |c| bind(c, "/proc", "/mnt", "ro"),
        &["mounts: /mnt", "host-paths: /mnt"],
    ),
    mutation("an engine's folder", |c| bind(c, "/run", "/mnt", "ro"), &["mounts: /mnt", "host-paths: /mnt"]),
    mutation("a harmless folder of the host", |c| bind(c, "/srv", "/mnt", "ro"), &["mounts: /mnt"]),
    mutation(
        "the host's procfs as its own",
        |c| {
            without_mount(c, "/proc");
            bind(c, "/proc", "/proc", "rw");
        },
        &[
            "mounts: /proc",
            "kernel-files: /proc",
            "host-paths: /proc",
            // What of it cannot be written is bound over itself.
            "host-paths: /proc/bus",
            "host-paths: /proc/fs",
            "host-paths: /proc/irq",
            "host-paths: /proc/sys",
        ],
    ),
    mutation(
        "another kind of file system",
        |c| {
            for one in c["mounts"].as_array_mut().unwrap() {
                if one["destination"] == "/dev/mqueue" {
                    one["type"] = "tmpfs".into();
                }
            }
        },
        &["mounts: /dev/mqueue type"],
    ),
    // Masks.
    mutation("/proc/acpi", |c| without_path(c, "maskedPaths", "/proc/acpi"), &["masked-paths: /proc/acpi"]),
    mutation(
        "/proc/interrupts",
        |c| without_path(c, "maskedPaths", "/proc/interrupts"),
        &["masked-paths: /proc/interrupts"],
    ),
    mutation("/proc/keys", |c| without_path(c, "maskedPaths", "/proc/keys"), &["masked-paths: /proc/keys"]),
    mutation(
        "/proc/timer_list",
        |c| without_path(c, "maskedPaths", "/proc/timer_list"),
        &["masked-paths: /proc/timer_list"],
    ),
    mutation("/sys/firmware", |c| without_path(c, "maskedPaths", "/sys/firmware"), &["masked-paths: /sys/firmware"]),
    mutation("/proc/bus", |c| without_path(c, "readonlyPaths", "/proc/bus"), &["masked-paths: /proc/bus"]),
    mutation("/proc/fs", |c| without_path(c, "readonlyPaths", "/proc/fs"), &["masked-paths: /proc/fs"]),
    mutation("/proc/irq", |c| without_path(c, "readonlyPaths", "/proc/irq"), &["masked-paths: /proc/irq"]),
    mutation("/proc/sys", |c| without_path(c, "readonlyPaths", "/proc/sys"), &["masked-paths: /proc/sys"]),
    mutation(
        "no masks at all",
        |c| c["linux"]["maskedPaths"] = json!([]),
        &[
            "masked-paths: /proc/acpi",
            "masked-paths: /proc/asound",
            "masked-paths: /proc/interrupts",
            "masked-paths: /proc/kcore",
            "masked-paths: /proc/keys",
            "masked-paths: /proc/latency_stats",
            "masked-paths: /proc/sched_debug",
            "masked-paths: /proc/scsi",
            "masked-paths: /proc/timer_list",
            "masked-paths: /proc/timer_stats",
            "masked-paths: /sys/devices/virtual/powercap",
            "masked-paths: /sys/firmware",
        ],
    ),
    // Devices.
    mutation("the kernel's log", |c| allow_device(c, "c", 1, 11), &["device-filter: kmsg"]),
    mutation("the host's memory", |c| allow_device(c, "c", 1, 1), &["device-filter: mem"]),
    mutation("FUSE", |c| allow_device(c, "c", 10, 229), &["device-filter: fuse"]),
    mutation("one more node", |c| node(c, "/dev/kmsg", "c", 1, 11), &["device-nodes: /dev/kmsg"]),
    mutation("a node below a folder", |c| node(c, "/dev/input/mice", "c", 13, 63), &["device-nodes: /dev/input/mice"]),
    // Process.
    mutation("a variable of systemd's", |c| environment(c, "NOTIFY_SOCKET=/run/x"), &["environment: NOTIFY_SOCKET"]),
    mutation("a variable of the engine's", |c| environment(c, "STOCKADE_X=1"), &["environment: STOCKADE_X"]),
    mutation("an agent of the user's", |c| environment(c, "SSH_AUTH_SOCK=/run/x"), &["environment: SSH_AUTH_SOCK"]),
    mutation("more files", |c| c["process"]["rlimits"][0]["hard"] = 128.into(), &["resource-limits: RLIMIT_NOFILE"]),
    mutation("no limit of files", |c| c["process"]["rlimits"] = json!([]), &["resource-limits: RLIMIT_NOFILE"]),
    mutation(
        "others are killed first when memory is short",
        |c| c["process"]["oomScoreAdj"] = 0.into(),
        &["oom-score: oom_score_adj"],
    ),
    // Control groups.
    mutation("more processes", |c| c["linux"]["resources"]["pids"]["limit"] = 1024.into(), &["limits: pids"]),
    mutation(
        "any number of processes",
        |c| drop(c["linux"]["resources"].as_object_mut().unwrap().remove("pids")),
        &["limits: pids"],
    ),
    mutation(
        "more memory",
        |c| c["linux"]["resources"]["memory"]["limit"] = 536_870_912u64.into(),
        &["limits: memory"],
    ),
    mutation(
        "any memory",
        |c| drop(c["linux"]["resources"].as_object_mut().unwrap().remove("memory")),
        &["limits: memory"],
    ),
    mutation("two processors", |c| c["linux"]["resources"]["cpu"]["quota"] = 200_000.into(), &["limits: cpu"]),
    mutation("other processors", |c| c["linux"]["resources"]["cpu"]["cpus"] = "0-1".into(), &["limits: cpuset.cpus"]),
    // Settings.
    mutation(
        "forwarding",
        |c| c["linux"]["sysctl"]["net.ipv4.ip_forward"] = "1".into(),
        &["sysctls: net.ipv4.ip_forward"],
    ),
    mutation("longer messages", |c| c["linux"]["sysctl"]["kernel.msgmax"] = "8192".into(), &["sysctls: kernel.msgmax"]),
];
