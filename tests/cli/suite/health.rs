//! Health checks: what they find, what they cannot find, and where there are none.

use std::time::Duration;

use serde_json::Value;
use stockade_testkit::{Stockade, eventually, requires};

const LONG: Duration = Duration::from_secs(30);
const STATUS: &str = "{{.State.Health.Status}}";

fn until(stockade: &Stockade, id: &str, status: &str) {
    eventually(status, LONG, || stockade.inspect(id, STATUS) == status);
}

fn log(stockade: &Stockade, id: &str) -> Vec<Value> {
    serde_json::from_str(&stockade.inspect(id, "{{json .State.Health.Log}}")).unwrap()
}

/// Kills the container's first process, and waits until it is healthy in its second run.
fn begins_again(stockade: &Stockade, id: &str) {
    let pid = rustix::process::Pid::from_raw(stockade.pid(id)).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    eventually("the restart", LONG, || stockade.inspect(id, "{{.RestartCount}}") == "1");
    until(stockade, id, "healthy");
}

#[test]
fn a_container_becomes_ill_and_well_again() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let check =
        ["--health-cmd", "echo looked; test -e /tmp/well", "--health-interval", "50ms", "--health-retries", "2"];
    let id = stockade.detached(&check, &["sleep", "1000"]);
    until(&stockade, &id, "unhealthy");
    let shown = ["ps", "--filter", "health=unhealthy", "--format", "{{.ID}} {{.Status}}"];
    let line = stockade.ask(&shown).ok();
    assert!(line.out().starts_with(&id[..12]) && line.out().ends_with("(unhealthy)"), "{line:?}");
    assert_eq!(stockade.ask(&["ps", "-q", "--filter", "health=none"]).ok().out(), "");
    stockade.ask(&["exec", &id, "touch", "/tmp/well"]).ok();
    until(&stockade, &id, "healthy");
    assert_eq!(stockade.inspect(&id, "{{.State.Health.FailingStreak}} {{json .ExecIDs}}"), "0 null");
    eventually("a whole log", LONG, || log(&stockade, &id).len() == 5);
    let last = log(&stockade, &id).pop().unwrap();
    assert_eq!((last["ExitCode"].as_i64(), last["Output"].as_str()), (Some(0), Some("looked\n")), "{last}");
    let events =
        ["events", "--since", "1h", "--until", "0s", "--filter", "event=health_status", "--format", "{{.Action}}"];
    assert_eq!(stockade.ask(&events).ok().out(), "health_status: unhealthy\nhealth_status: healthy");
    // Who stands still is not asked.
    stockade.ask(&["pause", &id]).ok();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(stockade.inspect(&id, "{{.State.Health.Status}} {{.State.Health.FailingStreak}}"), "healthy 0");
    stockade.ask(&["unpause", &id]).ok();
    stockade.ask(&["stop", "-t", "0", &id]).ok();
    let ended = stockade.ask(&["ps", "-a", "--format", "{{.Status}}"]).ok();
    assert!(ended.out().ends_with(" ago"), "{ended:?}");
}

#[test]
fn a_check_that_hangs_is_killed_and_one_in_the_start_period_does_not_count() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let check = ["--health-cmd", "exec sleep 1000", "--health-interval", "50ms", "--health-timeout", "100ms"];
    let id = stockade.detached(&[&check[..], &["--health-retries", "1"]].concat(), &["sleep", "999"]);
    until(&stockade, &id, "unhealthy");
    let last = log(&stockade, &id).pop().unwrap();
    assert_eq!(last["ExitCode"].as_i64(), Some(-1), "{last}");
    assert_eq!(last["Output"].as_str(), Some("Health check exceeded timeout (100ms)"));
    let early = ["--health-cmd", "false", "--health-start-period", "1h", "--health-start-interval", "50ms"];
    let id = stockade.detached(&[&early[..], &["--health-retries", "1"]].concat(), &["sleep", "1000"]);
    eventually("some checks", LONG, || log(&stockade, &id).len() == 5);
    assert_eq!(stockade.inspect(&id, "{{.State.Health.Status}} {{.State.Health.FailingStreak}}"), "starting 0");
    assert!(stockade.ask(&["ps", "--filter", "health=starting"]).ok().stdout.contains("(health: starting)"));
}

#[test]
fn a_restarted_container_is_checked_anew_and_its_walls_are_the_checks() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let look = "grep -E 'CapBnd|Seccomp:|NoNewPrivs' /proc/self/status; id -u; cat /proc/self/cgroup | wc -l";
    let check = ["--health-cmd", look, "--health-interval", "50ms", "--restart", "always"];
    let walls = ["--cap-drop", "ALL", "--user", "1000", "--security-opt", "no-new-privileges"];
    let id = stockade.detached(&[&check[..], &walls].concat(), &["sleep", "1000"]);
    until(&stockade, &id, "healthy");
    let seen = log(&stockade, &id).pop().unwrap()["Output"].as_str().unwrap().to_owned();
    let own = stockade.ask(&["exec", &id, "sh", "-c", look]).ok();
    assert_eq!(seen.trim_end(), own.out());
    assert!(seen.contains("CapBnd:\t0000000000000000\n") && seen.contains("NoNewPrivs:\t1\n"), "{seen}");
    assert!(seen.contains("Seccomp:\t2\n") && seen.contains("\n1000\n"), "{seen}");
    begins_again(&stockade, &id);
    stockade.ask(&["rm", "-f", &id]).ok();
    stockade.assert_gone();
}

#[test]
fn an_images_check_is_run_unless_the_user_says_otherwise() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let check = ["--health-cmd", "true", "--health-retries", "7"];
    let id = stockade.detached(&check, &["sleep", "1000"]);
    stockade.ask(&["commit", &id, "checked:1"]).ok();
    let made = stockade.ask(&["create", "--health-interval", "1s", "checked:1"]).ok();
    let asked = stockade.inspect(made.out(), "{{json .Config.Healthcheck}}");
    let asked: Value = serde_json::from_str(&asked).unwrap();
    let expected = serde_json::json!({ "Test": ["CMD-SHELL", "true"], "Interval": 1_000_000_000, "Retries": 7 });
    assert_eq!(asked, expected);
    let without = stockade.detached(&["--no-healthcheck"], &["sleep", "1000"]);
    assert_eq!(stockade.inspect(&without, "{{if .State.Health}}yes{{else}}no{{end}}"), "no");
    stockade.ask(&["rm", made.out()]).ok();
    let both = stockade.ask(&["create", "--no-healthcheck", "--health-retries", "2", "checked:1"]).exits(125);
    both.refuses(&["--no-healthcheck", "conflicts with --health-* options"]);
    let nothing = stockade.ask(&["create", "--health-retries", "2", stockade.image()]).exits(1);
    nothing.refuses(&["--health-cmd"]);
    stockade.ask(&["create", "--health-interval", "-1s", stockade.image()]).exits(125).refuses(&["--health-interval"]);
}

#[test]
fn what_a_check_started_ends_with_it_when_it_takes_too_long() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    // Out of its session, and out of its parent's sight; only the first check hangs.
    let hangs = "mkdir /tmp/once || exit 0; (setsid sh -c 'sleep 4321 & sleep 4322' &); sleep 4323";
    let flags = ["--health-cmd", hangs, "--health-interval", "50ms", "--health-timeout", "2s", "--restart", "always"];
    let id = stockade.detached(&flags, &["sleep", "1000"]);
    let running = || stockade.ask(&["top", &id, "-eo", "pid,args"]).ok().out().to_owned();
    eventually("what the check starts", LONG, || running().matches("sleep 432").count() >= 3);
    eventually("the check's end", LONG, || log(&stockade, &id).iter().any(|one| one["ExitCode"].as_i64() == Some(-1)));
    eventually("the end of what it started", LONG, || !running().contains("sleep 432"));
    assert!(running().contains("sleep 1000"), "the container goes on");
    until(&stockade, &id, "healthy");
    // Once more in a new run.
    begins_again(&stockade, &id);
    stockade.ask(&["rm", "-f", &id]).ok();
    stockade.assert_gone();
}
