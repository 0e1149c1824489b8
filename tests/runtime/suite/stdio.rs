//! Standard input, output and error: whose they are, and that nothing of the host comes with them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;
use stockade_testkit::{Bundle, Call, requires};

/// A bit that means nothing on a device, so that an attack that succeeds does no harm.
const STICKY: u32 = 0o1000;

/// Whether the host's null device has become sticky; it is not afterwards.
fn null_device_was_changed() -> bool {
    let null = Path::new("/dev/null");
    let mode = null.metadata().unwrap().permissions().mode();
    std::fs::set_permissions(null, PermissionsExt::from_mode(mode & 0o777)).unwrap();
    mode & STICKY != 0
}

fn user(bundle: Bundle) -> Bundle {
    bundle.edit(|config| config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 }))
}

/// `call` with a pipe for its standard output, as engines start runtimes.
fn piped(bundle: &Bundle, arguments: &[&str]) -> Call {
    bundle.call_after("exec > >(cat) 2>&1", arguments)
}

#[test]
fn the_hosts_null_device_is_out_of_reach() {
    requires!(root, stake, busybox_image);
    let script = "chmod 1666 /proc/self/fd/0; true";
    Bundle::busybox().sh(script).run().ok();
    assert!(!null_device_was_changed(), "by create");
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    bundle.exec(&["/bin/sh", "-c", script]).ok();
    assert!(!null_device_was_changed(), "by exec");
    bundle.exec(&["/bin/sh", "-c", "cat; echo x > /dev/stdin; test -c /proc/self/fd/0"]).ok();
}

#[test]
fn exec_does_not_open_what_the_container_calls_the_null_device() {
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox().sh("rm /dev/null; mkfifo /dev/null; touch /ready; while :; do sleep 1; done <&1");
    let bundle = bundle.detached();
    stockade_testkit::eventually("the trap to be set", std::time::Duration::from_secs(20), || {
        bundle.rootfs().join("ready").exists()
    });
    bundle.exec(&["/bin/true"]).refuses(&["not the null device"]);
}

#[test]
fn a_user_can_open_the_streams_again() {
    requires!(root, runtime, busybox_image);
    let script = "echo out > /dev/stdout; echo err > /dev/stderr";
    let bundle = user(Bundle::busybox().sh(script));
    bundle.write();
    let folder = bundle.folder().to_str().unwrap();
    let mut done = piped(&bundle, &["run", "--bundle", folder, bundle.id()]).run().ok();
    stockade_testkit::eventually("the output", std::time::Duration::from_secs(20), || {
        done.stdout_now().lines().collect::<Vec<_>>() == ["out", "err"]
    });
    let bundle = user(Bundle::busybox().args(&["/bin/sleep", "1000"])).detached();
    let mut done = piped(&bundle, &["exec", bundle.id(), "/bin/sh", "-c", script]).run().ok();
    stockade_testkit::eventually("the output", std::time::Duration::from_secs(20), || {
        done.stdout_now().lines().collect::<Vec<_>>() == ["out", "err"]
    });
}

#[test]
fn a_user_can_open_the_terminal_again() {
    requires!(root, stake, busybox_image);
    let script = "echo again > /dev/stdout; stat -c %u /proc/self/fd/0 /dev/console";
    let bundle = user(Bundle::busybox().sh(script)).edit(|config| config["process"]["terminal"] = json!(true));
    let text = bundle.run().ok().stdout;
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["again", "1000", "1000"], "{text}");
}

#[test]
fn a_file_of_the_host_keeps_its_owner() {
    requires!(root, stake, busybox_image);
    let bundle = user(Bundle::busybox().args(&["/bin/echo", "text"]));
    bundle.write();
    let output = bundle.folder().join("output");
    let prelude = format!("exec > {}", output.display());
    let folder = bundle.folder().to_str().unwrap();
    bundle.call_after(&prelude, &["run", "--bundle", folder, bundle.id()]).run().ok();
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "text\n");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&output.metadata().unwrap()), 0);
}
