//! `stockade audit` of other engines' containers by their processes alone: what was asked for is found, and holds.

use serde_json::Value;
use stockade_testkit::{plain, programs, requires};

use crate::engine::{Engine, docker, podman};

/// The audit of a container of `engine` by its process, made where that engine is, and held against a plain reading of the process.
#[track_caller]
fn audited(engine: &Engine, options: &[&str]) -> (i32, Value) {
    let container = engine.detached(options, "echo ready; while :; do sleep 0.05; done");
    container.until_it_says("ready");
    let number = container.inspect("{{.State.Pid}}");
    let pid = format!("pid:{number}");
    let program = programs::built("stockade");
    let done = engine.cell.call(program.to_str().unwrap()).args(["audit", "--format", "json", &pid]).run();
    assert!(done.stderr.is_empty(), "{done:?}");
    let report = done.json()[0].clone();
    let reading = plain::read(engine.cell.call("sh"), number.trim().parse().unwrap());
    assert_eq!(plain::of_report(&report), reading, "{options:?}");
    (done.code(), report)
}

/// `check: part` of what is weaker than asked.
fn weaker(report: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for check in report["checks"].as_array().unwrap() {
        for finding in check["findings"].as_array().unwrap() {
            if finding["verdict"] == "weaker-than-asked" {
                found.push(format!("{}: {}", check["id"].as_str().unwrap(), finding["part"].as_str().unwrap()));
            }
        }
    }
    found
}

fn by_its_process(engine: &Engine) {
    for options in [
        &[][..],
        &["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"],
        &["--cap-add", "SYS_PTRACE", "--uts", "host", "--network", "none"],
        &["--security-opt", "seccomp=unconfined", "--pid", "host", "--user", "1000"],
    ] {
        let (code, report) = audited(engine, options);
        let asked = report["askedBy"].as_str().unwrap_or_default();
        assert!(asked.ends_with("/config.json"), "{report:#}");
        assert_eq!((weaker(&report), code), (Vec::new(), 0), "{options:?}");
    }
}

#[test]
fn a_container_of_podman_is_held_against_what_podman_asked_for() {
    requires!(root, stake, stockade, busybox_packed, podman, nsenter);
    by_its_process(podman());
}

#[test]
fn a_container_of_docker_is_held_against_what_docker_asked_for() {
    requires!(root, stake, stockade, busybox_packed, docker, dockerd, nsenter);
    by_its_process(docker());
}
