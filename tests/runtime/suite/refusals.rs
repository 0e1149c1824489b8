//! Bad input: one clear error that names the thing, a non-zero exit, and nothing left behind.

use serde_json::{Value, json};
use stockade_testkit::{Bundle, programs, requires};

/// A change that makes the configuration wrong, and words of which the error must have one.
type Case = (fn(&mut Value), &'static [&'static str]);

/// What every runtime refuses.
const BAD: &[Case] = &[
    (|c| c["process"]["args"] = json!([]), &["args"]),
    (|c| c["process"]["cwd"] = json!("relative"), &["cwd"]),
    (|c| c["root"]["path"] = json!("missing"), &["missing", "rootfs"]),
    (|c| c["linux"]["namespaces"][1] = json!({ "type": "nonsense" }), &["nonsense"]),
    (|c| c["linux"]["namespaces"][1] = json!({ "type": "network", "path": "/no/ns" }), &["/no/ns"]),
    (|c| c["linux"]["namespaces"][1] = json!({ "type": "mount" }), &["mount"]),
    (|c| c["linux"]["seccomp"]["defaultAction"] = json!("SCMP_ACT_NONSENSE"), &["SCMP_ACT_NONSENSE"]),
    (|c| c["linux"]["seccomp"]["architectures"] = json!(["SCMP_ARCH_NONSENSE"]), &["SCMP_ARCH_NONSENSE"]),
    (|c| c["linux"]["sysctl"] = json!({ "kernel.core_pattern": "|/x" }), &["core_pattern"]),
    (|c| c["process"]["rlimits"] = json!([{ "type": "RLIMIT_NONSENSE", "soft": 1, "hard": 1 }]), &["RLIMIT_NONSENSE"]),
    (|c| c["mounts"][0]["source"] = json!(7), &["source", "json", "config"]),
    (|c| c["hooks"] = json!({ "prestart": [{ "path": "/no/hook" }] }), &["/no/hook", "hook"]),
];

/// What runc lets pass and we do not: invariant 7.
const BAD_FOR_US: &[Case] = &[
    (|c| c["process"]["capabilities"]["bounding"] = json!(["CAP_NONSENSE"]), &["CAP_NONSENSE"]),
    (|c| c["process"]["rlimits"] = json!([{ "type": "RLIMIT_CORE", "soft": 2, "hard": 1 }]), &["RLIMIT_CORE"]),
    // An unknown call is left out of what is allowed, which makes the filter stricter, and never out of what is denied.
    (
        |c| {
            c["linux"]["seccomp"]["syscalls"][0]["names"] = json!(["nonsense_call"]);
            c["linux"]["seccomp"]["syscalls"][0]["action"] = json!("SCMP_ACT_KILL_PROCESS");
        },
        &["nonsense_call"],
    ),
];

#[test]
fn contradictory_configurations() {
    requires!(root, runtime, busybox_image);
    let ours: &[Case] = if programs::runtime_is_ours() { BAD_FOR_US } else { &[] };
    for (change, words) in BAD.iter().chain(ours) {
        let bundle = Bundle::busybox().edit(change);
        bundle.run().refuses(words);
        bundle.assert_gone();
    }
}

#[test]
fn malformed_configurations() {
    requires!(root, runtime, busybox_image);
    for text in ["", "{", "[]", "null", "{\"ociVersion\": 7}", "{}"] {
        let bundle = Bundle::busybox().raw(text);
        let done = bundle.run();
        assert_ne!(done.code(), 0, "{text:?}: {done:?}");
        assert!(!done.stderr.contains("panicked at"), "{text:?}: {done:?}");
        bundle.assert_gone();
    }
}

#[test]
fn bad_ids() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox();
    bundle.write();
    for id in ["../escape", "a/b", "", "."] {
        bundle.call(&["create", "--bundle", bundle.folder().to_str().unwrap(), id]).run().refuses(&["id"]);
    }
    assert!(!bundle.folder().join("escape").exists());
}

#[test]
fn a_container_that_does_not_exist() {
    requires!(root, runtime);
    let bundle = Bundle::empty();
    for verb in ["start", "state", "delete", "pause", "resume", "kill"] {
        bundle.call(&[verb, bundle.id()]).run().refuses(&["does not exist"]);
    }
    bundle.call(&["delete", "--force", bundle.id()]).run().ok();
}

#[test]
fn a_program_that_can_not_be_executed_is_refused_in_the_words_that_engines_know() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    for (program, words) in [
        ("/no/such", "stat /no/such: no such file or directory"),
        ("nosuch", "executable file not found in $PATH"),
        ("/etc/passwd", "permission denied"),
        ("/etc", "permission denied"),
    ] {
        bundle.exec(&[program]).refuses(&[words]);
        Bundle::busybox().args(&[program]).run().refuses(&[words]);
    }
}

#[test]
fn a_taken_id_is_refused_in_runcs_words() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    bundle.create().refuses(&["container with given ID already exists"]);
    assert_eq!(bundle.status(), "running");
}
