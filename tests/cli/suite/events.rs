//! What happens is told: by commands and monitors, in Docker's words, while it happens and afterwards; and why a container ended.

use std::time::Duration;

use serde_json::Value;
use stockade_testkit::{Finished, Stockade, eventually, requires};

/// The actions of the container `name`, in their order.
fn actions(stockade: &Stockade, name: &str) -> Vec<String> {
    let filter = format!("container={name}");
    let now = ["events", "--since", "1h", "--until", "0s", "--filter", &filter, "--format", "{{.Action}}"];
    stockade.ask(&now).ok().out().lines().map(str::to_owned).collect()
}

/// Runs a script in a container that stays.
fn kept(stockade: &Stockade, flags: &[&str], script: &str) -> Finished {
    stockade.ask(&[&["run"], flags, &[stockade.image(), "sh", "-c", script]].concat())
}

#[test]
fn a_whole_life_is_told_in_dockers_words() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let flags = ["--name", "web", "-l", "tier=front", "-v", "data:/data"];
    drop(stockade.detached(&flags, &["sh", "-c", "trap 'exit 6' TERM; echo ready; while :; do sleep 0.05; done"]));
    eventually("the trap", Duration::from_secs(20), || stockade.ask(&["logs", "web"]).ok().out() == "ready");
    stockade.ask(&["stop", "web"]).ok();
    stockade.ask(&["rm", "web"]).ok();
    assert_eq!(actions(&stockade, "web"), ["create", "start", "kill", "die", "stop", "destroy"]);
    let since = ["events", "--since", "1h", "--until", "0s"];
    let die = stockade.ask(&[&since[..], &["--filter", "event=die", "--format", "{{json .}}"]].concat()).ok();
    let die: Value = serde_json::from_str(die.out()).unwrap();
    let attributes = &die["Actor"]["Attributes"];
    assert_eq!((attributes["exitCode"].as_str(), attributes["tier"].as_str()), (Some("6"), Some("front")), "{die}");
    assert_eq!((die["Type"].as_str(), die["status"].as_str()), (Some("container"), Some("die")), "{die}");
    let volumes = stockade.ask(&[&since[..], &["--filter", "volume=data", "--format", "{{.Action}}"]].concat()).ok();
    assert_eq!(volumes.out(), "create\nmount\nunmount");
    let line = stockade.ask(&[&since[..], &["--filter", "event=kill"]].concat()).ok().out().to_owned();
    assert!(line.contains("Z container kill ") && line.contains("name=web, signal=15, tier=front)"), "{line}");
    stockade.ask(&["volume", "rm", "data"]).ok();
}

#[test]
fn what_is_executed_paused_and_renamed_is_told() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&["--name", "old"], &["sleep", "1000"]);
    stockade.ask(&["exec", &id, "sh", "-c", "exit 4"]).exits(4);
    stockade.ask(&["pause", &id]).ok();
    stockade.ask(&["unpause", &id]).ok();
    stockade.ask(&["update", "--pids-limit", "50", &id]).ok();
    stockade.ask(&["rename", "old", "new"]).ok();
    stockade.ask(&["restart", "-t", "0", "new"]).ok();
    let told = [
        "create",
        "start",
        "exec_create: sh -c exit 4",
        "exec_start: sh -c exit 4",
        "exec_die",
        "pause",
        "unpause",
        "update",
        "rename",
        "kill",
        "die",
        "stop",
        "start",
        "restart",
    ];
    // SIGKILL follows at once where the time is 0, unless it has ended by then.
    let mut all = actions(&stockade, &id);
    all.dedup();
    assert_eq!(all, told);
    let filter = ["events", "--since", "1h", "--until", "0s", "--filter", "event=die"];
    let die = stockade.ask(&[&filter[..], &["--format", "{{.Actor.Attributes.name}}"]].concat()).ok();
    assert_eq!(die.out(), "new", "the monitor tells the new name");
}

#[test]
fn who_listens_is_told_at_once_and_ends_when_it_is_time() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let listener = stockade.call(&["events", "--until", "-4s", "--filter", "type=container"]).start();
    std::thread::sleep(Duration::from_secs(1));
    stockade.sh(&["--rm", "--name", "short"], "exit 3").exits(3);
    let told = listener.wait().ok();
    let words: Vec<&str> = told.stdout.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    assert_eq!(words, ["create", "attach", "start", "die", "destroy"], "{told:?}");
    stockade.ask(&["events", "--filter", "type=thing"]).exits(125).refuses(&["type=thing"]);
    stockade.assert_gone();
}

#[test]
fn want_of_memory_is_told_with_the_limit_and_the_use() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let eat = "a=x; while :; do a=$a$a; done";
    let done = kept(&stockade, &["--name", "eater", "--memory", "16m"], eat).exits(137);
    assert!(done.stderr.contains("for want of memory: its limit of 16777216 bytes was reached"), "{done:?}");
    assert_eq!(
        stockade.inspect("eater", "{{.State.OOMKilled}} {{.Stockade.Cause.Details.end.what}}"),
        "true out-of-memory"
    );
    let listed = stockade.ask(&["ps", "-a", "--format", "{{.Status}}: {{.Cause}}"]).ok().out().to_owned();
    assert!(listed.starts_with("Exited (137)") && listed.contains("(it used 16777216 bytes at most)"), "{listed}");
    assert_eq!(actions(&stockade, "eater"), ["create", "attach", "start", "oom", "die"]);
    assert!(stockade.ask(&["wait", "eater"]).ok().stderr.contains("for want of memory"));
    // One that is removed at once says it, too.
    assert!(stockade.sh(&["--rm", "--memory", "16m"], eat).exits(137).stderr.contains("for want of memory"));
}

#[test]
fn a_limit_of_processes_and_who_sent_a_signal_are_told() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let many = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; exit 2";
    let done = kept(&stockade, &["--name", "many", "--pids-limit", "4"], many).exits(2);
    assert!(done.stderr.contains("no process could be made because of its limit of 4"), "{done:?}");
    assert_eq!(stockade.inspect("many", "{{.State.OOMKilled}}"), "false");
    drop(stockade.detached(&["--name", "killed"], &["sleep", "1000"]));
    stockade.ask(&["kill", "killed"]).ok();
    let summary = stockade.inspect("killed", "{{.Stockade.Cause.Summary}}");
    assert!(summary.starts_with("signal 9 ended \"sleep\", sent by \"stockade kill\" (process "), "{summary}");
    // Somebody else's signal is nobody's that is known, also after a start for which another one was asked.
    stockade.ask(&["start", "killed"]).ok();
    let pid = rustix::process::Pid::from_raw(stockade.pid("killed")).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    stockade.until("killed", "exited");
    let summary = stockade.inspect("killed", "{{.Stockade.Cause.Summary}}");
    assert_eq!(summary, "signal 9 ended \"sleep\"; the kernel does not tell who sent it");
}

#[test]
fn what_is_used_is_shown_as_the_kernel_counts_it() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let busy = ["--name", "busy", "--memory", "64m", "--pids-limit", "50"];
    drop(stockade.detached(&busy, &["sh", "-c", "while :; do :; done"]));
    drop(stockade.ask(&["create", "--name", "still", stockade.image(), "true"]).ok());
    let once = ["stats", "--no-stream", "--format", "json"];
    let shown = stockade.ask(&once).ok();
    let shown: Vec<Value> = shown.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [one] = &shown[..] else { panic!("{shown:?}") };
    assert_eq!((one["Name"].as_str(), one["PIDs"].as_str()), (Some("busy"), Some("1")), "{one}");
    assert!(one["MemUsage"].as_str().unwrap().ends_with(" / 64MiB"), "{one}");
    let share: f64 = one["CPUPerc"].as_str().unwrap().trim_end_matches('%').parse().unwrap();
    assert!(share > 0.0, "{one}");
    let all = stockade.ask(&["stats", "-a", "--no-stream", "--format", "{{.Name}} {{.PIDs}}"]).ok();
    let mut all: Vec<&str> = all.out().lines().collect();
    all.sort_unstable();
    assert_eq!(all, ["busy 1", "still 0"]);
    stockade.ask(&["stats", "--no-stream", "nobody"]).exits(1).refuses(&["no such container: nobody"]);
}
