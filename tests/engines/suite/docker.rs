//! What only Docker has: its bridge, restart policies, health checks, `--privileged` and `--init`.

use std::time::Duration;

use stockade_testkit::{eventually, requires};

use crate::cell::PATIENCE;
use crate::engine::docker;

#[test]
fn containers_reach_each_other_over_the_bridge() {
    requires!(root, runtime, busybox_packed, docker, dockerd, nsenter);
    // dockerd moves the interface from a `prestart` hook.
    let server =
        docker().detached(&["--network", "bridge"], "mkdir /w; echo page > /w/index.html; httpd -f -p 80 -h /w");
    let address = server.inspect("{{.NetworkSettings.IPAddress}}");
    let url = format!("http://{address}/");
    let script = format!("until wget -q -O- {url}; do sleep 0.1; done; cat /etc/resolv.conf > /dev/null");
    let text = docker().run_call(&["--network", "bridge"], &["sh", "-c", &script]).limit(PATIENCE).run().ok().stdout;
    assert_eq!(text, "page\n");
    let text = docker().sh(&["--network", "none"], "ls /sys/class/net").ok().stdout;
    assert_eq!(text.trim(), "lo");
}

#[test]
fn a_restart_policy_is_followed() {
    requires!(root, runtime, busybox_packed, docker, dockerd, nsenter);
    let container = docker().detached(&["--restart", "on-failure:2"], "exit 4");
    eventually("two restarts", PATIENCE, || {
        container.inspect("{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}") == "2 exited 4"
    });
}

#[test]
fn a_health_check_is_run() {
    requires!(root, runtime, busybox_packed, docker, dockerd, nsenter);
    let options = ["--health-cmd", "test -e /well", "--health-interval", "200ms", "--health-retries", "1"];
    let container = docker().detached(&options, "exec sleep 1000");
    let until = |health: &str| {
        eventually(health, PATIENCE, || container.inspect("{{.State.Health.Status}}") == health);
    };
    until("unhealthy");
    container.exec(&[], &["touch", "/well"]).ok();
    until("healthy");
}

#[test]
fn privileged_has_all_that_the_daemon_has() {
    requires!(root, stake, busybox_packed, docker, dockerd, nsenter);
    let daemon = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = |text: &str, name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let script = "cat /proc/self/status; mkdir /m; mount -t tmpfs none /m || exit 1; ls /dev | wc -l >&2";
    let done = docker().sh(&["--privileged"], script).ok();
    let capabilities = |text: &str| {
        let line = line(text, "CapEff");
        u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap()
    };
    // Docker knows fewer than the kernel, and has none of those that the daemon does not have.
    let privileged = capabilities(&done.stdout);
    assert_eq!(privileged & !capabilities(&daemon), 0);
    assert!(privileged.count_ones() > 30, "{privileged:x}");
    assert!(line(&done.stdout, "Seccomp:").ends_with('0'));
    assert!(done.stderr.trim().parse::<u32>().unwrap() > 20, "the host's devices are there: {done:?}");
    let container = docker().detached(&[], "exec sleep 1000");
    let status = container.exec(&["--privileged"], &["cat", "/proc/self/status"]).ok().stdout;
    assert_eq!(capabilities(&status), privileged);
}

#[test]
fn an_init_process_reaps_and_forwards() {
    requires!(root, runtime, busybox_packed, docker, dockerd, docker_init, nsenter);
    let container = docker().detached(&["--init"], "trap 'exit 6' TERM; echo ready; while :; do sleep 0.05; done");
    container.until_it_says("ready");
    let text = container.exec(&[], &["cat", "/proc/1/comm"]).ok().stdout;
    assert!(text.contains("init") || text.contains("tini"), "{text}");
    container.run(&["stop", "--time", "20"]).ok();
    assert_eq!(container.inspect("{{.State.ExitCode}}"), "6");
}

#[test]
fn what_the_runtime_refuses_reaches_the_user() {
    requires!(root, stake, busybox_packed, docker, dockerd, nsenter);
    let rule = "--device-write-iops=/dev/null:100";
    // Not a block device: the kernel refuses the limit, and the container is not started without it.
    docker().sh(&[rule], "echo started").refuses(&["blkio"]);
    // The least that Docker allows may be too little for the runtime itself: started or not, nothing is left.
    let created = docker().created(&["--memory", "6m"], "exec sleep 1000");
    let id = created.id.clone();
    created.run(&["start"]).either_way();
    drop(created);
    docker().cell.assert_gone(&id);
}

#[test]
fn a_daemon_that_is_killed_finds_its_containers_again() {
    requires!(root, runtime, busybox_packed, docker, dockerd, nsenter);
    let mut engine = crate::engine::Engine::docker("restarted");
    let container = engine.detached(&[], "echo ready; exec sleep 1000");
    container.until_it_says("ready");
    let pid = container.inspect("{{.State.Pid}}");
    let id = container.id.clone();
    std::mem::forget(container);
    engine.kill_and_restart_daemon();
    let status = engine.call(&["inspect", "--format", "{{.State.Status}} {{.State.Pid}}", &id]).run().ok();
    assert_eq!(status.out(), format!("running {pid}"));
    engine.call(&["exec", &id, "true"]).run().ok();
    engine.call(&["rm", "--force", &id]).limit(Duration::from_secs(40)).run().ok();
    engine.cell.assert_gone(&id);
}

#[test]
fn the_default_filter_is_loaded() {
    requires!(root, runtime, busybox_packed, docker, dockerd, nsenter);
    // Podman's lets unshare through.
    docker().sh(&[], "unshare -U true").refuses(&["not permitted"]);
    docker().sh(&["--security-opt", "seccomp=unconfined"], "unshare -U true").ok();
}
