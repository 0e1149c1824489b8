//! One test per published hole, named after it. The mechanism stands in the first line of each.

use std::os::unix::fs::symlink;

use serde_json::json;
use stockade_testkit::{Bundle, programs, requires};

fn sleeping() -> Bundle {
    Bundle::busybox().with_inside().args(&["/bin/sleep", "1000"]).detached()
}

/// Ambient and inheritable capabilities were kept for a user who is not root.
#[test]
fn cve_2016_8867_and_2022_29162_no_inheritable_or_ambient_capabilities() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/grep", "-E", "Cap(Inh|Eff|Amb)", "/proc/self/status"]);
    let bundle = bundle.edit(|config| config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 }));
    let text = bundle.run().ok().stdout;
    assert_eq!(text.matches("0000000000000000").count(), 3, "{text}");
    let text = sleeping().exec(&["/bin/grep", "-E", "Cap(Inh|Amb)", "/proc/self/status"]).ok().stdout;
    assert_eq!(text.matches("0000000000000000").count(), 2, "{text}");
}

/// A process of `exec` was visible with the host's descriptors before it was made non-dumpable.
#[test]
fn cve_2016_9962_no_foreign_descriptor_is_seen_during_exec() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().with_inside().args(&["/inside", "poll-fds", "6"]);
    let running = bundle.run_started();
    stockade_testkit::eventually("the container to run", std::time::Duration::from_secs(20), || {
        bundle.call(&["state", bundle.id()]).run().stdout.contains("running")
    });
    for _ in 0..20 {
        bundle.exec(&["/bin/true"]).ok();
    }
    let seen = running.wait().ok();
    assert_eq!(seen.out(), "[]");
}

/// The host's runtime was overwritten through `/proc/self/exe`.
#[test]
fn cve_2019_5736_the_runtime_cannot_be_overwritten() {
    requires!(root, runtime, busybox_image);
    let before = std::fs::read(programs::runtime()).unwrap();
    let bundle = Bundle::busybox().with_inside();
    std::fs::write(bundle.rootfs().join("bin/trap"), "#!/proc/self/exe\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bundle.rootfs().join("bin/trap"), mode).unwrap();
    let bundle = bundle.args(&[
        "/bin/sh",
        "-c",
        "while :; do for p in /proc/[0-9]*/exe; do /inside write-exe $p; done; done | grep -F '\"open\":true' > /tmp/found",
    ]);
    let bundle = bundle.detached();
    for _ in 0..20 {
        // Whatever it answers: the attack is the point.
        bundle.exec(&["/bin/trap"]).either_way();
    }
    assert!(std::fs::read(programs::runtime()).unwrap() == before, "the runtime changed");
    assert_eq!(
        std::fs::read_to_string(bundle.rootfs().join("tmp/found")).unwrap(),
        "",
        "a program was open for writing"
    );
}

/// A volume over `/proc` made the label be written to a fake file.
#[test]
fn cve_2019_16884_a_volume_over_proc_is_refused() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox();
    let fake = bundle.folder().join("fake");
    std::fs::create_dir_all(fake.join("self/attr")).unwrap();
    let source = fake.to_str().unwrap().to_owned();
    let bundle = bundle.mount("bind", &source, "/proc", &["bind"]);
    bundle.run().refuses(&["/proc"]);
    bundle.assert_gone();
}

/// `/proc` or `/sys` of the image was a symbolic link.
#[test]
fn cve_2019_19921_and_2023_27561_a_linked_proc_is_refused() {
    requires!(root, runtime, busybox_image);
    for name in ["proc", "sys"] {
        let bundle = Bundle::busybox();
        std::fs::remove_dir(bundle.rootfs().join(name)).unwrap();
        symlink("tmp", bundle.rootfs().join(name)).unwrap();
        let done = bundle.run();
        assert_ne!(done.code(), 0, "{name}: {done:?}");
        bundle.assert_gone();
    }
}

/// Mount targets that are links led out of the root.
#[test]
fn cve_2019_18837_and_2021_30465_mount_targets_stay_inside() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/true"]);
    let outside = bundle.folder().join("outside");
    std::fs::create_dir(&outside).unwrap();
    symlink(&outside, bundle.rootfs().join("link")).unwrap();
    let source = bundle.folder().join("source");
    std::fs::create_dir(&source).unwrap();
    let bundle = bundle.mount("bind", source.to_str().unwrap(), "/link/deep/target", &["rbind"]);
    // Refused or made inside the root: either is right.
    bundle.run().either_way();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "something was made outside the root");
    bundle.assert_gone();
}

/// A leaked descriptor of the host's cgroup folder was made the working directory.
#[test]
fn cve_2024_21626_cwd_by_leaked_fd() {
    requires!(root, runtime, busybox_image);
    let other = sleeping();
    for number in 3..20 {
        let path = format!("/proc/self/fd/{number}");
        let bundle = Bundle::busybox()
            .sh("test ! -e ../../../../etc/hostname-of-host")
            .edit(|config| config["process"]["cwd"] = json!(path));
        let done = bundle.run();
        assert_ne!(done.code(), 0, "{path}: {done:?}");
        let done = other.exec_call(&["--cwd", &path], &["/bin/true"]).run();
        assert_ne!(done.code(), 0, "{path}: {done:?}");
    }
}

/// `/dev/null` of the image was a link, and masking bind-mounted its target writable.
#[test]
fn cve_2025_31133_a_linked_null_does_not_unmask() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().without_mount("/dev").without_mount("/dev/pts").without_mount("/dev/mqueue");
    let bundle = bundle.without_mount("/dev/shm").sh("test ! -s /etc/passwd");
    let victim = bundle.rootfs().join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    symlink("/victim", bundle.rootfs().join("dev/null")).unwrap();
    let bundle = bundle.edit(|config| config["linux"]["maskedPaths"] = json!(["/etc/passwd"]));
    let done = bundle.run();
    // Refused, or masked by something empty; never by the image's own file.
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched", "{done:?}");
    assert!(done.code() == 0 || !done.stderr.is_empty(), "{done:?}");
    bundle.assert_gone();
}

/// `/dev` of the image was a link to a folder of the host, and the default devices were made there.
#[test]
fn cve_2026_41579_a_linked_dev_makes_nothing_on_the_host() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox();
    let outside = bundle.folder().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::remove_dir(bundle.rootfs().join("dev")).unwrap();
    symlink(&outside, bundle.rootfs().join("dev")).unwrap();
    let bundle =
        bundle.without_mount("/dev").without_mount("/dev/pts").without_mount("/dev/mqueue").without_mount("/dev/shm");
    bundle.run().either_way();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "devices were made on the host");
    bundle.assert_gone();
}

/// A user given as a number was read wrongly, so that some became root.
#[test]
fn cve_2026_30892_the_user_of_exec_is_the_one_that_was_named() {
    requires!(root, runtime, busybox_image);
    let bundle = sleeping();
    for (user, wanted) in [("1", "1"), ("0", "0"), ("1:1", "1"), ("2147483647", "2147483647")] {
        assert_eq!(bundle.exec_call(&["--user", user], &["/bin/id", "-u"]).run().ok().out(), wanted, "{user}");
    }
    for user in ["-1", "4294967296", "name", ":5", "1:"] {
        let done = bundle.exec_call(&["--user", user], &["/bin/id", "-u"]).run();
        assert!(done.code() != 0, "{user}: {done:?}");
    }
}

/// A sysctl that belongs to no namespace changes the host.
#[test]
fn cve_2022_0811_sysctls_of_the_host_are_refused() {
    requires!(root, runtime, busybox_image);
    let before = std::fs::read("/proc/sys/kernel/core_pattern").unwrap();
    for (key, value) in [
        ("kernel.core_pattern", "|/x"),
        ("kernel.shm_rmid_forced", "1+kernel.core_pattern=|/x"),
        ("vm.swappiness", "1"),
    ] {
        let bundle = Bundle::busybox().edit(|config| config["linux"]["sysctl"] = json!({ key: value }));
        let done = bundle.run();
        assert_ne!(done.code(), 0, "{key}={value}: {done:?}");
        bundle.assert_gone();
    }
    assert_eq!(std::fs::read("/proc/sys/kernel/core_pattern").unwrap(), before);
}
