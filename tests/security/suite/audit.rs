//! The audit finds each wall that is weaker than asked, and nothing else: a container is made from a configuration that was changed, and
//! held against the one that was not.

mod mutations;
mod others;
mod rest;

use std::collections::BTreeSet;

use serde_json::Value;
use stockade_testkit::{Bundle, Call, Finished, requires};

use mutations::MUTATIONS;

/// A container with every wall that the machine has, asleep.
fn walled() -> Bundle {
    Bundle::busybox().with_inside().args(&["/bin/sleep", "1000"]).edit(|config| {
        config["process"]["noNewPrivileges"] = true.into();
        config["process"]["user"] = serde_json::json!({ "uid": 1000, "gid": 1000, "additionalGids": [1000] });
        config["process"]["rlimits"] = serde_json::json!([{ "type": "RLIMIT_NOFILE", "soft": 64, "hard": 64 }]);
        config["process"]["capabilities"] = serde_json::json!({ "bounding": ["CAP_CHOWN", "CAP_KILL"] });
        config["process"]["oomScoreAdj"] = 100.into();
        config["root"]["readonly"] = true.into();
        config["linux"]["sysctl"] = serde_json::json!({ "net.ipv4.ip_forward": "0", "kernel.msgmax": "4096" });
        config["linux"]["resources"]["cpu"]["cpus"] = "0".into();
    })
}

/// `stockade audit` with `arguments`.
fn audit(arguments: &[&str]) -> Finished {
    Call::new(stockade_testkit::programs::built("stockade")).arg("audit").args(arguments).run()
}

/// The reports of `stockade audit --format json` on `pid`, held against `asked`.
fn report(bundle: &Bundle, asked: &Value, pid: i32) -> (i32, Value) {
    let file = bundle.folder().join("asked.json");
    std::fs::write(&file, asked.to_string()).unwrap();
    let done = audit(&["--format", "json", "--config", file.to_str().unwrap(), &format!("pid:{pid}")]);
    assert!(done.stderr.is_empty(), "{done:?}");
    (done.code(), done.json()[0].clone())
}

/// `check: part` of every finding with this verdict.
fn with_verdict(report: &Value, verdict: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for check in report["checks"].as_array().unwrap() {
        for finding in check["findings"].as_array().unwrap() {
            if finding["verdict"] == verdict {
                found.insert(format!("{}: {}", check["id"].as_str().unwrap(), finding["part"].as_str().unwrap()));
            }
        }
    }
    found
}

/// `check: part` of every finding that is weaker than asked.
fn weaker(report: &Value) -> BTreeSet<String> {
    with_verdict(report, "weaker-than-asked")
}

#[test]
fn a_container_with_all_walls_has_none_that_is_weaker() {
    requires!(root, stake, stockade, busybox_image);
    let bundle = walled();
    let asked = bundle.config().clone();
    let bundle = bundle.detached();
    let (code, report) = report(&bundle, &asked, bundle.pid());
    assert_eq!(weaker(&report), BTreeSet::new(), "{report:#}");
    assert_eq!(code, 0);
    assert_eq!(report["checks"].as_array().unwrap().len(), 31);
    // What cannot be told is told to be so, and is not much.
    let unchecked = with_verdict(&report, "cannot-be-checked");
    let allowed = ["label: landlock", "drift: since", "host: lockdown", "host: processor"];
    assert!(unchecked.iter().all(|one| allowed.contains(&one.as_str())), "{unchecked:?}");
}

#[test]
fn each_wall_that_is_weaker_is_found_and_nothing_else() {
    requires!(root, stake, stockade, busybox_image);
    let mut wrong = Vec::new();
    for mutation in MUTATIONS {
        let bundle = walled();
        let asked = bundle.config().clone();
        let bundle = bundle.edit(mutation.change);
        if bundle.config() == &asked {
            wrong.push(format!("{}: changes nothing", mutation.name));
            continue;
        }
        let started = bundle.run_call(&["--detach"]).run();
        if started.code() != 0 {
            wrong.push(format!("{}: {started:?}", mutation.name));
            continue;
        }
        let (code, report) = report(&bundle, &asked, bundle.pid());
        let found = weaker(&report);
        let expected: BTreeSet<String> = mutation.found.iter().map(|one| (*one).to_owned()).collect();
        // What the kernel does not have cannot be hidden or not.
        let there = |one: &String| match one.split_once(": ") {
            Some(("masked-paths", path)) => std::path::Path::new(path).exists(),
            _ => true,
        };
        let expected: BTreeSet<String> = expected.into_iter().filter(there).collect();
        if found != expected || code != if expected.is_empty() { 0 } else { 3 } {
            wrong.push(format!("{}: found {found:?} and not {expected:?}, exit code {code}", mutation.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), MUTATIONS.len());
    assert!(MUTATIONS.len() >= 60, "{}", MUTATIONS.len());
}
