//! From create to rm, by names and ids, one or several at once.

use std::time::{Duration, Instant};

use stockade_testkit::{Stockade, eventually, requires};

#[test]
fn detached_then_listed_read_killed_awaited_and_removed() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&["--name", "web", "-l", "tier=front"], &["sh", "-c", "echo hello; sleep 1000"]);
    let listed = stockade.ask(&["ps"]).ok();
    let row = listed.stdout.lines().nth(1).unwrap();
    assert!(
        row.starts_with(&id[..12])
            && row.contains("\"sh -c 'echo") | row.contains("\"sh -c echo")
            && row.ends_with("web"),
        "{listed:?}"
    );
    assert!(row.contains("Up "), "{listed:?}");
    stockade_testkit::eventually("the log", Duration::from_secs(20), || {
        stockade.ask(&["logs", "web"]).ok().out() == "hello"
    });
    assert_eq!(stockade.ask(&["kill", "web"]).ok().out(), "web");
    assert_eq!(stockade.ask(&["wait", &id[..12]]).ok().out(), "137");
    assert_eq!(stockade.ask(&["ps", "-q"]).ok().out(), "");
    let all = stockade.ask(&["ps", "-a", "--format", "{{.Names}} {{.State}} {{.Label \"tier\"}} {{.Status}}"]).ok();
    assert!(all.out().starts_with("web exited front Exited (137) "), "{all:?}");
    assert_eq!(stockade.ask(&["rm", "web"]).ok().out(), "web");
    stockade.ask(&["inspect", "web"]).exits(1).refuses(&["no such object: web"]);
    stockade.assert_gone();
}

#[test]
fn removed_when_it_ends() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    stockade.sh(&[], "exit 4").exits(4);
    stockade.assert_gone();
    let id = stockade.know(stockade.ask(&["run", "-d", "--rm", stockade.image(), "sleep", "0.2"]).ok().out());
    stockade_testkit::eventually("its removal", Duration::from_secs(30), || stockade.ids().is_empty());
    assert!(!id.is_empty());
    stockade.assert_gone();
    // Also one that never started.
    stockade.run(&[], &["/no/such/program"]).exits(127);
    stockade.assert_gone();
}

#[test]
fn created_started_and_started_again() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let script = "echo run >> /count; wc -l < /count; read line && echo got $line; exit 3";
    let done = stockade.ask(&["create", "-i", "--name", "again", stockade.image(), "sh", "-c", script]).ok();
    stockade.know(done.out());
    assert_eq!(stockade.inspect("again", "{{.State.Status}} {{.State.Pid}}"), "created 0");
    let first = stockade.call(&["start", "-ai", "again"]).stdin(b"a\n").run().exits(3);
    assert_eq!(first.out(), "1\ngot a");
    let second = stockade.call(&["start", "-ai", "again"]).stdin(b"b\n").run().exits(3);
    assert_eq!(second.out(), "2\ngot b");
    assert_eq!(stockade.inspect("again", "{{.State.Status}} {{.State.ExitCode}}"), "exited 3");
    stockade.ask(&["start", "again"]).ok();
    stockade.ask(&["start", "nobody"]).exits(1).refuses(&["no such container: nobody"]);
}

#[test]
fn stop_asks_first_and_kills_later() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let polite = "trap 'exit 6' TERM; echo ready; while :; do sleep 0.05; done";
    let id = stockade.detached(&[], &["sh", "-c", polite]);
    stockade_testkit::eventually("the trap", Duration::from_secs(20), || {
        stockade.ask(&["logs", &id]).ok().out() == "ready"
    });
    stockade.ask(&["stop", &id]).ok();
    assert_eq!(stockade.inspect(&id, "{{.State.ExitCode}}"), "6");
    let deaf = stockade.detached(&[], &["sleep", "1000"]);
    let begin = Instant::now();
    stockade.ask(&["stop", "-t", "1", &deaf]).ok();
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_eq!(stockade.inspect(&deaf, "{{.State.ExitCode}}"), "137");
    // What has ended is as good as stopped, and cannot be killed.
    stockade.ask(&["stop", &deaf]).ok();
    stockade.ask(&["kill", &deaf]).exits(1).refuses(&["not running"]);
}

#[test]
fn several_at_once_go_on_past_errors() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let first = stockade.detached(&["--name", "first"], &["sleep", "1000"]);
    let second = stockade.detached(&["--name", "second"], &["sleep", "1000"]);
    let done = stockade.ask(&["rm", "first", "nobody", "second"]).exits(1);
    assert_eq!((done.out(), done.stderr.lines().count()), ("", 3), "{done:?}");
    let done = stockade.ask(&["kill", "first", "nobody", "second"]).exits(1);
    assert_eq!(done.out(), "first\nsecond");
    assert!(done.stderr.contains("nobody") && done.stderr.lines().count() == 1, "{done:?}");
    let done = stockade.ask(&["wait", "first", "second"]).ok();
    assert_eq!(done.out(), "137\n137");
    let done = stockade.ask(&["inspect", "first", "nobody"]).exits(1);
    assert_eq!(done.json().as_array().unwrap().len(), 1);
    let done = stockade.ask(&["rm", "-f", "first", "nobody", "second"]).ok();
    assert_eq!(done.out(), "first\nsecond");
    assert!(first != second);
    stockade.assert_gone();
}

#[test]
fn a_running_container_is_removed_by_force_only() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&[], &["sleep", "1000"]);
    stockade.ask(&["rm", &id]).exits(1).refuses(&["running"]);
    assert_eq!(stockade.inspect(&id, "{{.State.Running}}"), "true");
    stockade.ask(&["container", "rm", "-f", &id]).ok();
    stockade.assert_gone();
}

/// Each finds it there, and one is the second to get its lock.
#[test]
fn two_that_remove_by_force_are_both_content() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.ask(&["create", stockade.image(), "true"]).ok().out().to_owned();
    let held = std::fs::File::open(stockade.data().join("containers").join(&id)).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let both = [(); 2].map(|()| stockade.call(&["rm", "-f", &id]).start());
    eventually("both to wait for the lock", Duration::from_secs(20), || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let waits = |pid: i32| locks.lines().any(|line| line.contains("-> ") && line.contains(&format!(" {pid} ")));
        both.iter().all(|one| waits(one.pid()))
    });
    drop(held);
    let [first, second] = both.map(|one| one.wait().ok());
    assert_eq!(first.stdout.len() + second.stdout.len(), id.len() + 1, "{first:?} {second:?}");
    assert!([first, second].iter().any(|one| one.stderr.contains("no such container")));
    stockade.assert_gone();
}

#[test]
fn a_name_is_taken_once() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&["--name", "only"], &["sleep", "1000"]);
    let taken = stockade.ask(&["run", "--name", "only", stockade.image(), "true"]).exits(125);
    taken.refuses(&["name only is in use"]);
    assert_eq!(stockade.ids(), [id]);
    stockade.ask(&["rm", "-f", "only"]).ok();
    stockade.sh(&["--name", "only"], "true").ok();
    // Names that are made up are names.
    let made = stockade.detached(&[], &["true"]);
    assert!(stockade.inspect(&made, "{{.Name}}").len() > 3);
}

#[test]
fn two_containers_at_once_do_not_see_each_other() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let one = stockade.detached(&["-h", "one"], &["sleep", "1001"]);
    let two = stockade.detached(&["-h", "two"], &["sleep", "1002"]);
    for (id, mine, other) in [(&one, "1001", "1002"), (&two, "1002", "1001")] {
        let pid = stockade.pid(id).to_string();
        let seen = std::fs::read_to_string(format!("/proc/{pid}/root/proc/1/cmdline")).unwrap();
        assert!(seen.contains(mine) && !seen.contains(other), "{seen}");
    }
    let link = |id: &str, name: &str| std::fs::read_link(format!("/proc/{}/ns/{name}", stockade.pid(id))).unwrap();
    for name in ["mnt", "uts", "ipc", "pid", "net", "cgroup"] {
        assert_ne!(link(&one, name), link(&two, name), "{name}");
    }
    assert_eq!(stockade.ask(&["ps", "-q", "--filter", "status=running"]).ok().out().lines().count(), 2);
}

#[test]
fn ps_filters_and_forms() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let ended = stockade.detached(&["--name", "ended", "-l", "a=1"], &["sh", "-c", "exit 3"]);
    let running = stockade.detached(&["--name", "running", "-l", "a=2"], &["sleep", "1000"]);
    stockade.until(&ended, "exited");
    let ask = |filter: &str| stockade.ask(&["ps", "-a", "--no-trunc", "-q", "-f", filter]).ok().out().to_owned();
    for (filter, expected) in [
        ("name=^ended$", &ended),
        ("status=running", &running),
        ("exited=3", &ended),
        ("label=a=2", &running),
        (&format!("id={}", &ended[..20]), &ended),
    ] {
        assert_eq!(ask(filter), *expected, "{filter}");
    }
    assert_eq!(ask(&format!("ancestor={}", stockade.image())).lines().count(), 2);
    assert_eq!(stockade.ask(&["ps", "-lq", "--no-trunc"]).ok().out(), running);
    assert_eq!(stockade.ask(&["ps", "-n", "5", "--format", "{{.Names}}"]).ok().out(), "running\nended");
    let json = stockade.ask(&["ps", "-a", "--format", "json", "--filter", "name=ended"]).ok().json();
    assert_eq!((json["Names"].as_str(), json["State"].as_str()), (Some("ended"), Some("exited")));
    let head = stockade.ask(&["container", "ls"]).ok();
    assert!(head.stdout.starts_with("CONTAINER ID   IMAGE"), "{head:?}");
}

#[test]
fn another_runtime_makes_the_container() {
    requires!(root, stockade, busybox_packed, runc);
    let stockade = Stockade::new();
    let id =
        stockade.know(stockade.ask(&["--runtime", "runc", "run", "-d", stockade.image(), "sleep", "1000"]).ok().out());
    assert!(stockade.inspect(&id, "{{.HostConfig.Runtime}}").ends_with("/runc"));
    // What the runtime cannot make is told (runc before 1.2 makes no time namespaces).
    let features = stockade_testkit::Call::new("runc").arg("features").run().ok().json();
    let makes = features["linux"]["namespaces"].as_array().unwrap().iter().any(|name| name == "time");
    assert_eq!(stockade.inspect(&id, "{{json .Stockade.Notices}}").contains("no time namespace"), !makes);
    // It is remembered.
    stockade.ask(&["kill", &id]).ok();
    stockade.until(&id, "exited");
    stockade.ask(&["start", &id]).ok();
    let state = stockade_testkit::Call::new("runc").arg("--root").arg(stockade.folder().join("exec/runtime"));
    assert_eq!(state.args(["state", &id]).run().ok().json()["status"], "running");
    stockade.ask(&["rm", "-f", &id]).ok();
    stockade.assert_gone();
    stockade.ask(&["run", "--runtime", "runc", "--rm", stockade.image(), "sh", "-c", "exit 7"]).exits(7);
    stockade.assert_gone();
}

#[test]
fn the_id_is_written_to_a_file() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let file = stockade.folder().join("cid-of-mine");
    let path = file.display().to_string();
    let id = stockade.detached(&["--cidfile", &path], &["true"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), id);
    stockade.ask(&["run", "--cidfile", &path, stockade.image(), "true"]).exits(125).refuses(&["must not exist"]);
    let other = stockade.folder().join("other").display().to_string();
    stockade.ask(&["run", "--cidfile", &other, "oci:/no/such/image"]).exits(125).refuses(&["/no/such/image"]);
    assert!(!std::path::Path::new(&other).exists());
}

#[test]
fn a_damaged_record_hides_nothing_else() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let good = stockade.detached(&["--name", "good"], &["sleep", "1000"]);
    let bad = stockade.detached(&["--name", "bad"], &["sleep", "1000"]);
    stockade.ask(&["kill", "bad"]).ok();
    stockade.until(&bad, "exited");
    std::fs::write(stockade.data().join("containers").join(&bad).join("record.json"), "{").unwrap();
    let listed = stockade.ask(&["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Status}}"]).ok();
    assert!(
        listed.stdout.contains(&format!("{bad} Dead")) && listed.stdout.contains(&format!("{good} Up")),
        "{listed:?}"
    );
    assert!(listed.stderr.contains("WARNING") && listed.stderr.contains(&bad[..12]), "{listed:?}");
    stockade.ask(&["inspect", &bad]).exits(1).refuses(&["damaged"]);
    stockade.ask(&["rm", "-f", &bad]).ok();
    assert_eq!(stockade.ids(), [good]);
}
