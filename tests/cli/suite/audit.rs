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

#[test]
fn ps_and_inspect_show_the_walls() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let one = stockade.detached(&["--name", "one", "-m", "64m", "--cap-drop", "ALL"], &["sleep", "1000"]);
    let privileged = stockade.detached(&["--name", "other", "--privileged"], &["sleep", "1000"]);
    let format = "{{.Names}} {{.Capabilities}} {{.Limits}} {{.Seccomp}} {{.Weaker}}";
    let done = stockade.ask(&["ps", "--walls", "--format", format]).ok();
    let lines: Vec<&str> = done.out().lines().collect();
    assert!(lines[0].starts_with("other ") && lines[0].ends_with(" none no filter none"), "{lines:?}");
    assert_eq!(lines[1], "one 0 memory 1 filter none");
    let table = stockade.ask(&["ps", "--walls"]).ok();
    assert!(table.stdout.starts_with("CONTAINER ID") && table.stdout.contains("WEAKER THAN ASKED"), "{table:?}");
    assert_eq!(stockade.inspect(&one, "{{len .Name}}"), "4");
    let walled = stockade.ask(&["inspect", "--walls", &privileged]).ok().json();
    assert_eq!(walled[0]["Walls"]["grade"]["letter"], "F");
    assert_eq!(walled[0]["State"]["Running"], true);
    assert_eq!(stockade.ask(&["inspect", &privileged]).ok().json()[0]["Walls"], serde_json::Value::Null);
    assert_eq!(stockade.ask(&["ps", "--walls", "-q"]).code(), 125);
}

#[test]
fn differences_of_walls_say_who_is_weaker() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let strict = stockade.detached(&["--name", "strict", "--read-only"], &["sleep", "1000"]);
    let loose = ["--name", "loose", "--security-opt", "seccomp=unconfined", "--cap-add", "NET_ADMIN"];
    let loose = stockade.detached(&loose, &["sleep", "1000"]);
    assert_ne!(strict, loose);
    let differ = |first: &str, second: &str| stockade.ask(&["diff-walls", "--format", "json", first, second]);
    let same = differ("strict", "strict");
    assert_eq!((same.code(), same.json().as_array().unwrap().len()), (0, 0), "{same:?}");
    let done = differ("strict", "loose");
    assert_eq!(done.code(), 3);
    let has = |done: &stockade_testkit::Finished, check: &str, part: &str, weaker: &str| {
        done.json().as_array().unwrap().iter().any(|one| {
            (one["check"].as_str(), one["part"].as_str(), one["weaker"].as_str())
                == (Some(check), Some(part), Some(weaker))
        })
    };
    assert!(has(&done, "seccomp", "mode", "second") && has(&done, "root", "read-only", "second"), "{done:?}");
    assert!(has(&done, "capabilities", "bounding", "second"), "{done:?}");
    // The other way round nothing of the second is weaker but nothing is.
    assert_eq!(differ("loose", "strict").code(), 0);
    // Docker's default, and an audit that was saved.
    let done = differ("docker-default", "loose");
    assert_eq!(done.code(), 3);
    assert!(has(&done, "seccomp", "mode", "second") && has(&done, "capabilities", "bounding", "second"), "{done:?}");
    let done = differ("docker-default", "strict");
    assert_eq!(done.code(), 0, "{done:?}");
    let saved = stockade.folder().join("saved.json");
    std::fs::write(&saved, stockade.ask(&["audit", "--format", "json", "strict"]).ok().stdout).unwrap();
    assert_eq!(differ(saved.to_str().unwrap(), "strict").json().as_array().unwrap().len(), 0);
    let table = stockade.ask(&["diff-walls", "strict", "loose"]);
    assert!(table.stdout.starts_with("WALL ") && table.stdout.contains("seccomp: mode"), "{table:?}");
    for no_second in ["docker-default", "policy", "seccomp=default", "profile=cis"] {
        assert_eq!(differ("strict", no_second).code(), 125, "{no_second}");
    }
    assert_eq!(differ("strict", "nothing").code(), 1);
}

#[test]
fn a_paused_container_is_audited_and_stays_paused() {
    requires!(root, stockade, busybox_packed, limits);
    let stockade = Stockade::new();
    let id = stockade.detached(&[], &["sleep", "1000"]);
    stockade.ask(&["pause", &id]).ok();
    let report = stockade.ask(&["audit", "--format", "json", &id]).ok().json();
    // Whether a frozen process stops for its filter to be read depends on the kernel; that it does not is told, and not waited for.
    let program = &report[0]["checks"][5]["findings"][0];
    let told = program["why"].as_str().unwrap().contains("paused");
    assert!(program["verdict"] == "holds" || program["verdict"] == "cannot-be-checked" && told, "{program}");
    assert_eq!(stockade.inspect(&id, "{{.State.Status}}"), "paused");
    stockade.ask(&["unpause", &id]).ok();
    let report = stockade.ask(&["audit", "--format", "json", &id]).ok().json();
    assert_eq!(report[0]["checks"][5]["findings"][0]["verdict"], "holds");
}

/// What it takes to mount beside a capability: AppArmor's profile denies it as well.
fn besides() -> &'static str {
    let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    if enabled.is_ok_and(|text| text.trim() == "Y") { " --security-opt apparmor=unconfined" } else { "" }
}

#[test]
fn explain_names_the_flag_and_its_risk() {
    requires!(root, stockade);
    let stockade = Stockade::new();
    let mount = stockade.ask(&["explain", "syscall", "mount"]).ok();
    assert!(mount.stdout.starts_with("mount() is denied: it fails with EPERM"), "{mount:?}");
    let points = if besides().is_empty() { 60 } else { 65 };
    let way = format!("--cap-add SYS_ADMIN{} would allow it, at {points} points of exposure:", besides());
    assert!(mount.stdout.contains(&way), "{mount:?}");
    let socket = stockade.ask(&["explain", "syscall", "socket", "40", "1"]).ok();
    assert!(socket.stdout.starts_with("socket(40, 1) is denied"), "{socket:?}");
    let cap = stockade.ask(&["explain", "cap", "net_raw"]).ok();
    assert!(cap.stdout.starts_with("CAP_NET_RAW is there by default"), "{cap:?}");
    let flag = stockade.ask(&["explain", "flag", "--network", "host"]).ok();
    assert!(flag.stdout.contains("host-network") && flag.stdout.contains("abstract-sockets"), "{flag:?}");
    for wrong in [&["syscall", "moutn"][..], &["cap", "NOTHING"], &["flag", "--name=x"]] {
        let done = stockade.call(&["explain"]).args(wrong).run();
        assert!(done.code() == 125 && done.stdout.is_empty() && !done.stderr.is_empty(), "{done:?}");
    }
}

#[test]
fn what_explain_says_is_what_happens() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    // Each is denied by default, and the flags that explain names for the call make the program work.
    for (call, flag, script) in [
        ("mount", "--cap-add=SYS_ADMIN", "mkdir -p /m && mount -t tmpfs x /m"),
        ("syslog", "--cap-add=SYSLOG", "dmesg >/dev/null"),
        ("unshare", "--cap-add=SYS_ADMIN", "unshare -n true"),
    ] {
        let arguments = if call == "unshare" {
            &["explain", "syscall", call, "0x40000000"][..]
        } else {
            &["explain", "syscall", call]
        };
        let explained = stockade.ask(arguments).ok();
        let besides = if call == "mount" { besides() } else { "" };
        let named = format!("{}{besides}", flag.replace('=', " "));
        let flags: Vec<&str> = named.split(' ').collect();
        assert!(explained.stdout.contains(&format!("{named} would allow it")), "{explained:?}");
        assert_ne!(stockade.sh(&[], script).code(), 0, "{script} works by default");
        assert_eq!(stockade.sh(&flags, script).code(), 0, "{script} with {flags:?}");
    }
}

#[test]
fn a_page_of_all_that_run_has_no_markup_of_theirs() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let variable = "LD_PRELOAD=<script>alert(1)</script>\"'><b>";
    let first = stockade.detached(&["--name", "first", "-e", variable], &["sleep", "1000"]);
    let second = stockade.detached(&["--name", "second", "--pid", "host"], &["sleep", "1000"]);
    let page = stockade.ask(&["audit", "--html"]).ok().stdout;
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    for forbidden in ["<script", "<b>", "<i>", "http://", "https://", "<img", "<link"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    let place = |name: &str| page.find(&format!("</span> {name}</h2>")).unwrap();
    assert!(place("second") < place("first"), "who exposes more comes first");
    assert_eq!(page.matches("<svg ").count(), 2);
    let one = stockade.ask(&["audit", "--html", &first]).ok().stdout;
    assert!(one.matches("<svg ").count() == 1 && !one.contains(&second));
    assert_eq!(stockade.ask(&["audit", "--html", "--format", "json", &first]).code(), 125);
}

#[test]
fn walls_are_held_against_a_profile_of_calls_or_of_controls() {
    requires!(root, stockade, busybox_packed, x86_64);
    let stockade = Stockade::new();
    let plain = stockade.detached(&[], &["sleep", "1000"]);
    let changed = stockade.detached(&["--security-opt", "seccomp=default+keyctl-chroot"], &["sleep", "1000"]);
    let open = stockade.detached(&["--security-opt", "seccomp=unconfined"], &["sleep", "1000"]);
    let differ = |first: &str, second: &str| stockade.ask(&["diff-walls", "--format", "json", first, second]);
    let done = differ("seccomp=default", &plain);
    assert_eq!((done.code(), done.json().as_array().unwrap().len()), (0, 0), "{done:?}");
    let done = differ("seccomp=default", &changed);
    let found = |part: &str| {
        let json = done.json();
        let one = json.as_array().unwrap().iter().find(|one| one["part"] == part).cloned();
        one.map(|one| [&one["first"], &one["second"], &one["weaker"]].map(|text| text.as_str().unwrap().to_owned()))
    };
    assert_eq!(done.code(), 3);
    assert_eq!(found("keyctl"), Some(["EPERM", "allowed", "second"].map(str::to_owned)));
    assert_eq!(found("chroot"), Some(["allowed", "EPERM", "first"].map(str::to_owned)));
    assert!(found("keyctl (SCMP_ARCH_X86)").is_some() && found("mount").is_none(), "{done:?}");
    assert_eq!(differ("seccomp=default+keyctl-chroot", &changed).code(), 0);
    assert!(differ("seccomp=default", &open).json().as_array().unwrap().len() > 50);
    let done = differ("profile=pss-restricted", &open);
    assert!(done.code() == 3 && done.stdout.contains("\"part\": \"seccomp\""), "{done:?}");
    for wrong in ["seccomp=no-such-profile", "profile=nothing"] {
        assert!(differ(wrong, &plain).code() != 0, "{wrong}");
    }
}
