//! What `create` and `run` write down for later, and take over from other containers.

use serde_json::json;
use stockade_testkit::{Stockade, requires};

#[test]
fn volumes_from_take_over_what_others_have() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let host = stockade.folder().join("host");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(host.join("file"), "of the host\n").unwrap();
    let bind = format!("{}:/host:ro", host.display());
    let first =
        stockade.detached(&["--name", "first", "-v", "/own", "-v", "data:/data", "-v", &bind], &["sleep", "1000"]);
    stockade.ask(&["run", "--rm", "-v", "data:/d", stockade.image(), "sh", "-c", "echo one > /d/file"]).ok();
    let script = "cat /data/file /host/file; echo two > /own/new && echo three > /data/three; echo x > /host/x";
    let done = stockade.sh(&["--volumes-from", "first"], script);
    assert_eq!((done.code(), done.out()), (1, "one\nof the host"), "{done:?}");
    assert!(done.stderr.contains("Read-only"), "what another can only read stays so: {done:?}");
    let own = stockade.sh(&["--volumes-from", &first[..12]], "cat /own/new").ok();
    assert_eq!(own.out(), "two");
    for (flag, path) in [("first:ro", "/own/x"), ("first:ro", "/data/x")] {
        let refused = stockade.sh(&["--volumes-from", flag], &format!("echo x > {path}"));
        assert!(refused.code() == 1 && refused.stderr.contains("Read-only"), "{flag} {path}: {refused:?}");
    }
    // What is asked for at the same place counts more.
    let replaced =
        stockade.sh(&["--volumes-from", "first", "-v", "other:/data", "--tmpfs", "/own"], "ls /data /own").ok();
    assert!(!replaced.stdout.contains("file") && !replaced.stdout.contains("new"), "{replaced:?}");
    // From one that does not run, and from one that has it from another.
    stockade.ask(&["kill", "first"]).ok();
    stockade.until("first", "exited");
    stockade.ask(&["create", "--name", "second", "--volumes-from", "first:ro", stockade.image(), "true"]).ok();
    assert_eq!(
        stockade.inspect("second", "{{json .HostConfig.VolumesFrom}} {{json .HostConfig.Binds}}"),
        r#"["first:ro"] []"#
    );
    let third = stockade.sh(&["--volumes-from", "second"], "cat /own/new; echo x > /own/x");
    assert_eq!((third.code(), third.out()), (1, "two"), "{third:?}");
    // The volume stays as long as somebody has it.
    stockade.ask(&["rm", "-v", "first"]).ok();
    assert_eq!(stockade.sh(&["--volumes-from", "second"], "cat /own/new").ok().out(), "two");
    stockade.sh(&["--volumes-from", "first"], "true").exits(125).refuses(&["--volumes-from", "first"]);
    stockade.ask(&["rm", "second"]).ok();
}

#[test]
fn a_bind_without_what_is_below_it_stays_so_for_who_takes_it_over() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let mount = "type=bind,source=/proc/sys,target=/sys-of-host,bind-recursive=disabled,readonly";
    let made =
        stockade.ask(&["create", "--userns=host", "--name", "first", "--mount", mount, stockade.image(), "true"]).ok();
    stockade.know(made.out());
    stockade
        .ask(&["create", "--userns=host", "--name", "second", "--volumes-from", "first", stockade.image(), "true"])
        .ok();
    for name in ["first", "second"] {
        let point = stockade.inspect(name, "{{json (index .Mounts 0)}}");
        assert!(point.contains(r#""BindRecursive":"disabled""#) && point.contains(r#""RW":false"#), "{name}: {point}");
    }
    stockade.ask(&["rm", "first", "second"]).ok();
}

#[test]
fn the_container_says_how_it_is_stopped() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let script = "trap 'exit 7' INT; trap '' TERM; while :; do sleep 0.1; done";
    let flags = ["--stop-signal", "sigint", "--stop-timeout", "600"];
    let id = stockade.detached(&flags, &["sh", "-c", script]);
    assert_eq!(stockade.inspect(&id, "{{.Config.StopSignal}} {{.Config.StopTimeout}}"), "sigint 600");
    stockade.ask(&["stop", &id]).ok();
    assert_eq!(stockade.inspect(&id, "{{.State.ExitCode}}"), "7");
    // Nothing but the container's own zero seconds ends this one.
    let id = stockade.detached(
        &["--stop-timeout=0", "--init=false"],
        &["sh", "-c", "trap '' TERM; sleep 1000 & wait; wait; sleep 1000"],
    );
    stockade.ask(&["stop", &id]).ok();
    assert_eq!(stockade.inspect(&id, "{{.State.ExitCode}}"), "137");
    for (flag, word) in [("--stop-signal=NOPE", "NOPE"), ("--stop-timeout=-2", "-2"), ("--stop-timeout=x", "seconds")] {
        stockade.sh(&[flag], "true").exits(125).refuses(&[word]);
    }
}

#[test]
fn names_ports_and_annotations() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let flags =
        ["--domainname", "example.org", "--annotation", "org.example.a=b=c", "--expose", "80", "--expose=53-54/udp"];
    let id = stockade.detached(&flags, &["sleep", "1000"]);
    assert_eq!(stockade.inspect(&id, "{{.Config.Domainname}}"), "example.org");
    assert_eq!(stockade.inspect(&id, "{{json .HostConfig.Annotations}}"), r#"{"org.example.a":"b=c"}"#);
    assert_eq!(stockade.inspect(&id, "{{json .Config.ExposedPorts}}"), r#"{"53/udp":{},"54/udp":{},"80/tcp":{}}"#);
    let text = std::fs::read(stockade.data().join("containers").join(&id).join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(config["annotations"], json!({ "org.example.a": "b=c" }));
    let inside = stockade.sh(&["--domainname", "example.org"], "cat /proc/sys/kernel/domainname").ok();
    assert_eq!(inside.out(), "example.org");
    for (flags, word) in [
        (&["--annotation=x"][..], "KEY=VALUE"),
        (&["--expose=80:80"], "--publish"),
        (&["--expose=0"], "65535"),
        (&["--uts=host", "--domainname=x"], "--domainname"),
        (&["--volumes-from=x:rx"], "--volumes-from"),
        (&["--volumes-from=nobody"], "no such container"),
        (&["--storage-opt=size=1g"], "--storage-opt is not supported"),
        (&["--link=a:b"], "--link is not supported"),
    ] {
        stockade.sh(flags, "true").exits(125).refuses(&[word]);
    }
}
