//! Processes that are made weaker after their start, and those of other engines or none.

use std::collections::BTreeSet;
use stockade_testkit::cgroup;

use super::*;

/// The audit of a running bundle against its own configuration.
fn of(bundle: &Bundle, asked: &Value) -> Value {
    report(bundle, asked, bundle.pid()).1
}

/// A program in the mount and pid namespaces of `pid`, as the host's root.
#[track_caller]
fn in_mounts(pid: i32, words: &[&str]) {
    Call::new("nsenter").args(["-t", &pid.to_string(), "-m", "-p"]).args(words).run().ok();
}

#[test]
fn a_mask_that_is_taken_off_is_found() {
    requires!(root, stake, stockade, busybox_image, nsenter);
    let bundle = walled();
    let asked = bundle.config().clone();
    let bundle = bundle.detached();
    in_mounts(bundle.pid(), &["umount", "/proc/interrupts"]);
    assert_eq!(weaker(&of(&bundle, &asked)), BTreeSet::from(["masked-paths: /proc/interrupts".to_owned()]));
}

#[test]
fn a_mount_that_is_added_or_opened_later_is_found() {
    requires!(root, stake, stockade, busybox_image, nsenter);
    let bundle = walled();
    let asked = bundle.config().clone();
    let bundle = bundle.detached();
    in_mounts(bundle.pid(), &["mount", "-o", "remount,bind,rw,nosuid,nodev,exec", "/dev/shm"]);
    assert_eq!(weaker(&of(&bundle, &asked)), BTreeSet::from(["mounts: /dev/shm".to_owned()]));
    in_mounts(bundle.pid(), &["mount", "-t", "tmpfs", "x", "/tmp"]);
    let expected = ["mounts: /dev/shm", "mounts: /tmp"].map(str::to_owned);
    assert_eq!(weaker(&of(&bundle, &asked)), BTreeSet::from(expected));
}

#[test]
fn a_false_proc_is_found() {
    requires!(root, stake, stockade, busybox_image, nsenter);
    let bundle = walled();
    let asked = bundle.config().clone();
    let bundle = bundle.detached();
    in_mounts(bundle.pid(), &["mount", "-t", "tmpfs", "-o", "nosuid,nodev,noexec", "x", "/proc"]);
    let found = weaker(&of(&bundle, &asked));
    assert!(found.contains("kernel-files: /proc") && found.contains("mounts: /proc type"), "{found:?}");
}

#[test]
fn a_process_that_is_moved_out_of_its_group_is_found() {
    requires!(root, stake, stockade, busybox_image, limits);
    let bundle = walled();
    let asked = bundle.config().clone();
    let bundle = bundle.detached();
    let pid = bundle.pid().to_string();
    std::fs::write(cgroup::folder("pids", "/").join("cgroup.procs"), &pid).unwrap();
    let found = weaker(&of(&bundle, &asked));
    let expected: &[&str] = match cgroup::is_v1("pids") {
        true => &["limits: group", "limits: pids"],
        // One group is all limits there are, and the devices.
        false => &[
            "device-filter: filter",
            "limits: cpu",
            "limits: cpuset.cpus",
            "limits: group",
            "limits: memory",
            "limits: pids",
        ],
    };
    assert_eq!(found, expected.iter().map(|one| (*one).to_owned()).collect());
    std::fs::write(cgroup::folder("pids", bundle.cgroup()).join("cgroup.procs"), &pid).unwrap();
    assert_eq!(weaker(&of(&bundle, &asked)), BTreeSet::new());
}

#[test]
fn a_limit_that_is_lifted_and_a_device_that_is_allowed_later_are_found() {
    requires!(root, stake, stockade, busybox_image, limits);
    let bundle = walled();
    let asked = bundle.config().clone();
    let bundle = bundle.detached();
    std::fs::write(cgroup::folder("pids", bundle.cgroup()).join("pids.max"), "max").unwrap();
    if !cgroup::is_v1("devices") {
        // No file says which devices are allowed, and one more program could only deny more.
        return assert_eq!(weaker(&of(&bundle, &asked)), BTreeSet::from(["limits: pids".to_owned()]));
    }
    std::fs::write(cgroup::folder("devices", bundle.cgroup()).join("devices.allow"), "c 10:229 rwm").unwrap();
    let found = weaker(&of(&bundle, &asked));
    assert_eq!(found, BTreeSet::from(["device-filter: fuse", "limits: pids"].map(str::to_owned)));
}

#[test]
fn a_limit_of_an_ancestor_counts() {
    requires!(root, stake, stockade, busybox_image, limits);
    let bundle = walled().edit(|config| {
        config["linux"]["cgroupsPath"] =
            format!("{}-above/leaf", config["linux"]["cgroupsPath"].as_str().unwrap()).into();
    });
    let asked = bundle.config().clone();
    let bundle = bundle.edit(|config| drop(config["linux"]["resources"].as_object_mut().unwrap().remove("pids")));
    let bundle = bundle.detached();
    assert_eq!(weaker(&of(&bundle, &asked)), BTreeSet::from(["limits: pids".to_owned()]));
    let above = cgroup::folder("pids", bundle.cgroup()).parent().unwrap().to_owned();
    std::fs::write(above.join("pids.max"), "100").unwrap();
    assert_eq!(weaker(&of(&bundle, &asked)), BTreeSet::new());
    drop(bundle);
}

#[test]
fn a_folder_of_the_host_that_is_open_is_found() {
    requires!(root, stake, stockade, busybox_image);
    let bundle = walled();
    let asked = bundle.config().clone();
    bundle.write();
    let folder = bundle.folder().to_str().unwrap().to_owned();
    let words = ["run", "--detach", "--preserve-fds", "1", "--bundle", &folder, bundle.id()];
    bundle.call_after("exec 3</usr", &words).run().ok();
    let found = weaker(&of(&bundle, &asked));
    assert_eq!(found, BTreeSet::from(["descriptors: 3".to_owned()]));
}

#[test]
fn a_working_directory_outside_is_found() {
    requires!(root, stake, stockade, busybox_image);
    let bundle = walled().edit(|config| config["process"]["args"] = serde_json::json!(["/bin/sleep", "1000"]));
    let asked = bundle.config().clone();
    let bundle = bundle.detached();
    // What CVE-2024-21626 came to: the container's process works in a folder of the host's.
    let inside =
        Call::new("nsenter").args(["-t", &bundle.pid().to_string(), "-p", "-i", "-n", "-u", "--", "sleep", "1000"]);
    let running = inside.start();
    let report = of(&bundle, &asked);
    // `nsenter` brought in a process of the host's, with its capabilities and without a filter.
    let found = weaker(&report);
    assert!(!found.is_empty() && found.iter().all(|one| one.starts_with("drift: ")), "{found:?}");
    drop(running);
}

#[test]
fn a_process_that_exec_gives_more_is_found() {
    requires!(root, stake, stockade, busybox_image);
    let bundle = walled();
    let asked = bundle.config().clone();
    let bundle = bundle.detached();
    let running = bundle.exec_call(&["--cap", "CAP_SYS_ADMIN", "--user", "0:0"], &["/bin/sleep", "1000"]).start();
    let mut found = BTreeSet::new();
    stockade_testkit::eventually("the second process to be found", std::time::Duration::from_secs(20), || {
        found = weaker(&of(&bundle, &asked));
        // Until it has executed its program it is the runtime's.
        found.iter().any(|one| one.starts_with("drift: sleep"))
    });
    assert!(found.len() == 1 && found.iter().all(|one| one.starts_with("drift: sleep")), "{found:?}");
    drop(running);
}

#[test]
fn what_became_weaker_since_an_earlier_audit_is_found() {
    requires!(root, stake, stockade, busybox_image, nsenter);
    let bundle = walled().detached();
    let pid = format!("pid:{}", bundle.pid());
    let saved = bundle.folder().join("saved.json");
    let first = audit(&["--format", "json", &pid]);
    std::fs::write(&saved, &first.stdout).unwrap();
    let since = |text: &str| audit(&["--format", "json", "--since", text, &pid]);
    let saved = saved.to_str().unwrap();
    assert_eq!(weaker(&since(saved).json()[0]), BTreeSet::new());
    in_mounts(bundle.pid(), &["umount", "/proc/keys"]);
    let done = since(saved);
    assert_eq!(done.code(), 3);
    assert_eq!(weaker(&done.json()[0]), BTreeSet::from(["drift: masked-paths: /proc/keys".to_owned()]));
}

#[test]
fn a_process_without_walls_has_none() {
    requires!(root, stockade);
    let running = Call::new("sleep").arg("1000").start();
    let done = audit(&["--format", "json", &format!("pid:{}", running.pid())]);
    let report = &done.json()[0];
    // Nobody asked for anything.
    assert_eq!(done.code(), 0);
    assert_eq!(report["grade"]["letter"], "F");
    for one in ["namespaces: pid", "namespaces: user", "seccomp: mode", "no-new-privileges: no_new_privs", "root: root"]
    {
        assert!(with_verdict(report, "not-asked").contains(one), "{one}");
    }
}

#[test]
fn what_unshare_makes_is_what_is_found() {
    requires!(root, stockade, unshare);
    let flags = ["--fork", "--pid", "--mount-proc", "--net", "--uts", "--kill-child", "sleep", "1000"];
    let running = Call::new("unshare").args(flags).start();
    let child = || std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.pid())).unwrap_or_default();
    stockade_testkit::eventually("the child", std::time::Duration::from_secs(20), || !child().trim().is_empty());
    let done = audit(&["--format", "json", &format!("pid:{}", child().trim())]);
    let (holds, open) = (with_verdict(&done.json()[0], "holds"), with_verdict(&done.json()[0], "not-asked"));
    for one in ["pid", "net", "uts", "mnt"] {
        assert!(holds.contains(&format!("namespaces: {one}")), "{one}");
    }
    for one in ["ipc", "user", "cgroup"] {
        assert!(open.contains(&format!("namespaces: {one}")), "{one}");
    }
    drop(running);
}

#[test]
fn a_container_of_runc_is_held_against_its_configuration() {
    requires!(root, runc, stockade, busybox_image);
    let runc = stockade_testkit::programs::on_path("runc").unwrap();
    let bundle = walled().runtime(&runc);
    let asked = bundle.config().clone();
    let bundle = bundle.detached();
    let report = of(&bundle, &asked);
    let found = weaker(&report);
    // runc compares arguments at 64 bits, which upper bits pass by (see the room's documentation), and leaves the tmpfs that holds the
    // hierarchies of control groups writable.
    let allowed = ["calls: upper bits", "filter: program", "mounts: /sys/fs/cgroup"];
    assert!(found.iter().all(|one| allowed.contains(&one.as_str())), "{report:#}");
    let weak = walled().runtime(&runc).edit(|config| {
        config["process"]["noNewPrivileges"] = false.into();
        config["linux"]["maskedPaths"].as_array_mut().unwrap().retain(|one| one != "/proc/keys");
    });
    let weak = weak.detached();
    let mut asked = asked;
    asked["linux"]["cgroupsPath"] = weak.cgroup().into();
    let found = weaker(&of(&weak, &asked));
    let expected = ["no-new-privileges: no_new_privs", "masked-paths: /proc/keys"].map(str::to_owned);
    assert!(expected.iter().all(|one| found.contains(one)), "{found:?}");
}

/// What a runtime makes of these changes, read by the audit and by a plain reading of `/proc`.
#[track_caller]
fn is_read_alike(runtime: &std::path::Path) {
    let changes: [fn(&mut Value); 5] = [
        |_| {},
        |config| config["process"]["noNewPrivileges"] = false.into(),
        |config| {
            let all = serde_json::json!(["CAP_NET_RAW", "CAP_SYS_ADMIN", "CAP_BPF"]);
            config["process"]["user"] = serde_json::json!({ "uid": 0, "gid": 0 });
            for set in ["bounding", "permitted", "effective", "inheritable", "ambient"] {
                config["process"]["capabilities"][set] = all.clone();
            }
        },
        |config| drop(config["linux"].as_object_mut().unwrap().remove("seccomp")),
        |config| {
            let linux = config["linux"].as_object_mut().unwrap();
            let kinds = linux["namespaces"].as_array_mut().unwrap();
            kinds.retain(|one| !["ipc", "uts"].contains(&one["type"].as_str().unwrap()));
            linux.remove("sysctl").unwrap();
            config.as_object_mut().unwrap().remove("hostname").unwrap();
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let bundle = walled().runtime(runtime).edit(change).detached();
        let audited = audit(&["--format", "json", &format!("pid:{}", bundle.pid())]).json()[0].clone();
        let reading = stockade_testkit::plain::read(Call::new("sh"), bundle.pid());
        assert_eq!(stockade_testkit::plain::of_report(&audited), reading, "change {number}");
    }
}

#[test]
fn a_plain_reading_of_a_container_of_stakes_says_the_same() {
    requires!(root, stake, stockade, busybox_image);
    is_read_alike(&stockade_testkit::programs::runtime());
}

#[test]
fn a_plain_reading_of_a_container_of_runcs_says_the_same() {
    requires!(root, runc, stockade, busybox_image);
    is_read_alike(&stockade_testkit::programs::on_path("runc").unwrap());
}
