//! What travels between the host's mounts and the container's, and a root that is entered without `pivot_root(2)`.

use serde_json::json;
use stockade_testkit::{Bundle, Call, posture, programs, requires};

/// Runs the bundle, whose script prints the optional fields of the mount on `/data`, in a mount namespace in which its
/// folder `shared` is a shared mount; the fields of the host's mount, and those of the container's.
fn optional_fields(bundle: Bundle, options: &[&str]) -> (String, String) {
    let folder = bundle.folder().join("shared");
    std::fs::create_dir(&folder).unwrap();
    std::fs::create_dir(bundle.rootfs().join("data")).unwrap();
    let show = |point: &str| format!("grep ' {point} ' /proc/self/mountinfo | sed 's/ - .*//' | cut -d' ' -f7-");
    let bundle = bundle.sh(&show("/data")).mount("bind", folder.to_str().unwrap(), "/data", options);
    bundle.write();
    let folder = folder.to_str().unwrap();
    let prepare = format!("mount -t tmpfs x {folder} && mount --make-shared {folder} && {}", show(folder));
    let script = format!("{prepare} && exec \"$0\" \"$@\"");
    let call = Call::new("unshare").args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    let call = call.arg(programs::runtime()).arg("--root").arg(bundle.state_folder());
    let done = call.args(["run", "--bundle", bundle.folder().to_str().unwrap(), bundle.id()]).run().ok();
    let mut lines = done.stdout.lines().map(|line| line.trim().to_owned());
    (lines.next().unwrap(), lines.next().unwrap_or_default())
}

#[test]
fn a_bind_mount_receives_or_shares_as_it_is_told() {
    requires!(root, stake, busybox_image, unshare);
    let (_, private) = optional_fields(Bundle::busybox(), &["rbind"]);
    assert_eq!(private, "");
    let (host, slave) = optional_fields(Bundle::busybox(), &["rbind", "rslave"]);
    assert_eq!(slave, host.replace("shared", "master"));
    let (host, shared) = optional_fields(Bundle::busybox(), &["rbind", "rshared"]);
    assert_eq!(shared, host);
    let (_, private) = optional_fields(Bundle::busybox(), &["rbind", "rshared", "rprivate"]);
    assert_eq!(private, "");
}

/// The configuration with a user namespace of the container's own.
fn in_user_namespace(bundle: Bundle) -> Bundle {
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    let bundle = bundle.namespace(json!({ "type": "user" })).without_mount("/sys/fs/cgroup").edit(|config| {
        config["linux"]["sysctl"] = json!({});
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
    });
    bundle.without_namespace("cgroup")
}

#[test]
fn nothing_mounted_in_a_user_namespace_reaches_the_host() {
    requires!(root, stake, busybox_image, unshare, user_namespaces);
    let (host, fields) = optional_fields(in_user_namespace(Bundle::busybox()), &["rbind", "rshared"]);
    let master = host.replace("shared", "master");
    assert!(fields.contains(&master) && !fields.contains(&host), "{fields} with {host} on the host");
}

#[test]
fn without_pivot_the_root_is_the_images() {
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox().sh("cd ..; pwd; ls -d /bin/busybox /var/lib/dpkg; chroot / ls -d /bin/busybox");
    let done = bundle.run_call(&["--no-pivot"]).run().ok();
    assert_eq!(done.out(), "/\n/bin/busybox\n/bin/busybox", "{done:?}");
    assert!(done.stderr.contains("--no-pivot"), "that it is weaker is said: {done:?}");
    bundle.assert_gone();
    let bundle = Bundle::busybox().edit(|config| config["root"]["readonly"] = json!(true)).sh("touch /x");
    assert!(bundle.run_call(&["--no-pivot"]).run().exits(1).stderr.contains("Read-only"));
}

#[test]
fn without_pivot_no_unmasked_procfs_or_sysfs_can_be_had() {
    requires!(root, stake, busybox_image, user_namespaces);
    let script = "unshare -mrpf mount -t proc none /proc; unshare -mrnf mount -t sysfs none /sys; true";
    for options in [&[][..], &["--no-pivot"]] {
        let bundle = Bundle::busybox().sh(script).edit(|config| {
            let all: Vec<_> = posture::CAPABILITIES.iter().copied().chain(["CAP_SYS_ADMIN"]).collect();
            config["process"]["capabilities"] = json!({ "bounding": all, "permitted": all, "effective": all });
            config["linux"]["seccomp"] = json!(null);
        });
        let done = bundle.run_call(options).run().ok();
        assert_eq!(done.stderr.matches("permission denied").count(), 2, "{options:?}: {done:?}");
    }
}

#[test]
fn without_pivot_a_user_namespace_is_refused() {
    requires!(root, stake, busybox_image, user_namespaces);
    // The kernel keeps the host's mounts there, and so the host would stay within reach.
    let bundle = in_user_namespace(Bundle::busybox());
    bundle.run_call(&["--no-pivot"]).run().refuses(&["the host has mounted on"]);
    bundle.assert_gone();
}

#[test]
fn a_user_namespaces_root_need_not_be_let_in_to_where_its_root_is() {
    requires!(root, stake, busybox_image, user_namespaces);
    let script = "id -u; ls -d /bin/busybox; ls -d /var/lib/dpkg /lost+found 2>&1; true";
    let bundle = in_user_namespace(Bundle::busybox()).sh(script);
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(bundle.folder(), closed).unwrap();
    let done = bundle.run().ok();
    assert!(done.stdout.starts_with("0\n/bin/busybox\n"), "{done:?}");
    assert_eq!(done.stdout.matches("No such file").count(), 2, "nothing of the host's: {done:?}");
}
