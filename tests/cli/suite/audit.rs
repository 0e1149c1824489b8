//! `audit` of the engine's own containers: what it prints, and how it exits.

use stockade_testkit::{Stockade, requires};

#[test]
fn a_container_of_defaults_has_what_was_asked_for() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&["--name", "walled"], &["sleep", "1000"]);
    let done = stockade.ask(&["audit", "walled"]).ok();
    assert!(done.stdout.starts_with("walled (pid "), "{done:?}");
    assert!(!done.stdout.contains("weaker than asked"), "{done:?}");
    assert_eq!(done.stdout.lines().filter(|line| !line.starts_with("     ")).count(), 2 + 31, "{done:?}");
    let report = stockade.ask(&["audit", "--format", "json", &id[..12]]).ok().json();
    assert_eq!((report[0]["name"].as_str(), report[0]["id"].as_str()), (Some("walled"), Some(id.as_str())));
    assert_eq!(report[0]["grade"]["letter"], "B");
    assert!(report[0]["askedBy"].as_str().unwrap().ends_with("/config.json"));
}

#[test]
fn what_was_taken_down_counts_for_the_grade_and_not_for_the_verdict() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&["--privileged", "--pid", "host"], &["sleep", "1000"]);
    let report = stockade.ask(&["audit", "--format", "json", &id]).ok().json();
    assert_eq!(report[0]["grade"]["letter"], "F");
    let done = stockade.ask(&["audit", "--profile", "pss-baseline", &id]);
    assert_eq!(done.code(), 3);
    for line in ["host-namespaces       fails", "capabilities          fails", "seccomp               fails"] {
        assert!(done.stdout.contains(line), "{done:?}");
    }
}

#[test]
fn a_profile_is_met_by_who_takes_everything_away() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let flags = ["--user", "1000", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"];
    let id = stockade.detached(&flags, &["sleep", "1000"]);
    let judged = stockade.ask(&["audit", "--format", "json", "--profile", "pss-restricted", &id]).json();
    let outcome = |control: &str| {
        let controls = judged[0]["controls"].as_array().unwrap();
        controls.iter().find(|one| one["control"] == control).unwrap()["outcome"].clone()
    };
    for control in ["host-namespaces", "privileged", "capabilities", "host-path", "host-ports", "proc-mount", "seccomp"]
    {
        assert_eq!(outcome(control), "passes", "{control}");
    }
    for control in ["sysctls", "privilege-escalation", "non-root", "drop-all"] {
        assert_eq!(outcome(control), "passes", "{control}");
    }
}

#[test]
fn sarif_has_a_rule_for_each_check_and_a_result_for_what_does_not_hold() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&[], &["sleep", "1000"]);
    let log = stockade.ask(&["audit", "--format", "sarif", &id]).ok().json();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), 31);
    let results = run["results"].as_array().unwrap();
    assert!(results.iter().any(|one| one["ruleId"] == "bounds" && one["kind"] == "informational"));
    for one in results {
        let index = one["ruleIndex"].as_u64().unwrap() as usize;
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], one["ruleId"]);
    }
}

#[test]
fn several_are_gone_through_and_what_cannot_be_audited_is_said() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&["--name", "running"], &["sleep", "1000"]);
    let made = stockade.ask(&["create", "--name", "made", stockade.image(), "true"]).ok().out().to_owned();
    stockade.know(&made);
    let done = stockade.ask(&["audit", "--format", "json", "made", "running", "nothing", "pid:999999999"]);
    assert_eq!((done.code(), done.json().as_array().unwrap().len()), (1, 1), "{done:?}");
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "stockade: container made does not run: start it first",
            "stockade: no such container: nothing",
            "stockade: no such process: 999999999"
        ]
    );
    // A process of a container's is audited by its number too, and what was asked for is found.
    let pid = stockade.pid(&id).to_string();
    let report = stockade.ask(&["audit", "--format", "json", &pid]).ok().json();
    assert_eq!(report[0]["name"], format!("pid {pid}"));
}

#[test]
fn wrong_command_lines_are_refused() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let refused = |arguments: &[&str], text: &str| {
        let done = stockade.call(&["audit"]).args(arguments).run();
        assert!(done.code() == 125 && done.stderr.contains(text), "{done:?}");
    };
    refused(&["--profile", "cis-2", "x"], "the profiles are cis, pss-baseline, pss-restricted and nist-800-190");
    refused(&["--format", "sarif", "--profile", "cis", "x"], "leave --profile out");
    refused(&["--since", "/nowhere", "x"], "cannot use the audit /nowhere");
    refused(&["--config", "/dev/null", "x"], "it is not a regular file");
    refused(&["--since", "/dev/null", "x", "y"], "name one");
}
