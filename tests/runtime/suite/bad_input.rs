//! Configurations that are malformed or contradict themselves: one clear error that names the thing, and nothing left behind.

use serde_json::{Value, json};
use stockade_testkit::{Bundle, requires};

/// A change to Docker's configuration, and words of which the error must have one.
type Case = (fn(&mut Value), &'static [&'static str]);

/// Appends a mount.
fn mount(config: &mut Value, kind: Option<&str>, source: &str, destination: &str, options: &[&str]) {
    let one = json!({ "type": kind, "source": source, "destination": destination, "options": options });
    config["mounts"].as_array_mut().unwrap().push(one);
}

/// Adds a namespace.
fn namespace(config: &mut Value, one: Value) {
    config["linux"]["namespaces"].as_array_mut().unwrap().push(one);
}

const TOP: &[Case] = &[
    (|c| c["ociVersion"] = json!("2.0.0"), &["ociVersion"]),
    (|c| c["ociVersion"] = json!("1.0"), &["ociVersion"]),
    (|c| c["ociVersion"] = json!(1), &["ociVersion"]),
    (|c| c["ociVersion"] = json!(""), &["ociVersion"]),
    (|c| c["root"] = json!(null), &["root"]),
    (|c| c["root"]["path"] = json!(""), &["root.path"]),
    (|c| c["root"]["path"] = json!("a\0b"), &["root.path"]),
    (|c| c["root"]["path"] = json!("config.json"), &["config.json"]),
    (|c| c["root"]["path"] = json!("/proc"), &["/proc"]),
    (|c| c["root"]["readonly"] = json!("yes"), &["root.readonly"]),
    (|c| c["hostname"] = json!("x".repeat(65)), &["hostname"]),
    (|c| c["hostname"] = json!("a\nb"), &["hostname"]),
    (|c| c["domainname"] = json!("x".repeat(65)), &["domainname"]),
    (|c| c["linux"] = json!(null), &["linux"]),
    (|c| c["linux"] = json!([]), &["linux"]),
    (|c| c["mounts"] = json!({}), &["mounts"]),
    (|c| c["annotations"] = json!({ "a": 1 }), &["annotations"]),
    (|c| c["hooks"] = json!({ "prestart": [{ "path": "relative" }] }), &["hooks.prestart[0].path"]),
    (|c| c["hooks"] = json!({ "poststop": [{ "path": "/x", "timeout": -1 }] }), &["timeout"]),
    (|c| c["hooks"] = json!({ "createRuntime": [{ "path": "/x", "env": ["A"] }] }), &["env[0]"]),
    (|c| c["hooks"] = json!({ "createContainer": [{ "args": ["x"] }] }), &["createContainer"]),
    (|c| c["hooks"] = json!({ "startContainer": [{ "path": "/no/such/hook" }] }), &["/no/such/hook"]),
];

const PROCESS: &[Case] = &[
    (|c| c["process"]["args"] = json!([""]), &["process.args"]),
    (|c| c["process"]["args"] = json!(["/bin/true", "a\0b"]), &["process.args[1]"]),
    (|c| c["process"]["args"] = json!("/bin/true"), &["process.args"]),
    (|c| c["process"]["args"] = json!(["/etc"]), &["/etc"]),
    (|c| c["process"]["args"] = json!(["no-such-program"]), &["no-such-program"]),
    (|c| c["process"]["env"] = json!(["NO_VALUE"]), &["process.env[0]"]),
    (|c| c["process"]["env"] = json!(["=x"]), &["process.env[0]"]),
    (|c| c["process"]["env"] = json!(["A=b\0"]), &["process.env[0]"]),
    (|c| c["process"]["cwd"] = json!(""), &["process.cwd"]),
    (|c| c["process"]["cwd"] = json!("/bin/busybox"), &["/bin/busybox"]),
    (|c| c["process"]["cwd"] = json!("/a\0b"), &["process.cwd"]),
    (|c| c["process"]["terminal"] = json!(1), &["process.terminal"]),
    (|c| c["process"]["user"]["umask"] = json!(512), &["umask"]),
    (|c| c["process"]["user"]["additionalGids"] = json!(vec![1; 70_000]), &["additionalGids"]),
    (|c| c["process"]["oomScoreAdj"] = json!(1001), &["oomScoreAdj"]),
    (|c| c["process"]["oomScoreAdj"] = json!("0"), &["oomScoreAdj"]),
    (|c| c["process"]["capabilities"]["effective"] = json!(["CAP_SYS_ADMIN"]), &["CAP_SYS_ADMIN"]),
    (|c| c["process"]["capabilities"] = json!("all"), &["process.capabilities"]),
    (|c| c["process"]["apparmorProfile"] = json!("a\nb"), &["apparmorProfile"]),
    (|c| c["process"]["rlimits"] = json!([{ "type": "RLIMIT_CORE", "soft": -1, "hard": 1 }]), &["rlimits[0].soft"]),
    (|c| c["process"]["rlimits"] = json!([{ "type": "RLIMIT_CORE", "soft": 1 }]), &["rlimits[0]"]),
    (
        |c| {
            let one = json!({ "type": "RLIMIT_CORE", "soft": 1, "hard": 1 });
            c["process"]["rlimits"] = json!([one, one]);
        },
        &["rlimits[1]"],
    ),
    (
        |c| c["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 1u64 << 40, "hard": 1u64 << 40 }]),
        &["Nofile", "NOFILE"],
    ),
    (|c| c["process"]["scheduler"] = json!({ "policy": "SCHED_FIFO", "priority": 100 }), &["scheduler.priority"]),
    (|c| c["process"]["scheduler"] = json!({ "policy": "SCHED_OTHER", "nice": 20 }), &["scheduler.nice"]),
    (|c| c["process"]["scheduler"] = json!({ "policy": "SCHED_DEADLINE", "runtime": 1 }), &["scheduler.runtime"]),
    (|c| c["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_IDLE", "priority": 8 }), &["ioPriority"]),
    (|c| c["process"]["execCPUAffinity"] = json!({ "initial": "0-" }), &["execCPUAffinity"]),
];

const MOUNTS: &[Case] = &[
    (|c| mount(c, Some("bind"), "/no/such/source", "/x", &["bind"]), &["/no/such/source"]),
    (|c| mount(c, Some("bind"), "", "/x", &["bind"]), &["source"]),
    (|c| mount(c, Some("bind"), "/tmp", "/x", &["bind", "size=1"]), &["size=1"]),
    (|c| mount(c, Some("bind"), "/tmp", "/bin/busybox", &["bind"]), &["/bin/busybox"]),
    (|c| mount(c, Some("bind"), "/etc/hostname", "/etc", &["bind"]), &["/etc"]),
    (|c| mount(c, Some("bind"), "/tmp", "/bin/busybox/x", &["bind"]), &["/bin/busybox/x"]),
    (|c| mount(c, Some("tmpfs"), "tmpfs", "/", &[]), &["destination"]),
    (|c| mount(c, Some("tmpfs"), "tmpfs", "/a/..", &[]), &["destination"]),
    (|c| mount(c, Some("tmpfs"), "tmpfs", "/a\0", &[]), &["destination"]),
    (|c| mount(c, Some("tmpfs"), "tmpfs", "/x", &["size=lots"]), &["size"]),
    (|c| mount(c, Some("tmpfs"), "tmpfs", "/x", &["size=1,mode=777"]), &["size"]),
    (|c| mount(c, Some("tmpfs"), "tmpfs", "/x", &["no_such_option"]), &["no_such_option"]),
    (|c| mount(c, Some("tmpfs"), "tmpfs", "/x", &["=1"]), &["options"]),
    (|c| mount(c, Some("tmpfs"), "tmpfs", "/x", &["idmap"]), &["idmap"]),
    (|c| mount(c, Some("nosuchfs"), "x", "/x", &[]), &["nosuchfs"]),
    (|c| mount(c, Some(""), "x", "/x", &[]), &["type"]),
    (|c| mount(c, None, "x", "/x", &[]), &["type"]),
    (|c| mount(c, Some("ext4"), "/dev/no-such-disk", "/x", &[]), &["ext4"]),
    (|c| mount(c, Some("cgroup"), "cgroup", "/x", &["nsdelegate"]), &["nsdelegate"]),
    (|c| mount(c, Some("mqueue"), "x", "/x", &["tmpcopyup"]), &["tmpcopyup"]),
    (|c| c["linux"]["maskedPaths"] = json!(["relative"]), &["maskedPaths[0]"]),
    (|c| c["linux"]["readonlyPaths"] = json!(["/a", "b"]), &["readonlyPaths[1]"]),
    (|c| c["linux"]["rootfsPropagation"] = json!("rrslave"), &["rootfsPropagation"]),
];

const LINUX: &[Case] = &[
    (|c| namespace(c, json!({ "type": "pid" })), &["namespaces[6]"]),
    (|c| namespace(c, json!({ "type": "user" })), &["uidMappings"]),
    (|c| namespace(c, json!({ "type": "time", "path": "/proc/no-such/ns/time" })), &["/proc/no-such/ns/time"]),
    (|c| c["linux"]["namespaces"][1]["path"] = json!("relative"), &["namespaces[1].path"]),
    (|c| c["linux"]["namespaces"][1]["path"] = json!("/proc/1/ns/uts"), &["/proc/1/ns/uts"]),
    (|c| c["linux"]["namespaces"][1]["path"] = json!("/etc/passwd"), &["/etc/passwd"]),
    (|c| c["linux"]["namespaces"][1]["path"] = json!("/dev/null"), &["/dev/null"]),
    (|c| c["linux"]["namespaces"][0]["path"] = json!("/proc/1/ns/mnt"), &["namespaces[0].path"]),
    (|c| c["linux"]["namespaces"] = json!([]), &["namespaces"]),
    (|c| c["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]), &["uidMappings"]),
    (|c| c["linux"]["cgroupsPath"] = json!("/../../x"), &["cgroupsPath"]),
    (|c| c["linux"]["cgroupsPath"] = json!("/"), &["cgroupsPath", "cgroup"]),
    (|c| c["linux"]["cgroupsPath"] = json!("a\nb"), &["cgroupsPath"]),
    (|c| c["linux"]["sysctl"] = json!({ "net.no.such": "1" }), &["net/no/such", "net.no.such"]),
    (|c| c["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "many" }), &["ip_forward"]),
    (|c| c["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": 1 }), &["sysctl"]),
    (|c| c["linux"]["sysctl"] = json!({ "kernel.hostname": "x" }), &["hostname"]),
    (|c| c["linux"]["devices"] = json!([{ "path": "x", "type": "c", "major": 1, "minor": 3 }]), &["devices[0].path"]),
    (|c| c["linux"]["devices"] = json!([{ "path": "/dev/x", "type": "c", "major": 1 }]), &["devices[0].minor"]),
    (
        |c| c["linux"]["devices"] = json!([{ "path": "/dev/x", "type": "c", "major": -1, "minor": 3 }]),
        &["devices[0].major"],
    ),
    (
        |c| c["linux"]["devices"] = json!([{ "path": "/dev/x", "type": "b", "major": 1, "minor": 1 << 20 }]),
        &["devices[0].minor"],
    ),
    (
        |c| {
            let one = |minor| json!({ "path": "/dev/x", "type": "c", "major": 1, "minor": minor });
            c["linux"]["devices"] = json!([one(3), one(5)]);
        },
        &["devices[1].path"],
    ),
    (|c| c["linux"]["devices"] = json!([{ "path": "/bin", "type": "c", "major": 1, "minor": 3 }]), &["/bin"]),
    (|c| c["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": 1 } }), &["timeOffsets"]),
    (|c| c["linux"]["personality"] = json!({ "domain": "LINUX", "flags": ["X"] }), &["personality"]),
    (|c| c["linux"]["netDevices"] = json!({ "no-such-if": {} }), &["no-such-if"]),
    (|c| c["linux"]["netDevices"] = json!({ "lo": { "name": "a/b" } }), &["netDevices"]),
];

const LIMITS: &[Case] = &[
    (|c| c["linux"]["resources"]["memory"]["limit"] = json!(-2), &["memory.limit"]),
    (|c| c["linux"]["resources"]["memory"]["limit"] = json!("1g"), &["memory.limit"]),
    (|c| c["linux"]["resources"]["memory"]["swap"] = json!(1), &["swap"]),
    (|c| c["linux"]["resources"]["memory"]["swappiness"] = json!(201), &["swappiness"]),
    (|c| c["linux"]["resources"]["memory"]["kernelTCP"] = json!(-7), &["kernelTCP"]),
    (|c| c["linux"]["resources"]["cpu"]["period"] = json!(1), &["cpu.period", "period"]),
    (|c| c["linux"]["resources"]["cpu"]["quota"] = json!(10), &["cpu.quota", "quota"]),
    (|c| c["linux"]["resources"]["cpu"]["cpus"] = json!("9-1"), &["cpus"]),
    (|c| c["linux"]["resources"]["cpu"]["cpus"] = json!("7000"), &["cpus"]),
    (|c| c["linux"]["resources"]["cpu"]["mems"] = json!("x"), &["mems"]),
    (|c| c["linux"]["resources"]["pids"]["limit"] = json!(1u64 << 63), &["pids"]),
    (|c| c["linux"]["resources"]["blockIO"] = json!({ "weight": 5 }), &["weight"]),
    (
        |c| {
            let one = json!({ "major": 9999, "minor": 1, "rate": 1 });
            c["linux"]["resources"]["blockIO"] = json!({ "throttleReadBpsDevice": [one] });
        },
        &["blkio", "throttleReadBpsDevice"],
    ),
    (|c| c["linux"]["resources"]["network"] = json!({ "classID": -1 }), &["classID"]),
    (|c| c["linux"]["resources"]["devices"] = json!([{ "access": "rwm" }]), &["devices"]),
    (|c| c["linux"]["resources"]["devices"] = json!([{ "allow": true, "type": "c", "major": -5 }]), &["devices"]),
];

/// Neither the folder nor anything else may be left, and the error must be one line that names the thing.
fn refuse_all(cases: &[Case]) {
    // One copy of the image for all of them.
    let image = Bundle::busybox();
    for (index, (change, words)) in cases.iter().enumerate() {
        let bundle = Bundle::empty().edit(|config| config["root"]["path"] = json!(image.rootfs())).edit(change);
        for verb in ["run", "create"] {
            let done = if verb == "run" { bundle.run() } else { bundle.create() };
            // What only the payload's exec finds out is said by `start`.
            if verb == "create" && done.code() == 0 {
                bundle.start().refuses(words);
                bundle.delete_by_force().ok();
                continue;
            }
            assert_ne!(done.code(), 0, "case {index} {words:?}, {verb}: {done:?}");
            assert_eq!(done.stderr.lines().count(), 1, "case {index}, {verb}: {done:?}");
            let done = done.refuses(words);
            assert!(!done.stderr.contains(bundle.state_folder().to_str().unwrap()), "case {index}: {done:?}");
        }
        bundle.assert_gone();
    }
}

#[test]
fn the_top_level() {
    requires!(root, stake, busybox_image);
    refuse_all(TOP);
}

#[test]
fn the_process() {
    requires!(root, stake, busybox_image);
    refuse_all(PROCESS);
}

#[test]
fn mounts_and_paths() {
    requires!(root, stake, busybox_image);
    refuse_all(MOUNTS);
}

#[test]
fn namespaces_devices_and_parameters() {
    requires!(root, stake, busybox_image);
    refuse_all(LINUX);
}

#[test]
fn limits() {
    requires!(root, stake, busybox_image, limits);
    refuse_all(LIMITS);
}

/// Text that is no configuration at all.
#[test]
fn malformed_text() {
    requires!(root, stake, busybox_image);
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let nested = format!("{{\"ociVersion\":\"1.0.2\",\"linux\":{{\"seccomp\":{deep}}}}}");
    let plain = Bundle::busybox();
    let whole = plain.config().to_string();
    let twice = whole.replacen('{', "{\"ociVersion\":\"1.0.2\",", 1);
    let trailing = format!("{whole}x");
    let half = whole[..whole.len() / 2].to_owned();
    let strange = whole.replace("/bin/true", "/bin/\u{fffd}\u{0}");
    for text in
        ["", " ", "\0", "nonsense", "0", "\"\"", &deep, &nested, &twice, &trailing, &half, &strange, "\u{feff}{}"]
    {
        let bundle = Bundle::busybox().raw(text);
        for done in [bundle.run(), bundle.create()] {
            assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
            done.refuses(&["config.json"]);
        }
        bundle.assert_gone();
    }
}

/// A bundle whose `config.json` is no file that could be read.
#[test]
fn a_configuration_that_is_no_file() {
    requires!(root, stake, busybox_image);
    use rustix::fs::{CWD, FileType, Mode};
    let bundle = Bundle::busybox();
    let path = bundle.folder().join("config.json");
    let folder = bundle.folder().to_str().unwrap().to_owned();
    let run =
        || bundle.call(&["run", "--bundle", &folder, bundle.id()]).limit(std::time::Duration::from_secs(20)).run();
    run().refuses(&["config.json"]);
    std::fs::create_dir(&path).unwrap();
    run().refuses(&["config.json"]);
    std::fs::remove_dir(&path).unwrap();
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
    run().refuses(&["config.json"]);
    std::fs::remove_file(&path).unwrap();
    std::fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
    run().refuses(&["config.json"]);
    bundle.call(&["run", "--bundle", "/no/such/bundle", bundle.id()]).run().refuses(&["/no/such/bundle"]);
    bundle.assert_gone();
}

/// Limits on resources that leave the runtime hardly anything itself: the payload still gets exactly those.
#[test]
fn limits_that_the_runtime_itself_could_not_live_with() {
    requires!(root, stake, busybox_image);
    for count in [0, 1, 3, 5, 20] {
        let bundle = Bundle::busybox().args(&["/bin/sh", "-c", "ulimit -n"]).edit(|config| {
            config["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": count, "hard": count }]);
        });
        assert_eq!(bundle.run().ok().out(), count.to_string());
        bundle.create().ok();
        bundle.start().ok();
        bundle.until("stopped");
        bundle.delete().ok();
    }
}
