//! What only Podman has: user namespaces by option, root file systems without an image, and masks by option.

use stockade_testkit::{programs, requires};

use crate::engine::podman;

#[test]
fn a_user_namespace_with_maps() {
    requires!(root, runtime, busybox_packed, podman, user_namespaces, nsenter);
    let options = ["--uidmap", "0:100000:5000", "--gidmap", "0:200000:5000"];
    let script = "cat /proc/self/uid_map /proc/self/gid_map; touch /x; stat -c %u:%g /x /bin; id -u";
    let text = podman().sh(&options, script).ok().stdout;
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words, ["0", "100000", "5000", "0", "200000", "5000", "0:0", "0:0", "0"]);
}

#[test]
fn a_folder_can_be_the_root_file_system() {
    requires!(root, runtime, busybox_packed, busybox_image, podman, nsenter);
    let root = format!("{}:O", programs::image("busybox").display());
    let engine = podman();
    let words =
        ["run", "--rm", "--network", "none", "--cgroup-parent", engine.cell.group(), "--rootfs", &root, "echo", "here"];
    assert_eq!(engine.call(&words).run().ok().out(), "here");
}

#[test]
fn an_init_process_reaps_and_forwards() {
    requires!(root, runtime, busybox_packed, podman, docker_init, nsenter);
    let init = programs::on_path("docker-init").unwrap();
    let options = ["--init", "--init-path", init.to_str().unwrap()];
    let container = podman().detached(&options, "trap 'exit 6' TERM; echo ready; while :; do sleep 0.05; done");
    container.until_it_says("ready");
    let line = container.exec(&[], &["cat", "/proc/1/cmdline"]).ok().stdout;
    assert!(line.starts_with("/run/podman-init") || line.starts_with("/dev/init"), "{line}");
    container.run(&["stop", "--time", "20"]).ok();
    assert_eq!(container.inspect("{{.State.ExitCode}}"), "6");
}

#[test]
fn paths_are_masked_and_unmasked() {
    requires!(root, runtime, busybox_packed, podman, nsenter);
    let text = podman().sh(&["--security-opt", "mask=/etc/passwd"], "wc -c < /etc/passwd").ok().stdout;
    assert_eq!(text.trim(), "0");
    let text = podman().sh(&["--security-opt", "unmask=ALL"], "stat -f -c %T /proc/keys").ok().stdout;
    assert_eq!(text.trim(), "proc");
}

#[test]
fn podman_knows_the_runtime() {
    requires!(root, stake, busybox_packed, podman, nsenter);
    let text = podman().call(&["info", "--format", "{{.Host.OCIRuntime.Version}}"]).run().ok().stdout;
    assert!(text.contains("stake version") && text.contains("spec: 1."), "{text}");
}
