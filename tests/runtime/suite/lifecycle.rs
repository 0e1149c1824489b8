//! From create to delete, and many containers at once.

use std::time::Duration;

use serde_json::json;
use stockade_testkit::{Bundle, requires};

#[test]
fn create_start_kill_delete() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]);
    bundle.create().ok();
    assert_eq!(bundle.status(), "created");
    bundle.start().ok();
    assert_eq!(bundle.status(), "running");
    bundle.kill("KILL").ok();
    bundle.until("stopped");
    bundle.delete().ok();
    bundle.call(&["state", bundle.id()]).run().refuses(&["does not exist", bundle.id()]);
    bundle.assert_gone();
}

#[test]
fn run_leaves_nothing() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox();
    bundle.run().ok();
    bundle.assert_gone();
}

#[test]
fn nothing_of_the_payload_runs_before_start() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("echo ran > /ran");
    bundle.create().ok();
    std::thread::sleep(Duration::from_millis(200));
    assert!(!bundle.rootfs().join("ran").exists());
    bundle.start().ok();
    bundle.until("stopped");
    assert!(bundle.rootfs().join("ran").exists());
    bundle.delete().ok();
}

#[test]
fn state_has_the_fields_of_the_specification() {
    requires!(root, runtime, busybox_image);
    let bundle =
        Bundle::busybox().args(&["/bin/sleep", "1000"]).edit(|config| config["annotations"] = json!({"a": "b"}));
    let bundle = bundle.detached();
    let state = bundle.state();
    assert_eq!(state["id"], bundle.id());
    assert_eq!(state["status"], "running");
    assert_eq!(state["bundle"], bundle.folder().to_str().unwrap());
    assert_eq!(state["annotations"]["a"], "b");
    assert!(state["ociVersion"].is_string());
    assert!(std::path::Path::new(&format!("/proc/{}", state["pid"])).exists());
}

#[test]
fn a_running_container_is_deleted_by_force_only() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    bundle.delete().refuses(&["not stopped", "running"]);
    bundle.delete_by_force().ok();
    bundle.assert_gone();
}

#[test]
fn an_id_is_taken_once() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    bundle.create().refuses(&["exist", "in use"]);
    assert_eq!(bundle.status(), "running");
}

#[test]
fn list_shows_containers() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    let list = bundle.call(&["list", "--format", "json"]).run().ok().json();
    assert_eq!(list[0]["id"], bundle.id());
    assert_eq!(list[0]["status"], "running");
    assert_eq!(bundle.call(&["list", "--quiet"]).run().ok().out(), bundle.id());
}

#[test]
fn pause_and_resume() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    bundle.call(&["pause", bundle.id()]).run().ok();
    assert_eq!(bundle.status(), "paused");
    bundle.call(&["resume", bundle.id()]).run().ok();
    assert_eq!(bundle.status(), "running");
}

#[test]
fn a_paused_container_is_deleted_by_force() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]).detached();
    bundle.call(&["pause", bundle.id()]).run().ok();
    bundle.delete_by_force().ok();
    bundle.assert_gone();
}

#[test]
fn the_pid_file_names_the_first_process() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]);
    let file = bundle.folder().join("pid");
    bundle.create_call(&["--pid-file", file.to_str().unwrap()]).run().ok();
    assert_eq!(std::fs::read_to_string(file).unwrap().trim(), bundle.pid().to_string());
}

#[test]
fn two_hundred_containers_by_eight_processes() {
    requires!(root, runtime, busybox_image);
    std::thread::scope(|scope| {
        let one = || {
            let bundle = Bundle::busybox();
            for _ in 0..25 {
                bundle.run().ok();
            }
            bundle.assert_gone();
        };
        let workers: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn a_payload_that_is_killed_leaves_nothing_after_delete() {
    requires!(root, runtime, busybox_image);
    let bundle = Bundle::busybox().sh("sleep 1000 & sleep 1000").detached();
    let pid = rustix::process::Pid::from_raw(bundle.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    bundle.until("stopped");
    bundle.delete().ok();
    bundle.assert_gone();
}

#[test]
fn a_runtime_that_is_killed_at_any_instant_leaves_nothing_after_delete() {
    // runc 1.1 leaves cgroups behind when it is killed before it has written its state.
    requires!(root, stake, busybox_image);
    let bundle = Bundle::busybox().args(&["/bin/sleep", "1000"]);
    let mut seed = 0x5eed_u64;
    for _ in 0..200 {
        // A linear congruence is random enough to hit different instants, and the same ones in every run.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let running = bundle.create_call(&[]).start();
        std::thread::sleep(Duration::from_micros((seed >> 33) % 60_000));
        running.signal(rustix::process::Signal::KILL);
        running.wait().either_way();
        bundle.delete_by_force().either_way();
        bundle.assert_gone();
    }
}
