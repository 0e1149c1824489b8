//! Every property of the runtime specification 1.3 that concerns Linux (`config.md`, `config-linux.md`): it has its effect on
//! the real kernel, or it is refused by its name, or the user is told that it has none.
//!
//! [`PROPERTIES`] is the specification's list; a property without a case in one of the tables or a test of its own fails
//! [`every_property_is_tried`].

use serde_json::{Value, json};
use stockade_testkit::{Bundle, cgroup, requires};

/// One property with a value, and what becomes of it.
struct Case {
    /// The property's path in the specification.
    property: &'static str,
    /// Gives it the value.
    set: fn(&mut Value),
    outcome: Outcome,
}

/// What becomes of a property.
enum Outcome {
    /// This script of the container prints that.
    Prints(&'static str, &'static str),
    /// The container is not made, and the error has this in it.
    Refused(&'static str),
    /// The container runs, and a warning has this in it.
    Warned(&'static str),
}

use Outcome::{Prints, Refused, Warned};

const fn case(property: &'static str, set: fn(&mut Value), outcome: Outcome) -> Case {
    Case { property, set, outcome }
}

/// Runs the cases and reports all that fail, not the first only.
fn try_all(cases: &[Case]) {
    let failures: Vec<String> = cases.iter().filter_map(failure).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Why the case fails, if it does.
fn failure(case: &Case) -> Option<String> {
    let script = if let Prints(script, _) = case.outcome { script } else { "true" };
    let bundle = Bundle::busybox().sh(script).edit(case.set);
    let done = bundle.run();
    let right = match case.outcome {
        Prints(_, output) => done.code() == 0 && done.out() == output,
        Refused(word) => done.code() != 0 && done.stderr.contains(word) && !done.stderr.contains("panicked"),
        Warned(word) => done.code() == 0 && done.stderr.contains("warning") && done.stderr.contains(word),
    };
    let left = bundle.leftovers();
    match (right, left.is_empty()) {
        (true, true) => None,
        (false, _) => Some(format!("{}: {done:?}", case.property)),
        (true, false) => Some(format!("{}: left behind: {left:?}", case.property)),
    }
}

/// Adds a mount to the configuration.
fn mount(config: &mut Value, kind: &str, source: &str, options: &[&str]) {
    let one = json!({ "type": kind, "source": source, "destination": "/mnt", "options": options });
    config["mounts"].as_array_mut().unwrap().push(one);
}

/// Fields of the shell's own `/proc/self/stat`: nice value, real-time priority and policy (`proc_pid_stat(5)`).
const SCHEDULING: &str = "read line < /proc/self/stat; set -- ${line##*)}; echo ${17} ${38} ${39}";
/// Options of the mount on `/mnt`, then those of its file system, then its propagation.
const MOUNT: &str = "grep ' /mnt ' /proc/self/mountinfo | cut -d' ' -f6";
const SUPER: &str = "grep ' /mnt ' /proc/mounts | cut -d' ' -f4";
const PROPAGATION: &str = "grep ' /mnt ' /proc/self/mountinfo | cut -d' ' -f7 | cut -d: -f1";
const ROOT_PROPAGATION: &str = "grep ' / / \\| / ' /proc/self/mountinfo | head -1 | cut -d' ' -f7 | cut -d: -f1";

const GENERAL: &[Case] = &[
    case("ociVersion", |c| c["ociVersion"] = json!("2.0.0"), Refused("ociVersion")),
    case("ociVersion", |c| c["ociVersion"] = json!("1.3.0"), Prints("echo yes", "yes")),
    case("root", |c| c["root"] = Value::Null, Refused("root")),
    case("root.path", |c| c["root"]["path"] = json!("missing"), Refused("missing")),
    case(
        "root.readonly",
        |c| c["root"]["readonly"] = json!(true),
        Prints("touch /x 2>&1 | grep -o Read-only", "Read-only"),
    ),
    case("hostname", |c| c["hostname"] = json!("name"), Prints("hostname", "name")),
    case("domainname", |c| c["domainname"] = json!("domain"), Prints("cat /proc/sys/kernel/domainname", "domain")),
    case("annotations", |c| c["annotations"] = json!({ "a": 1 }), Refused("annotations")),
    case("vm", |c| c["vm"] = json!({ "kernel": { "path": "/x" } }), Warned("vm")),
    case("windows", |c| c["windows"] = json!({ "layerFolders": [] }), Warned("windows")),
    case("solaris", |c| c["solaris"] = json!({}), Warned("solaris")),
    case("zos", |c| c["zos"] = json!({}), Warned("zos")),
    case("freebsd", |c| c["freebsd"] = json!({}), Warned("freebsd")),
    case("linux", |c| c["linux"] = Value::Null, Refused("linux")),
    case("process.colour", |c| c["process"]["colour"] = json!(1), Warned("colour")),
];

#[test]
fn general_properties() {
    requires!(root, stake, busybox_image);
    try_all(GENERAL);
}

const PROCESS: &[Case] = &[
    case("process.args", |c| c["process"]["args"] = json!(["/bin/echo", "a b", ""]), Prints("", "a b")),
    case("process.args", |c| c["process"]["args"] = json!([]), Refused("process.args")),
    case("process.commandLine", |c| c["process"]["commandLine"] = json!("x"), Warned("process.commandLine")),
    case("process.cwd", |c| c["process"]["cwd"] = json!("/new/folder"), Prints("pwd", "/new/folder")),
    case("process.cwd", |c| c["process"]["cwd"] = json!("tmp"), Refused("process.cwd")),
    case(
        "process.env",
        |c| c["process"]["env"] = json!(["PATH=/bin", "A=1", "A=2"]),
        Prints("echo $A; env | grep -c ^A=", "2\n1"),
    ),
    case("process.env", |c| c["process"]["env"] = json!(["A"]), Refused("process.env[0]")),
    case("process.user.uid", |c| c["process"]["user"]["uid"] = json!(7), Prints("id -u", "7")),
    case("process.user.gid", |c| c["process"]["user"]["gid"] = json!(8), Prints("id -g", "8")),
    case("process.user.umask", |c| c["process"]["user"]["umask"] = json!(0o27), Prints("umask", "0027")),
    case("process.user.umask", |c| c["process"]["user"]["umask"] = json!(0o1000), Refused("process.user.umask")),
    case(
        "process.user.additionalGids",
        |c| c["process"]["user"]["additionalGids"] = json!([3, 9]),
        Prints("grep Groups: /proc/self/status | tr '\\t' ' '", "Groups: 3 9"),
    ),
    case("process.user.username", |c| c["process"]["user"]["username"] = json!("x"), Warned("process.user.username")),
    case(
        "process.rlimits",
        |c| c["process"]["rlimits"] = json!([{ "type": "RLIMIT_FSIZE", "soft": 512, "hard": 1024 }]),
        Prints("ulimit -S -f; ulimit -H -f", "1\n2"),
    ),
    case(
        "process.rlimits",
        |c| c["process"]["rlimits"] = json!([{ "type": "RLIMIT_X", "soft": 1, "hard": 1 }]),
        Refused("process.rlimits[0].type"),
    ),
    case(
        "process.oomScoreAdj",
        |c| c["process"]["oomScoreAdj"] = json!(321),
        Prints("cat /proc/self/oom_score_adj", "321"),
    ),
    case("process.oomScoreAdj", |c| c["process"]["oomScoreAdj"] = json!(1001), Refused("process.oomScoreAdj")),
    case(
        "process.noNewPrivileges",
        |c| c["process"]["noNewPrivileges"] = json!(true),
        Prints("grep NoNewPrivs /proc/self/status | tr -d '\\t'", "NoNewPrivs:1"),
    ),
    case("process.selinuxLabel", |c| c["process"]["selinuxLabel"] = json!("x"), Refused("process.selinuxLabel")),
    case("process.capabilities.bounding", three_bounding, Prints(CAPABILITIES, "Inh:0 Prm:7 Eff:7 Bnd:7 Amb:0")),
    case("process.capabilities.permitted", ambient, Prints(CAPABILITIES, "Inh:1 Prm:1 Eff:1 Bnd:1 Amb:1")),
    case(
        "process.capabilities.effective",
        |c| c["process"]["capabilities"]["permitted"] = json!([]),
        Refused("process.capabilities.effective"),
    ),
    case("process.capabilities.inheritable", ambient, Prints(CAPABILITIES, "Inh:1 Prm:1 Eff:1 Bnd:1 Amb:1")),
    case("process.capabilities.ambient", ambient, Prints(CAPABILITIES, "Inh:1 Prm:1 Eff:1 Bnd:1 Amb:1")),
    case(
        "process.capabilities.bounding",
        |c| c["process"]["capabilities"]["bounding"] = json!(["CAP_X"]),
        Refused("process.capabilities.bounding[0]"),
    ),
];

/// The five sets.
const CAPABILITIES: &str = "while read name value; do case $name in Cap*) \
    echo -n \"${line:+ }${name#Cap}$(printf %x 0x$value)\"; line=1;; esac; done < /proc/self/status";

/// Root's exec fills the other sets from the bounding one (`capabilities(7)`).
fn three_bounding(config: &mut Value) {
    config["process"]["capabilities"] = json!({
        "bounding": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"],
        "permitted": ["CAP_CHOWN", "CAP_DAC_OVERRIDE"],
        "effective": ["CAP_CHOWN"],
    });
}

/// What only ambient capabilities do: a user other than root keeps one through exec.
fn ambient(config: &mut Value) {
    let one = json!(["CAP_CHOWN"]);
    config["process"]["user"]["uid"] = json!(1);
    config["process"]["capabilities"] =
        json!({ "bounding": one, "permitted": one, "effective": one, "inheritable": one, "ambient": one });
}

#[test]
fn process_properties() {
    requires!(root, stake, busybox_image);
    try_all(PROCESS);
}

/// Scheduling; a new cpu cgroup of cgroup v1 has no real-time processor time unless it is given some.
const SCHEDULING_CASES: &[Case] = &[
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

/// Sets `process.scheduler`, and takes the filter away, which Docker's default has nothing against.
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

const LINUX: &[Case] = &[
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

const MOUNTS: &[Case] = &[
    case(
        "mounts.destination",
        |c| {
            mount(c, "tmpfs", "tmpfs", &[]);
            c["mounts"][7]["destination"] = json!("relative/../mnt");
        },
        Prints("grep ' /mnt ' /proc/mounts | cut -d' ' -f3", "tmpfs"),
    ),
    case("mounts.destination", |c| c["mounts"][1]["destination"] = json!("/x/.."), Refused("mounts[1].destination")),
    case("mounts.type", |c| mount(c, "no-such-fs", "x", &[]), Refused("no-such-fs")),
    case("mounts.source", |c| mount(c, "bind", "rootfs/bin", &["bind"]), Prints("ls /mnt/busybox", "/mnt/busybox")),
    case("mounts.source", |c| mount(c, "bind", "/no/source", &["bind"]), Refused("/no/source")),
    case("mounts.options", |c| mount(c, "bind", "rootfs/bin", &["bind", "x"]), Refused("mounts[7].options")),
    case("mounts.options", |c| mount(c, "tmpfs", "tmpfs", &["x=y"]), Refused("tmpfs")),
    case("mounts.options", |c| mount(c, "tmpfs", "tmpfs", &["remount"]), Refused("mounts[7].options")),
    case("mounts.options", |c| mount(c, "bind", "rootfs/bin", &["bind", "ro"]), Prints(MOUNT, "ro,relatime")),
    case("mounts.options", |c| mount(c, "bind", "rootfs/bin", &["bind", "ro", "rw"]), Prints(MOUNT, "rw,relatime")),
    case(
        "mounts.options",
        |c| mount(c, "bind", "rootfs/bin", &["bind", "nosuid", "nodev", "noexec", "nosymfollow"]),
        Prints(MOUNT, "rw,nosuid,nodev,noexec,relatime,nosymfollow"),
    ),
    case(
        "mounts.options",
        |c| mount(c, "bind", "rootfs/bin", &["bind", "noexec", "exec", "nodev", "dev", "nosymfollow", "symfollow"]),
        Prints(MOUNT, "rw,relatime"),
    ),
    case(
        "mounts.options",
        |c| mount(c, "tmpfs", "x", &["noatime", "nodiratime"]),
        Prints(MOUNT, "rw,noatime,nodiratime"),
    ),
    case("mounts.options", |c| mount(c, "tmpfs", "x", &["strictatime"]), Prints(MOUNT, "rw")),
    case("mounts.options", |c| mount(c, "tmpfs", "x", &["noatime", "relatime"]), Prints(MOUNT, "rw,relatime")),
    case("mounts.options", |c| mount(c, "tmpfs", "x", &["ro"]), Prints(SUPER, "ro,relatime")),
    case("mounts.options", |c| mount(c, "tmpfs", "x", &["sync", "dirsync"]), Prints(SUPER, "rw,sync,dirsync,relatime")),
    case(
        "mounts.options",
        |c| mount(c, "tmpfs", "x", &["sync", "async", "mode=700"]),
        Prints(SUPER, "rw,relatime,mode=700"),
    ),
    case("mounts.options", |c| mount(c, "tmpfs", "x", &["shared"]), Prints(PROPAGATION, "shared")),
    case("mounts.options", |c| mount(c, "tmpfs", "x", &["rshared", "rprivate"]), Prints(PROPAGATION, "-")),
    case("mounts.options", |c| mount(c, "tmpfs", "x", &["unbindable"]), Prints(PROPAGATION, "unbindable")),
    case("mounts.options", |c| mount(c, "tmpfs", "x", &["shared", "slave"]), Prints(PROPAGATION, "-")),
    case("mounts.options", |c| mount(c, "bind", "/sys", &["rbind", "rro", "rnosuid"]), Prints(BELOW, "ro ro")),
    case("mounts.options", |c| mount(c, "bind", "/sys", &["bind", "rro"]), Prints(BELOW, "ro")),
    case("mounts.options", |c| mount(c, "bind", "/sys", &["rbind", "rro", "rrw"]), Prints(BELOW, "rw rw")),
    case(
        "mounts.options",
        |c| {
            mount(c, "tmpfs", "x", &["tmpcopyup"]);
            c["mounts"][7]["destination"] = json!("/bin");
        },
        Prints("test -L /bin/ls && grep -o '/bin tmpfs' /proc/mounts", "/bin tmpfs"),
    ),
    case("mounts.options", |c| mount(c, "proc", "x", &["tmpcopyup"]), Refused("mounts[7]")),
    case("mounts.uidMappings", |c| mapped(c, &["bind"]), Prints("stat -c '%u %g' /mnt /mnt/busybox", "70 80\n70 80")),
    case("mounts.gidMappings", |c| mapped(c, &["rbind", "ridmap"]), Prints("stat -c '%u %g' /mnt", "70 80")),
    case("mounts.options", |c| mount(c, "bind", "rootfs/bin", &["bind", "idmap"]), Refused("mounts[7].uidMappings")),
    case(
        "mounts.uidMappings",
        |c| {
            mount(c, "bind", "rootfs/bin", &["bind"]);
            c["mounts"][7]["uidMappings"] = json!([{ "containerID": 0, "hostID": 70, "size": 1 }]);
        },
        Refused("mounts[7].gidMappings"),
    ),
];

/// Whether the mount on `/mnt` is read-only, then what is found below it.
const BELOW: &str = "for place in '/mnt ' /mnt/; do \
    grep \" $place\" /proc/self/mountinfo | cut -d' ' -f6 | cut -c1-2 | sort -u; done | tr '\\n' ' '";

/// The image's `/bin`, which root owns, at `/mnt` with other ids.
fn mapped(config: &mut Value, options: &[&str]) {
    mount(config, "bind", "rootfs/bin", options);
    config["mounts"][7]["uidMappings"] = json!([{ "containerID": 0, "hostID": 70, "size": 1 }]);
    config["mounts"][7]["gidMappings"] = json!([{ "containerID": 0, "hostID": 80, "size": 1 }]);
}

#[test]
fn mount_properties() {
    requires!(root, stake, busybox_image);
    try_all(MOUNTS);
}
