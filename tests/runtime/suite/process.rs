//! The payload's process: exit codes, streams, signals, identity, environment, limits.

use rustix::process::Signal;
use serde_json::json;
use std::time::Duration;
use stockade_testkit::{Bundle, eventually, requires};

#[test]
fn exit_codes_pass_through() {
    requires!(root, runtime, busybox_image);
    for code in [0, 1, 42, 255] {
        Bundle::busybox().sh(&format!("exit {code}")).run().exits(code);
    }
    let bundle = Bundle::busybox().sh("echo ready; sleep 1000");
    let running = bundle.run_started();
    eventually("the payload to run", Duration::from_secs(20), || running.stdout_so_far().contains("ready"));
    bundle.kill("KILL").ok();
    running.wait().exits(137);
}

#[test]
fn streams_pass_through() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("cat; echo bad >&2");
    let done = bundle.run_call(&[]).stdin(b"some input").run().ok();
    assert_eq!(done.stdout, "some input");
    assert_eq!(done.stderr.trim(), "bad");
}

/// What the caller ignores (`nohup`, a shell's background) is no business of the container's: its programs would not hear
/// of a hang-up or an interrupt.
#[test]
fn no_signal_is_ignored_because_the_caller_ignores_it() {
    requires!(root, stake, busybox_image);
    let look = ["/bin/grep", "SigIgn", "/proc/self/status"];
    let ignore = "trap '' HUP INT QUIT USR1";
    let bundle = Bundle::busybox().args(&look);
    bundle.write();
    let folder = bundle.folder().to_str().unwrap().to_owned();
    let ran = bundle.call_after(ignore, &["run", "--bundle", &folder, bundle.id()]).run().ok();
    assert_eq!(ran.stdout, "SigIgn:\t0000000000000000\n");
    let bundle = Bundle::busybox().sh("sleep 1000").detached();
    let mut arguments = vec!["exec", bundle.id()];
    arguments.extend(look);
    let added = bundle.call_after(ignore, &arguments).run().ok();
    assert_eq!(added.stdout, "SigIgn:\t0000000000000000\n");
}

#[test]
fn signals_are_forwarded() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
    let running = bundle.run_started();
    eventually("the trap to be set", Duration::from_secs(20), || running.stdout_so_far().contains("ready"));
    running.signal(Signal::TERM);
    let done = running.wait().exits(3);
    assert!(done.stdout.contains("got"));
}

#[test]
fn user_groups_directory_and_environment() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("id -u; id -g; id -G; pwd; echo $A").edit(|config| {
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000, "additionalGids": [2000] });
        config["process"]["cwd"] = json!("/tmp");
        config["process"]["env"] = json!(["PATH=/bin", "A=b c"]);
    });
    assert_eq!(bundle.run().ok().out(), "1000\n1000\n1000 2000\n/tmp\nb c");
}

#[test]
fn only_stdio_and_what_was_asked_for_is_open() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("ls /proc/self/fd");
    // ls itself holds the folder that it lists as the next one.
    assert_eq!(bundle.run().ok().out().split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    let bundle = Bundle::busybox().sh("cat <&3; cat <&4; test ! -e /proc/self/fd/5");
    std::fs::write(bundle.folder().join("input"), "x").unwrap();
    bundle.write();
    let prelude = format!("exec 3<{0} 4<{0} 5<{0}", bundle.folder().join("input").display());
    let folder = bundle.folder().to_str().unwrap();
    let done = bundle.call_after(&prelude, &["run", "--preserve-fds", "2", "--bundle", folder, bundle.id()]).run().ok();
    assert_eq!(done.stdout, "xx");
}

#[test]
fn resource_limits() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("ulimit -n; ulimit -c").edit(|config| {
        config["process"]["rlimits"] = json!([
            { "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 },
            { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }
        ]);
    });
    assert_eq!(bundle.run().ok().out(), "100\n0");
}

#[test]
fn capabilities_and_privileges() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status").edit(|config| {
        config["process"]["noNewPrivileges"] = json!(true);
    });
    let text = bundle.run().ok().stdout;
    let expected = [
        "CapInh:\t0000000000000000",
        "CapPrm:\t00000000a80425fb",
        "CapEff:\t00000000a80425fb",
        "CapBnd:\t00000000a80425fb",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn one_capability_and_no_other() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("grep CapBnd /proc/self/status; chown 1:1 /tmp; kill -0 1").edit(|config| {
        let one = json!(["CAP_CHOWN"]);
        config["process"]["capabilities"] = json!({ "bounding": one, "effective": one, "permitted": one });
    });
    assert_eq!(bundle.run().ok().out(), "CapBnd:\t0000000000000001");
    let bundle = Bundle::busybox().sh("chown 1:1 /tmp").edit(|config| {
        config["process"]["capabilities"] = json!({});
    });
    let done = bundle.run().exits(1);
    assert!(done.stderr.contains("not permitted"), "{done:?}");
}

#[test]
fn a_program_that_is_missing_is_named() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/no/such/program"]);
    bundle.run().refuses(&["/no/such/program"]);
    bundle.assert_gone();
}
