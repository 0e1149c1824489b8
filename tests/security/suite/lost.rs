//! Controls that are lost in silence: what was asked for and can not be had is an error, everywhere.

use serde_json::{Value, json};
use stockade_testkit::{Bundle, requires};

/// runc <1.0.3: a length that overflowed let an attacker's bytes be read as messages, without the namespaces.
#[test]
fn cve_2021_43784_no_length_of_the_configuration_loses_a_namespace() {
    requires!(root, runtime, busybox_image, user_namespaces);
    let ranges = |count: u32| -> Vec<Value> {
        (0..count).map(|id| json!({ "containerID": id, "hostID": 100_000 + id, "size": 1 })).collect()
    };
    // More than the kernel takes, and more than 64 KiB of text.
    for count in [341, 5_000, 70_000] {
        let bundle = Bundle::busybox().namespace(json!({ "type": "user" })).edit(|config| {
            config["linux"]["sysctl"] = json!({});
            config["linux"]["uidMappings"] = json!(ranges(count));
            config["linux"]["gidMappings"] = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        });
        bundle.run().refuses(&["uidMappings"]);
        bundle.assert_gone();
    }
    // Long strings wherever one goes to the kernel or between processes.
    let long = "x/".repeat(40_000);
    let cases: [fn(&mut Value, &str); 7] = [
        |config, long| config["linux"]["namespaces"][1] = json!({ "type": "network", "path": format!("/{long}") }),
        |config, long| config["root"]["path"] = json!(format!("/{long}")),
        |config, long| config["process"]["cwd"] = json!(format!("/{long}")),
        |config, long| config["process"]["args"] = json!([format!("/{long}")]),
        |config, long| config["hostname"] = json!(long),
        |config, long| config["linux"]["maskedPaths"] = json!([format!("/{long}")]),
        |config, long| config["linux"]["cgroupsPath"] = json!(format!("/{long}")),
    ];
    for change in cases {
        let bundle = Bundle::busybox().edit(|config| change(config, &long));
        let done = bundle.run();
        assert_ne!(done.code(), 0);
        assert!(!done.stderr.contains("panicked"), "{done:?}");
        bundle.assert_gone();
    }
}

/// A change to the configuration, and a word that the error must have.
type Case = (fn(&mut Value), &'static str);

/// Values of enumerations that nobody defines, and controls that this machine or runtime does not have.
const UNKNOWN: &[Case] = &[
    (|c| c["linux"]["namespaces"][0]["type"] = json!("sandbox"), "sandbox"),
    (|c| c["linux"]["namespaces"][0]["type"] = json!("Mount"), "Mount"),
    (|c| c["linux"]["namespaces"][0]["type"] = json!(""), "namespaces"),
    (|c| c["linux"]["rootfsPropagation"] = json!("none"), "rootfsPropagation"),
    (|c| c["linux"]["seccomp"]["defaultAction"] = json!("SCMP_ACT_MAYBE"), "SCMP_ACT_MAYBE"),
    (|c| c["linux"]["seccomp"]["defaultAction"] = json!("scmp_act_errno"), "scmp_act_errno"),
    (|c| c["linux"]["seccomp"]["defaultAction"] = json!(null), "seccomp"),
    (|c| c["linux"]["seccomp"]["architectures"] = json!(["SCMP_ARCH_X86_63"]), "SCMP_ARCH_X86_63"),
    (|c| c["linux"]["seccomp"]["flags"] = json!(["SECCOMP_FILTER_FLAG_X"]), "SECCOMP_FILTER_FLAG_X"),
    (|c| c["linux"]["seccomp"]["syscalls"][0]["action"] = json!("SCMP_ACT_OK"), "SCMP_ACT_OK"),
    (
        |c| {
            c["linux"]["seccomp"]["syscalls"][0]["args"] = json!([{ "index": 0, "value": 1, "op": "SCMP_CMP_ABOUT" }]);
        },
        "SCMP_CMP_ABOUT",
    ),
    (
        |c| c["linux"]["seccomp"]["syscalls"][0]["args"] = json!([{ "index": 6, "value": 1, "op": "SCMP_CMP_EQ" }]),
        "seccomp",
    ),
    (
        |c| {
            let denied = json!([{ "names": ["opne"], "action": "SCMP_ACT_ERRNO" }]);
            c["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": denied });
        },
        "opne",
    ),
    (|c| c["process"]["capabilities"]["bounding"] = json!(["CAP_SYS_EVERYTHING"]), "CAP_SYS_EVERYTHING"),
    (|c| c["process"]["capabilities"]["effective"] = json!(["CAP_CHOWN", "CAP_CHOWNS"]), "CAP_CHOWNS"),
    (|c| c["process"]["capabilities"]["ambient"] = json!(["ALL"]), "ALL"),
    (|c| c["process"]["rlimits"] = json!([{ "type": "RLIMIT_FILES", "soft": 1, "hard": 1 }]), "RLIMIT_FILES"),
    (|c| c["process"]["scheduler"] = json!({ "policy": "SCHED_FAIR" }), "SCHED_FAIR"),
    (|c| c["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BEST", "priority": 1 }), "IOPRIO_CLASS_BEST"),
    (|c| c["process"]["apparmorProfile"] = json!("no-such-profile"), "AppArmor"),
    (|c| c["process"]["selinuxLabel"] = json!("system_u:system_r:container_t:s0"), "SELinux"),
    (|c| c["linux"]["mountLabel"] = json!("system_u:object_r:container_file_t:s0"), "SELinux"),
    (|c| c["linux"]["intelRdt"] = json!({ "closID": "x" }), "intelRdt"),
    (|c| c["linux"]["personality"] = json!({ "domain": "LINUX64" }), "LINUX64"),
    (|c| c["linux"]["memoryPolicy"] = json!({ "mode": "MPOL_ANY" }), "MPOL_ANY"),
    (|c| c["linux"]["devices"] = json!([{ "path": "/dev/x", "type": "d", "major": 1, "minor": 3 }]), "type"),
    (|c| c["linux"]["resources"]["devices"] = json!([{ "allow": true, "type": "z", "access": "rwm" }]), "devices"),
    (|c| c["linux"]["resources"]["devices"] = json!([{ "allow": true, "access": "rwx" }]), "rwx"),
    (|c| c["linux"]["resources"]["hugepageLimits"] = json!([{ "pageSize": "3MB", "limit": 1 }]), "3MB"),
    (|c| c["linux"]["resources"]["rdma"] = json!({ "no_such_device": { "hcaHandles": 1 } }), "rdma"),
    (|c| c["linux"]["resources"]["unified"] = json!({ "memory.max": "1" }), "unified"),
    (|c| c["linux"]["timeOffsets"] = json!({ "realtime": { "secs": 1 } }), "timeOffsets"),
    (|c| c["mounts"][0]["type"] = json!("procfs"), "/proc"),
    (|c| c["mounts"][1]["options"] = json!(["nosuid", "noexecute"]), "noexecute"),
    (|c| c["mounts"][1]["options"] = json!(["context=system_u:object_r:x:s0"]), "context"),
];

/// buildkit, Swarm (CVE-2023-28840): an unknown mode was taken for the weakest; a security option that could not be honoured was
/// left out without a word.
#[test]
fn cve_2026_33747_and_2023_28840_what_is_unknown_or_can_not_be_had_is_an_error() {
    requires!(root, stake, busybox_image);
    for (index, (change, word)) in UNKNOWN.iter().enumerate() {
        // This machine's AppArmor, if there is one, has no such profile either.
        let bundle = Bundle::busybox().edit(change).sh("echo ran");
        let done = bundle.run();
        assert_eq!(done.stdout, "", "case {index} ({word}) ran");
        done.refuses(&[word]);
        bundle.assert_gone();
    }
}

/// The same for `exec` and `update`.
#[test]
fn cve_2026_33747_nor_in_exec_and_update() {
    requires!(root, stake, busybox_image);
    let bundle = crate::sleeping();
    for (options, word) in [
        (["--cap", "CAP_NONSENSE"], "CAP_NONSENSE"),
        (["--apparmor", "no-such-profile"], "AppArmor"),
        (["--no-such-flag", "x"], "no-such-flag"),
    ] {
        let done = bundle.exec_call(&options, &["/bin/echo", "ran"]).run();
        assert_eq!(done.stdout, "");
        done.refuses(&[word]);
    }
    for (text, word) in [
        (r#"{"pids":{"limit":"many"}}"#, "pids"),
        (r#"{"memory":{"limit":-5}}"#, "memory"),
        (r#"{"devices":[{"allow":true,"type":"q","access":"rwm"}]}"#, "devices"),
        (r#"{"cpu":{"cpus":"none"}}"#, "cpus"),
        ("[]", ""),
        ("", ""),
        ("{", ""),
    ] {
        bundle.call(&["update", "--resources", "-", bundle.id()]).stdin(text.as_bytes()).run().refuses(&[word]);
    }
}

/// runc rootless: without a cgroup namespace the groups of the host could be written.
#[test]
fn cve_2023_25809_no_cgroup_file_can_be_written() {
    requires!(root, runtime, busybox_image);
    let script = "found=$(find /sys/fs/cgroup -type f | while read f; do (cat $f > $f) 2>/dev/null && echo $f; done); \
                  made=$(for d in $(find /sys/fs/cgroup -type d); do mkdir $d/x 2>/dev/null && echo $d; done); \
                  echo \"$found$made\"; ls /sys/fs/cgroup | head -1";
    for keep in [true, false] {
        let bundle = Bundle::busybox().sh(script);
        let bundle = if keep { bundle } else { bundle.without_namespace("cgroup") };
        let done = bundle.run().ok();
        let mut lines = done.stdout.lines();
        assert_eq!(lines.next(), Some(""), "written or made: {done:?}");
        assert!(lines.next().is_some_and(|name| !name.is_empty()), "no groups to try: {done:?}");
    }
}

/// The same in a user namespace, whose root owns nothing of the groups, without a cgroup namespace.
#[test]
fn cve_2023_25809_nor_by_the_root_of_a_user_namespace() {
    requires!(root, runtime, busybox_image, user_namespaces);
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    let script = "for f in $(find /sys/fs/cgroup -name cgroup.procs); do (echo 0 > $f) 2>/dev/null && echo $f; done; \
                  for d in $(find /sys/fs/cgroup -type d); do mkdir $d/x 2>/dev/null && echo $d; done; echo done";
    let bundle = Bundle::busybox().sh(script).namespace(json!({ "type": "user" })).without_namespace("cgroup");
    let bundle = bundle.edit(|config| {
        config["linux"]["sysctl"] = json!({});
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
    });
    assert_eq!(bundle.run().ok().out(), "done");
}
