//! The command line in all the forms that engines and people write it in.

use serde_json::{Value, json};
use stockade_testkit::{Bundle, Call, programs, requires};

fn stake(arguments: &[&str]) -> Call {
    Call::new(programs::runtime()).args(arguments)
}

#[test]
fn flags_in_all_their_forms() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox();
    bundle.write();
    let folder = bundle.folder().to_str().unwrap().to_owned();
    let id = bundle.id();
    for form in [
        &["run", "-b", &folder, id][..],
        &["run", id, "-b", &folder],
        &["run", &format!("--bundle={folder}"), "--no-subreaper=true", id],
        &["run", "-bundle", &folder, "--detach=false", "--keep=0", id],
        &["run", "--bundle", "/nowhere", "--bundle", &folder, "--pid-file", "", "--console-socket", "", id],
        &["run", "--bundle", &folder, "--", id],
    ] {
        bundle.call(form).run().ok();
        bundle.assert_gone();
    }
    bundle.call(&["run", id]).within(bundle.folder()).run().ok();
    bundle.call(&["run", "--bundle", "", id]).within(bundle.folder()).run().ok();
    bundle.assert_gone();
}

/// The flags in a help text: `--detach, -d` or `-d, --detach`.
fn flags(help: &str) -> std::collections::BTreeSet<String> {
    let lines = help.lines().map(str::trim).filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| line.split(' ').take(4).map(|word| word.trim_end_matches(',').to_owned()));
    words.filter(|word| word.starts_with('-')).collect()
}

#[test]
fn every_flag_of_runc_is_known() {
    requires!(stake, runc);
    let runc = |arguments: &[&str]| flags(&Call::new("runc").args(arguments).run().ok().stdout);
    let ours = |arguments: &[&str]| flags(&stake(arguments).run().ok().stdout);
    let missing: Vec<_> = runc(&["--help"]).difference(&ours(&["--help"])).cloned().collect();
    assert!(missing.is_empty(), "before the verb: {missing:?}");
    for verb in [
        "create", "delete", "events", "exec", "features", "kill", "list", "pause", "ps", "resume", "run", "spec",
        "start", "state", "update",
    ] {
        let (theirs, ours) = (runc(&[verb, "--help"]), ours(&[verb, "--help"]));
        let missing: Vec<_> = theirs.difference(&ours).collect();
        assert!(missing.is_empty(), "{verb}: {missing:?}");
        assert!(ours.contains("--help"), "{verb}");
    }
}

#[test]
fn mistakes_are_named_and_nothing_is_made() {
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox();
    for (options, word) in [
        (&["--detahc"][..], "did you mean --detach"),
        (&["--pid-file"], "pid-file"),
        (&["--keep=perhaps"], "perhaps"),
        (&["--preserve-fds", "-1"], "preserve-fds"),
        (&["--preserve-fds", "5000"], "preserve-fds"),
        (&["one-too-many"], "too many"),
    ] {
        let mut call = bundle.run_call(&[]);
        call = call.args(options);
        call.run().exits(1).refuses(&[word]);
        bundle.assert_gone();
    }
    bundle.call(&["strat", "x"]).run().exits(1).refuses(&["did you mean start"]);
    bundle.call(&["state"]).run().exits(1).refuses(&["id"]);
    bundle.call(&["kill", "x", "TERM", "more"]).run().exits(1).refuses(&["kill"]);
    bundle.call(&["exec", "x"]).run().exits(1).refuses(&["command"]);
    bundle.call(&["list", "--format", "xml"]).run().exits(1).refuses(&["table or json"]);
    stake(&["--rootless", "perhaps", "list"]).run().exits(1).refuses(&["rootless"]);
    stake(&["--log-format", "xml", "list"]).run().exits(1).refuses(&["log-format"]);
}

#[test]
fn help_and_version() {
    requires!(stake);
    for arguments in [&[][..], &["--help"], &["-h"], &["help"]] {
        assert!(stake(arguments).run().ok().stdout.contains("checkpoint"), "{arguments:?}");
    }
    for arguments in [&["help", "exec"][..], &["exec", "--help"], &["exec", "-h"]] {
        let text = stake(arguments).run().ok().stdout;
        assert!(text.contains("--ignore-paused") && text.contains("-u, --user"), "{text}");
    }
    for form in ["--version", "-v", "-version"] {
        let text = stake(&[form]).run().ok().stdout;
        assert!(text.contains("stake version ") && text.contains("spec: 1.3."), "{text}");
    }
}

#[test]
fn features_are_those_of_the_specification_and_can_be_had() {
    requires!(root, stake, busybox_image);
    let features = stake(&["features"]).run().ok().json();
    assert_eq!((&features["ociVersionMin"], &features["ociVersionMax"]), (&json!("1.0.0"), &json!("1.3.0")));
    let linux = &features["linux"];
    for (section, property) in [
        ("cgroup", "v1"),
        ("cgroup", "v2"),
        ("cgroup", "rdma"),
        ("cgroup", "systemd"),
        ("seccomp", "enabled"),
        ("apparmor", "enabled"),
        ("netDevices", "enabled"),
    ] {
        assert_eq!(linux[section][property], true, "{section}.{property}");
    }
    for (section, property) in [("selinux", "enabled"), ("intelRdt", "enabled")] {
        assert_eq!(linux[section][property], false, "{section}.{property}");
    }
    assert_eq!(linux["mountExtensions"]["idmap"]["enabled"], true);
    assert_eq!(features["hooks"].as_array().unwrap().len(), 6);
    assert!(linux["memoryPolicy"]["modes"].as_array().unwrap().contains(&json!("MPOL_WEIGHTED_INTERLEAVE")));
    assert!(linux["memoryPolicy"]["flags"].as_array().unwrap().contains(&json!("MPOL_F_STATIC_NODES")));
    // Whatever is listed is taken.
    let words = |list: &Value| list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect();
    let options: Vec<String> = words(&features["mountOptions"]);
    let capabilities: Vec<String> = words(&linux["capabilities"]);
    let no_bind: Vec<&str> = options.iter().map(String::as_str).filter(|name| !name.contains("bind")).collect();
    let for_tmpfs: Vec<&str> = no_bind.into_iter().filter(|name| !name.ends_with("idmap")).collect();
    let bundle = Bundle::busybox().mount("tmpfs", "tmpfs", "/mnt", &for_tmpfs).edit(|config| {
        config["process"]["capabilities"]["bounding"] = json!(capabilities);
    });
    let done = bundle.run();
    assert_eq!(done.code(), 0, "{done:?}");
}

#[test]
fn what_is_not_supported_is_said_with_the_way_out() {
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    let id = bundle.id();
    for arguments in [
        &["checkpoint", "--image-path", "/tmp/x", "--leave-running", "--tcp-established", id][..],
        &["restore", "--image-path", "/tmp/x", "--detach", "--bundle", "/x", "other"],
        &["--criu", "/usr/sbin/criu", "checkpoint", id],
    ] {
        bundle.call(arguments).run().exits(1).refuses(&["checkpoint and restore of containers is not supported yet"]);
    }
    assert_eq!(bundle.status(), "running");
    let other = Bundle::busybox();
    other.write();
    let call = other.call(&["--systemd-cgroup", "run", "--bundle", other.folder().to_str().unwrap(), other.id()]);
    call.run().exits(1).refuses(&["slice:prefix:name"]);
    other.assert_gone();
    other.call(&["--systemd-cgroup=false", "run", "-b", other.folder().to_str().unwrap(), other.id()]).run().ok();
}

#[test]
fn errors_go_to_the_log_in_its_format_too() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox();
    let log = bundle.folder().join("log");
    let path = log.to_str().unwrap();
    let missing = |format: &str| bundle.call(&["--log", path, "--log-format", format, "state", "missing"]).run();
    missing("json").exits(1).refuses(&["does not exist"]);
    let text = std::fs::read_to_string(&log).unwrap();
    let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("does not exist") && line["time"].is_string(), "{line}");
    missing("text").exits(1).refuses(&["does not exist"]);
    let text = std::fs::read_to_string(&log).unwrap();
    let line = text.lines().last().unwrap();
    assert!(line.starts_with("time=\"") && line.contains("level=error msg=\""), "{line}");
}

#[test]
fn sockets_of_systemd_go_on_to_the_payload() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("echo $LISTEN_FDS $LISTEN_PID $(cat <&3) $(cat <&4); test ! -e /proc/self/fd/5");
    for name in ["first", "second", "third"] {
        std::fs::write(bundle.folder().join(name), name).unwrap();
    }
    bundle.write();
    let folder = bundle.folder().to_str().unwrap();
    let open = format!("exec 3<{folder}/first 4<{folder}/second 5<{folder}/third");
    let run = ["run", "--preserve-fds", "1", "--bundle", folder, bundle.id()];
    let done = bundle.call_after(&format!("{open}; export LISTEN_FDS=1 LISTEN_PID=$$"), &run).run().ok();
    assert_eq!(done.out(), "1 1 first second");
    // Those of another process are not ours.
    let done = bundle.call_after(&format!("{open}; export LISTEN_FDS=1 LISTEN_PID=1"), &run).run();
    assert!(!done.stdout.contains("second"), "{done:?}");
}

#[test]
fn the_root_folder_is_the_users_without_privileges() {
    requires!(root, stake, setpriv);
    let place = Bundle::empty();
    let folder = place.folder().join("runtime");
    std::fs::create_dir(&folder).unwrap();
    let list = |prefix: &[&str], program: &std::path::Path| {
        let call = Call::new(prefix[0]).args(&prefix[1..]).arg(program).arg("list");
        call.env("XDG_RUNTIME_DIR", &folder).run().ok();
    };
    list(&["env"], &programs::runtime());
    assert!(!folder.join("stake").exists(), "root's folder is /run/stake");
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    // Where this user can reach it.
    let program = place.folder().join("stake");
    std::fs::copy(programs::runtime(), &program).unwrap();
    list(&["setpriv", "--reuid", "4242", "--regid", "4242", "--clear-groups"], &program);
    assert!(folder.join("stake").is_dir());
}
