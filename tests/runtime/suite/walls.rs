//! Namespaces, mounts, masks, sysctls and the system call filter, as the payload sees them.

use serde_json::json;
use stockade_testkit::{Bundle, requires};

#[test]
fn namespaces_are_new_or_the_hosts() {
    requires!(root, runtime, busybox_image);
    let names = ["mnt", "net", "uts", "pid", "ipc", "cgroup", "user"];
    let bundle = Bundle::busybox().sh("for n in mnt net uts pid ipc cgroup user; do readlink /proc/self/ns/$n; done");
    let text = bundle.run().ok().stdout;
    for (name, inside) in names.iter().zip(text.lines()) {
        let host = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        // A user namespace is not asked for.
        assert_eq!(host.to_str().unwrap() == inside, *name == "user", "{name}: {inside}");
    }
}

#[test]
fn a_namespace_is_joined_by_its_path() {
    requires!(root, runtime, busybox_image);
    let first = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    let path = format!("/proc/{}/ns/net", first.pid());
    let wanted = std::fs::read_link(&path).unwrap();
    let second = Bundle::busybox().args(&["/bin/readlink", "/proc/self/ns/net"]).without_namespace("network");
    let second = second.namespace(json!({ "type": "network", "path": path }));
    assert_eq!(second.run().ok().out(), wanted.to_str().unwrap());
}

#[test]
fn the_first_process_is_pid_1_and_the_host_name_is_set() {
    requires!(root, runtime, busybox_image);
    assert_eq!(Bundle::busybox().sh("echo $$; hostname").run().ok().out(), "1\nbox");
}

#[test]
fn bind_mounts_with_options() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("cat /data/file; ! touch /data/x; grep ' /data ' /proc/self/mountinfo");
    let source = bundle.folder().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "content\n").unwrap();
    let done = bundle
        .mount("bind", source.to_str().unwrap(), "/data", &["rbind", "ro", "nosuid", "nodev", "noexec"])
        .run()
        .ok();
    assert!(done.stdout.starts_with("content\n"), "{done:?}");
    assert!(done.stdout.contains("ro,nosuid,nodev,noexec"), "{done:?}");
}

#[test]
fn tmpfs_with_size_and_mode() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("stat -c %a /scratch; grep ' /scratch ' /proc/mounts; touch /scratch/x");
    let done = bundle.mount("tmpfs", "tmpfs", "/scratch", &["nosuid", "size=64k", "mode=0750"]).run().ok();
    assert!(done.stdout.starts_with("750\n") && done.stdout.contains("size=64k"), "{done:?}");
}

#[test]
fn a_read_only_root() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("touch /x").edit(|config| config["root"]["readonly"] = json!(true));
    let done = bundle.run().exits(1);
    assert!(done.stderr.contains("Read-only"), "{done:?}");
}

#[test]
fn masked_paths_are_empty_and_read_only_paths_cannot_be_written() {
    requires!(root, runtime, busybox_image);
    let script = "test ! -s /secret && test -z \"$(ls /hidden)\" && ! touch /fixed/x && ! sh -c 'echo 1 > /proc/sys/kernel/domainname'";
    let bundle = Bundle::busybox().sh(script).edit(|config| {
        config["linux"]["maskedPaths"] = json!(["/secret", "/hidden", "/not/there"]);
        config["linux"]["readonlyPaths"] = json!(["/fixed", "/proc/sys", "/not/there"]);
    });
    for folder in ["hidden", "fixed"] {
        std::fs::create_dir(bundle.rootfs().join(folder)).unwrap();
    }
    std::fs::write(bundle.rootfs().join("hidden/file"), "x").unwrap();
    std::fs::write(bundle.rootfs().join("secret"), "x").unwrap();
    bundle.run().ok();
}

#[test]
fn sysctls_of_a_namespace_are_set() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/cat", "/proc/sys/kernel/msgmax"]).edit(|config| {
        config["linux"]["sysctl"] = json!({ "kernel.msgmax": "4321" });
    });
    assert_eq!(bundle.run().ok().out(), "4321");
}

#[test]
fn a_filter_denies_one_call_and_no_other() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("touch /tmp/x; ! chmod 600 /tmp/x && chown 1:1 /tmp/x").edit(|config| {
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{ "names": ["chmod", "fchmod", "fchmodat"], "action": "SCMP_ACT_ERRNO", "args": [] }]
        });
    });
    bundle.run().ok();
}

#[test]
fn a_user_namespace_maps_root() {
    requires!(root, runtime, busybox_image, user_namespaces);
    let bundle =
        Bundle::busybox().sh("id -u; cat /proc/self/uid_map; touch /tmp/made").namespace(json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    let bundle = bundle.edit(|config| {
        // Docker leaves these to the host's ids, which the namespace does not map.
        config["linux"]["sysctl"] = json!({});
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
        // The cgroups of a hybrid host cannot be delegated to it.
        config["linux"]["namespaces"].as_array_mut().unwrap().retain(|one| one["type"] != "cgroup");
    });
    let bundle = bundle.without_mount("/sys/fs/cgroup");
    let done = bundle.run().ok();
    let words: Vec<&str> = done.out().split_whitespace().collect();
    assert_eq!(words, ["0", "0", "100000", "65536"]);
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(bundle.rootfs().join("tmp/made")).unwrap());
    assert_eq!(owner, 100_000);
}

#[test]
fn what_masks_a_file_is_not_the_containers_to_change() {
    requires!(root, runtime, busybox_image);
    // A bit that means nothing on a device, so that an attack that succeeds does no harm.
    let attack = "chmod 1666 /proc/keys; echo x > /proc/keys; wc -c < /proc/keys";
    assert_eq!(Bundle::busybox().sh(attack).run().ok().out(), "0");
    let null = std::path::Path::new("/dev/null");
    let mode = std::os::unix::fs::PermissionsExt::mode(&null.metadata().unwrap().permissions());
    let harmless = std::os::unix::fs::PermissionsExt::from_mode(mode & 0o777);
    std::fs::set_permissions(null, harmless).unwrap();
    assert_eq!(mode & 0o1000, 0, "the host's null device was changed");
}
