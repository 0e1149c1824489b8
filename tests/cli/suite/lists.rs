//! `ps`, and what else tells of many containers in short.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stockade_testkit::{Call, Stockade, eventually, requires};

/// Makes a container that is never started; its id.
#[track_caller]
fn made(stockade: &Stockade, flags: &[&str]) -> String {
    let done = stockade.call(&["create"]).args(flags).arg(stockade.image()).arg("true").run().ok();
    stockade.know(done.out())
}

/// The names of all containers that a filter leaves.
#[track_caller]
fn names(stockade: &Stockade, filters: &[&str]) -> String {
    let filters = filters.iter().flat_map(|filter| ["-f", filter]);
    let call = stockade.call(&["ps", "-a", "--format", "{{.Names}}"]).args(filters);
    call.run().ok().out().replace('\n', " ")
}

#[test]
fn dockers_filters_leave_what_they_name() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    drop(made(&stockade, &["--name", "one", "-v", "data:/data", "--expose", "8000-8002"]));
    let bind = format!("{}:/bound:ro", stockade.folder().display());
    drop(made(&stockade, &["--name", "two", "-v", &bind, "--network", "host"]));
    drop(stockade.detached(&["--name", "three"], &["sleep", "1000"]));
    for (filters, expected) in [
        (&["before=three"][..], "two one"),
        (&["since=one"], "three two"),
        (&["since=one", "before=three"], "two"),
        (&["volume=data"], "one"),
        (&["volume=/data", "volume=/bound"], "two one"),
        (&["network=host"], "two"),
        (&["network=none"], "three one"),
        (&["expose=8001"], "one"),
        (&["expose=8001/udp"], ""),
        (&["publish=8001"], ""),
        (&["health=none", "is-task=false"], "three two one"),
        (&["is-task=true"], ""),
        (&["id=one"], ""),
    ] {
        assert_eq!(names(&stockade, filters), expected, "{filters:?}");
    }
    let ask = |filter: &str| stockade.ask(&["ps", "-f", filter]);
    ask("before=nobody").exits(1).refuses(&["no such container: nobody"]).either_way();
    ask("publish=8080:80").exits(125).refuses(&["publish=8080:80"]).either_way();
    ask("isolation=default").exits(125).refuses(&["isolation=default", "volume"]).either_way();
    let ids = stockade.ids();
    assert_eq!(stockade.ask(&["ps", "-f", &format!("before={}", ids[0])]).ok().stdout.lines().count(), 1);
    stockade.ask(&["rm", "-f", "-v", "one", "two", "three"]).ok().either_way();
    stockade.ask(&["volume", "rm", "data"]).ok().either_way();
}

#[test]
fn mounts_and_sizes_are_told() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let flags = ["--name", "writer", "-v", "a-volume-with-a-long-name:/data", "--tmpfs", "/scratch"];
    drop(stockade.detached(&flags, &["sh", "-c", "head -c 3000000 /dev/zero > /file; exec sleep 1000"]));
    let size =
        || -> u64 { stockade.ask(&["inspect", "-s", "-f", "{{.SizeRw}}", "writer"]).ok().out().parse().unwrap() };
    eventually("the file", Duration::from_secs(30), || size() >= 3_000_000);
    let whole: u64 =
        stockade.ask(&["container", "inspect", "-s", "-f", "{{.SizeRootFs}}", "writer"]).ok().out().parse().unwrap();
    assert!(size() < 3_100_000 && whole > size() + 500_000, "{} of {whole}", size());
    let plain = stockade.ask(&["inspect", "writer"]).ok();
    assert!(
        plain.json()[0].get("SizeRw").is_none() && plain.json()[0]["Mounts"][0]["Name"] == "a-volume-with-a-long-name"
    );
    let found = &plain.json()[0];
    assert_eq!((&found["Platform"], &found["Driver"]), (&"linux".into(), &found["GraphDriver"]["Name"]));
    let networks = found["NetworkSettings"]["Networks"].as_object().unwrap();
    assert_eq!(networks.keys().collect::<Vec<_>>(), ["none"], "{networks:?}");
    assert_eq!(
        stockade.ask(&["network", "inspect", "-f", "{{.Id}}", "none"]).ok().out(),
        networks["none"]["NetworkID"]
    );
    // What the container wrote, as the host finds it.
    let upper = found["GraphDriver"]["Data"]["UpperDir"].as_str().unwrap();
    assert_eq!(std::fs::metadata(format!("{upper}/file")).unwrap().len(), 3_000_000);
    let said = stockade.ask(&["inspect", "-s", "--type", "volume", "a-volume-with-a-long-name"]).ok();
    assert!(said.stderr.contains("WARNING: --size ignored for volume"), "{said:?}");
    let table = stockade.ask(&["ps", "-s"]).ok();
    assert!(table.out().lines().next().unwrap().ends_with("NAMES     SIZE"), "{table:?}");
    assert!(table.out().contains("MB (virtual "), "{table:?}");
    let fields = ["ps", "--format", "{{.Mounts}} {{.LocalVolumes}} {{.Networks}} {{.Size}}"];
    let line = stockade.ask(&fields).ok().out().to_owned();
    assert!(line.starts_with("a-volume-with-… 1 none 3") && line.contains("MB (virtual "), "{line}");
    let row: Value = serde_json::from_str(stockade.ask(&["ps", "--no-trunc", "--format", "json"]).ok().out()).unwrap();
    assert_eq!((&row["Mounts"], &row["Size"]), (&"a-volume-with-a-long-name".into(), &"0B".into()), "{row}");
    // The usual columns are Docker's, and there is no size among them.
    let head = stockade.ask(&["ps"]).ok();
    let head: Vec<&str> = head.out().lines().next().unwrap().split("  ").filter(|word| !word.is_empty()).collect();
    let head: Vec<&str> = head.iter().map(|word| word.trim()).collect();
    assert_eq!(head, ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]);
    stockade.ask(&["rm", "-f", "-v", "writer"]).ok().either_way();
    stockade.ask(&["volume", "rm", "a-volume-with-a-long-name"]).ok().either_way();
}

#[test]
fn a_damaged_container_hides_no_other_one() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let (bad, good) = (made(&stockade, &["--name", "bad"]), made(&stockade, &["--name", "good"]));
    let folder = stockade.data().join("containers").join(&bad);
    let record = std::fs::read_to_string(folder.join("record.json")).unwrap();
    for (content, reason) in [
        (&record[..record.len() / 2], "record.json is damaged"),
        ("", "record.json is damaged"),
        (&record.replacen("\"version\":1", "\"version\":2", 1), "has version 2"),
        ("{\"version\":7,\"later\":[]}", "has version 7"),
    ] {
        std::fs::write(folder.join("record.json"), content).unwrap();
        let listed = stockade.ask(&["ps", "-a", "-s", "--no-trunc", "--format", "{{.ID}} {{.Status}}"]).ok();
        let mut lines: Vec<&str> = listed.out().lines().collect();
        lines.sort_unstable_by_key(|line| line.contains("Dead"));
        assert_eq!(lines, [format!("{good} Created"), format!("{bad} Dead")], "{listed:?}");
        assert!(listed.stderr.contains(reason) && listed.stderr.contains(&bad[..12]), "{listed:?}");
        assert_eq!(stockade.ask(&["ps"]).ok().stderr, "");
    }
    std::fs::write(folder.join("record.json"), record).unwrap();
    stockade.ask(&["rm", "bad", "good"]).ok().either_way();
}

#[test]
fn one_that_somebody_is_at_keeps_no_list_waiting() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let (lost, good) = (stockade.detached(&[], &["sleep", "1000"]), made(&stockade, &[]));
    let folder = stockade.data().join("containers").join(&lost);
    let held = std::fs::File::open(&folder).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let monitor: i32 = stockade.inspect(&lost, "{{.Stockade.Monitor}}").parse().unwrap();
    kill_process(Pid::from_raw(monitor).unwrap(), Signal::KILL).unwrap();
    eventually("the monitor to be gone", Duration::from_secs(20), || {
        let listed = stockade.ask(&["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.State}}"]).ok();
        let mut lines: Vec<&str> = listed.out().lines().collect();
        lines.sort_unstable_by_key(|line| line.ends_with("exited"));
        lines == [format!("{good} created"), format!("{lost} exited")]
    });
    drop(held);
    assert_eq!(stockade.inspect(&lost, "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
    stockade.ask(&["rm", &lost, &good]).ok().either_way();
}

/// How many system calls `ps -a` makes.
fn calls(stockade: &Stockade) -> usize {
    let file = stockade.folder().join("calls");
    let call = Call::new("strace").args(["-f", "-q", "-o"]).arg(&file);
    call.args(stockade.command_line()).args(["ps", "-a"]).run().ok().either_way();
    std::fs::read_to_string(&file).unwrap().lines().count()
}

/// What `ps` may ask the kernel for each container that does not run: its folder, its record, what is not there of a life, and
/// its networks.
const MOST_CALLS: usize = 16;

#[test]
fn a_container_costs_a_list_few_system_calls() {
    requires!(root, stockade, busybox_packed, strace);
    let stockade = Stockade::new();
    drop(made(&stockade, &[]));
    let one = calls(&stockade);
    (0..20).for_each(|_| drop(made(&stockade, &[])));
    let more = calls(&stockade);
    assert!(more > one && (more - one) / 20 <= MOST_CALLS, "{one} and {more}");
    stockade
        .ask(&[&["rm"][..], &stockade.ids().iter().map(String::as_str).collect::<Vec<_>>()].concat())
        .ok()
        .either_way();
}

/// `ps -a` as JSON, one line for each container.
#[track_caller]
fn listed(stockade: &Stockade) -> String {
    stockade
        .ask(&["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}} {{.Labels}} {{.Mounts}}"])
        .ok()
        .stdout
}

#[test]
fn what_is_kept_of_many_containers_is_never_more_than_a_copy() {
    requires!(root, stockade, busybox_packed, strace);
    let stockade = Stockade::new();
    let ids: Vec<String> = (0..70).map(|_| made(&stockade, &["--label", "of=many"])).collect();
    // A change is told from the next one by its time, which must have passed.
    std::thread::sleep(Duration::from_millis(2100));
    let (fresh, first) = (calls(&stockade), listed(&stockade));
    let kept = stockade.data().join("listed.json");
    assert!(kept.exists());
    let known = calls(&stockade);
    assert!(known + 70 * 4 < fresh, "{fresh} calls, and then {known}");
    assert_eq!(listed(&stockade), first);
    // Whatever happens to containers is told.
    stockade.ask(&["rename", &ids[0], "renamed"]).ok().either_way();
    stockade.ask(&["rm", &ids[1]]).ok().either_way();
    stockade.ask(&["start", "-a", &ids[2]]).ok().either_way();
    drop(made(&stockade, &["--name", "newest"]));
    let truth = |what: &str| {
        let told = listed(&stockade);
        std::fs::remove_file(&kept).unwrap();
        assert_eq!(told, listed(&stockade), "{what}");
        told
    };
    let changed = truth("after changes");
    for line in [format!("{} renamed created", ids[0]), format!("{} ", ids[2])] {
        assert!(changed.contains(&line), "{line}: {changed}");
    }
    assert!(changed.contains(" newest created") && changed.contains(" exited ") && !changed.contains(&ids[1]));
    // So it is where the copy is damaged, another program's, or no file.
    std::thread::sleep(Duration::from_millis(2100));
    let whole = || {
        assert_eq!(listed(&stockade), changed);
        let text = std::fs::read(&kept).unwrap();
        let entries = serde_json::from_slice::<Value>(&text).unwrap()["entries"].as_array().unwrap().len();
        assert!(entries >= 67, "{entries}");
        text
    };
    let text = whole();
    for damage in [&text[..text.len() / 2], b"", b"\0\0\0", b"{\"version\":\"0\",\"entries\":[]}"] {
        std::fs::write(&kept, damage).unwrap();
        // It is written again.
        drop(whole());
    }
    std::fs::remove_file(&kept).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &kept).unwrap();
    assert_eq!(listed(&stockade), changed);
    std::fs::remove_file(&kept).unwrap();
    std::fs::create_dir(&kept).unwrap();
    assert_eq!(listed(&stockade), changed);
    std::fs::remove_dir(&kept).unwrap();
    let ids = stockade.ids();
    stockade.ask(&[&["rm"][..], &ids.iter().map(String::as_str).collect::<Vec<_>>()].concat()).ok().either_way();
}

#[test]
fn processes_are_those_of_the_container_only() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    drop(stockade.detached(&["--name", "web"], &["sh", "-c", "sleep 1234 & wait"]));
    eventually("both", Duration::from_secs(20), || stockade.ask(&["top", "web"]).ok().out().lines().count() == 3);
    let listed = stockade.ask(&["container", "top", "web"]).ok();
    let lines: Vec<&str> = listed.out().lines().collect();
    assert!(lines[0].starts_with("UID") && lines.iter().any(|line| line.ends_with("sleep 1234")), "{lines:?}");
    let pid = stockade.pid("web").to_string();
    let narrow = stockade.ask(&["top", "web", "-o", "pid,comm"]).ok();
    assert!(narrow.out().lines().any(|line| line.split_whitespace().eq([pid.as_str(), "sh"])), "{narrow:?}");
    stockade.ask(&["top", "web", "-o", "comm"]).exits(1).refuses(&["PID"]);
    stockade.ask(&["top", "web", "--no-such"]).exits(1).refuses(&["ps"]);
    stockade.ask(&["top", "nobody"]).exits(1).refuses(&["no such container: nobody"]);
    stockade.ask(&["kill", "web"]).ok();
    stockade.ask(&["top", "web"]).exits(1).refuses(&["is not running"]);
}
