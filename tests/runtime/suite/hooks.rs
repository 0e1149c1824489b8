//! Hooks: when they run, what they are told, and what comes of their failure (`config.md`, "POSIX-platform Hooks";
//! `runtime.md`, "Lifecycle").

use std::time::Duration;

use serde_json::{Value, json};
use stockade_testkit::{Bundle, programs, requires};

/// A hook that runs `script` by the host's shell.
fn hook(script: &str) -> Value {
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script] })
}

#[test]
fn hooks_of_all_kinds_run_in_order_with_the_state() {
    requires!(root, runtime, busybox_image);
    let kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];
    let bundle = Bundle::busybox().args(&["/bin/sleep", "0.2"]);
    let log = bundle.folder().join("log");
    std::fs::write(&log, "").unwrap();
    let script = |kind: &str, log: &str| json!([{ "path": "/bin/sh", "args": ["sh", "-c", format!("echo {kind} $(cat) >> {log}")] }]);
    let bundle = bundle.mount("bind", log.to_str().unwrap(), "/log", &["bind", "rw"]).edit(|config| {
        for kind in kinds {
            // The container's own hook runs in the container's root.
            let path = if kind == "startContainer" { "/log" } else { log.to_str().unwrap() };
            config["hooks"][kind] = script(kind, path);
        }
    });
    bundle.run().ok();
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<(&str, Value)> = text
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(kind, state)| (kind, serde_json::from_str(state).unwrap()))
        .collect();
    let mut order: Vec<&str> = lines.iter().map(|(kind, _)| *kind).collect();
    if !programs::runtime_is_ours() {
        // runc lets these two race.
        order[3..5].sort_by_key(|kind| *kind == "poststart");
    }
    assert_eq!(order, kinds);
    for (kind, state) in &lines {
        assert_eq!(state["id"], bundle.id(), "{kind}: {state}");
        assert_eq!(state["bundle"], bundle.folder().to_str().unwrap(), "{kind}: {state}");
        assert!(state["ociVersion"].is_string(), "{kind}: {state}");
        if !programs::runtime_is_ours() {
            // runc 1.1 lets poststart race with the start, and tells the hooks in the container another id.
            continue;
        }
        let status = match *kind {
            "startContainer" => "created",
            "poststart" => "running",
            "poststop" => "stopped",
            _ => "creating",
        };
        assert_eq!(state["status"], status, "{kind}: {state}");
        assert!(*kind == "poststop" || state["pid"].as_i64().unwrap() > 1, "the host's id: {kind}: {state}");
    }
    bundle.assert_gone();
}

#[test]
fn a_failing_hook_stops_the_creation() {
    requires!(root, runtime, busybox_image);
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let bundle = Bundle::busybox().edit(|config| config["hooks"][kind] = json!([{ "path": "/bin/false" }]));
        bundle.run().refuses(&["hook"]);
        bundle.assert_gone();
    }
}

#[test]
fn the_environment_is_the_configured_one_and_arguments_are_passed() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox();
    let log = bundle.folder().join("log");
    let script = format!("echo $0 $1 $A ${{HOME:-none}} ${{LD_PRELOAD:-none}} > {}", log.display());
    let bundle = bundle.edit(|config| {
        let args = json!(["name", "-c", script, "zero", "one"]);
        config["hooks"]["createRuntime"] = json!([{ "path": "/bin/sh", "args": args, "env": ["A=b"] }]);
    });
    bundle.run_call(&[]).env("LD_PRELOAD", "").env("HOME", "/root").run().ok();
    assert_eq!(std::fs::read_to_string(log).unwrap().trim(), "zero one b none none");
}

#[test]
fn a_hook_that_fails_before_the_start_undoes_the_container_and_poststop_runs() {
    requires!(root, runtime, busybox_image);
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer"] {
        let bundle = Bundle::busybox().sh("echo the payload ran");
        let stopped = bundle.folder().join("stopped");
        let bundle = bundle.edit(|config| {
            config["hooks"][kind] = json!([hook("echo the reason >&2; exit 3"), hook("exit 0")]);
            config["hooks"]["poststop"] = json!([hook(&format!("cat > {}", stopped.display()))]);
        });
        let done = bundle.run().refuses(&["the reason"]);
        assert!(!done.stdout.contains("payload"), "{kind}: {done:?}");
        bundle.assert_gone();
        let state: Value = serde_json::from_str(&std::fs::read_to_string(&stopped).unwrap()).unwrap();
        assert_eq!(state["status"], "stopped", "{kind}");
    }
}

#[test]
fn a_hook_in_the_container_that_fails_ends_it_at_start() {
    // runc 1.1 does not tell at start, nor kill with what a hook has started, nor fail at start for poststart.
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox().edit(|config| config["hooks"]["startContainer"] = json!([hook("exit 3")]));
    bundle.create().ok();
    bundle.start().refuses(&["hook"]);
    bundle.until("stopped");
    bundle.delete().ok();
    bundle.assert_gone();
}

#[test]
fn a_hook_that_fails_after_the_start_ends_the_container() {
    requires!(root, stake, busybox_image);
    let with_hook = || {
        let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]);
        bundle.edit(|config| config["hooks"]["poststart"] = json!([hook("exit 3")]))
    };
    let bundle = with_hook();
    bundle.create().ok();
    bundle.start().refuses(&["hook"]);
    bundle.until("stopped");
    bundle.delete().ok();
    for options in [&[][..], &["--detach"]] {
        let bundle = with_hook();
        bundle.run_call(options).run().refuses(&["hook"]);
        bundle.assert_gone();
    }
}

#[test]
fn a_hook_that_fails_after_the_end_is_a_warning() {
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox();
    let log = bundle.folder().join("log");
    let last = hook(&format!("echo last >> {}", log.display()));
    let bundle = bundle.edit(|config| config["hooks"]["poststop"] = json!([hook("exit 3"), last]));
    let done = bundle.run().ok();
    assert!(done.stderr.contains("warning") && done.stderr.contains("hook"), "{done:?}");
    assert_eq!(std::fs::read_to_string(log).unwrap(), "last\n");
}

#[test]
fn a_hook_that_takes_too_long_is_killed_with_all_that_it_started() {
    requires!(root, stake, busybox_image);
    for kind in ["createRuntime", "createContainer", "startContainer"] {
        let mut slow = hook("sleep 1000 & sleep 1000");
        slow["timeout"] = json!(1);
        let bundle = Bundle::busybox().edit(|config| config["hooks"][kind] = json!([slow]));
        let done = bundle.run_call(&[]).limit(Duration::from_secs(30)).run();
        done.refuses(&["hook"]);
        bundle.assert_gone();
    }
}

#[test]
fn hooks_of_the_container_are_in_its_namespaces_and_the_others_are_not() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/cat", "/tmp/log"]);
    let log = bundle.rootfs().join("tmp/log");
    let note = |kind: &str, log: &str| hook(&format!("echo {kind} $(readlink /proc/self/ns/uts) >> {log}"));
    let bundle = bundle.edit(|config| {
        config["hooks"] = json!({
            "createRuntime": [note("outside", log.to_str().unwrap())],
            "createContainer": [note("inside", log.to_str().unwrap())],
            "startContainer": [note("inside", "/tmp/log")],
        });
    });
    let text = bundle.run().ok().stdout;
    let host = std::fs::read_link("/proc/self/ns/uts").unwrap();
    for line in text.lines() {
        let (kind, namespace) = line.split_once(' ').unwrap();
        assert_eq!(namespace == host.to_str().unwrap(), kind == "outside", "{text}");
    }
    assert_eq!(text.lines().count(), 3);
}
