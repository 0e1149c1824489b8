//! `run --record` and `record`: the least confinement of one run, which is enough to run again, and not enough for anything else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use stockade_testkit::{Call, Finished, Stockade, eventually, requires};

/// How long a replay may take before it counts as one that hangs: one that is to go well, and one that lacks something.
const PATIENCE: [Duration; 2] = [Duration::from_secs(100), Duration::from_secs(40)];

/// A folder that `run --record` made.
pub(crate) struct Recorded<'a> {
    stockade: &'a Stockade,
    pub(crate) folder: PathBuf,
}

impl<'a> Recorded<'a> {
    /// Records `command` with `flags`, which must go well.
    pub(crate) fn of(stockade: &'a Stockade, name: &str, flags: &[&str], command: &[&str]) -> Self {
        let folder = stockade.folder().join(name);
        let text = folder.display().to_string();
        let done = stockade.run(&[&["--record", &text], flags].concat(), command);
        assert!(done.code() == 0 && done.stderr.contains("has the least confinement"), "{done:?}");
        Self { stockade, folder }
    }

    /// Runs again. What hangs, because something is denied to it, is killed.
    fn bounded(&self, words: &[&str], patience: Duration) -> Finished {
        let running = self.stockade.call(words).limit(2 * patience).start();
        let (ended, end) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                if end.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                    for id in self.stockade.ids() {
                        // It may have ended by itself meanwhile.
                        drop(self.stockade.ask(&["kill", &id]));
                    }
                }
            });
            let done = running.wait();
            drop(ended);
            done
        })
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        let path = self.folder.join(name);
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()
    }

    fn put(&self, name: &str, value: &Value) {
        std::fs::write(self.folder.join(name), serde_json::to_vec(value).unwrap()).unwrap();
    }

    pub(crate) fn replay(&self) -> Finished {
        self.bounded(&["record", "replay", &self.folder.display().to_string()], PATIENCE[0])
    }

    fn replay_lacking(&self) -> Finished {
        self.bounded(&["record", "replay", &self.folder.display().to_string()], PATIENCE[1])
    }

    pub(crate) fn replay_of(&self, command: &[&str]) -> Finished {
        let folder = self.folder.display().to_string();
        self.bounded(&[&["record", "replay", &folder, "--"], command].concat(), PATIENCE[0])
    }

    /// The names of calls that are allowed because they were made.
    pub(crate) fn calls(&self) -> BTreeSet<String> {
        self.json("record.json")["seen"]["calls"].as_object().unwrap().keys().cloned().collect()
    }

    pub(crate) fn flags(&self) -> Vec<String> {
        let flags = self.json("command.json")["flags"].clone();
        let text = |flag: &Value| match flag["value"].as_str() {
            Some(value) => format!("{}={value}", flag["name"].as_str().unwrap()),
            None => flag["name"].as_str().unwrap().to_owned(),
        };
        flags.as_array().unwrap().iter().map(text).collect()
    }

    /// Runs again without one call, and puts it back.
    pub(crate) fn replay_without_call(&self, name: &str) -> Finished {
        let whole = self.json("seccomp.json");
        let mut less = whole.clone();
        for rule in less["syscalls"].as_array_mut().unwrap() {
            let allows = rule["action"] == "SCMP_ACT_ALLOW";
            rule["names"].as_array_mut().unwrap().retain(|one| one != name || !allows);
        }
        less["syscalls"].as_array_mut().unwrap().retain(|rule| !rule["names"].as_array().unwrap().is_empty());
        assert_ne!(less, whole, "{name} is not in it");
        self.put("seccomp.json", &less);
        let done = self.replay_lacking();
        self.put("seccomp.json", &whole);
        done
    }

    /// Runs again without one flag, and puts it back.
    pub(crate) fn replay_without_flag(&self, flag: &str) -> Finished {
        let whole = self.json("command.json");
        let mut less = whole.clone();
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        let is_it = |one: &Value| one["name"] == name && one["value"].as_str().unwrap_or_default() == value;
        less["flags"].as_array_mut().unwrap().retain(|one| !is_it(one));
        assert_ne!(less, whole, "{flag} is not in it");
        self.put("command.json", &less);
        let done = self.replay_lacking();
        self.put("command.json", &whole);
        done
    }
}

/// That a replay went well.
#[track_caller]
pub(crate) fn assert_enough(done: &Finished) {
    assert!(done.code() == 0 && done.stderr.contains("nothing was denied that was not"), "{done:?}");
}

/// That a replay lacks something, and that `words` are said of it.
#[track_caller]
pub(crate) fn assert_lacking(done: &Finished, words: &str) {
    assert!(
        done.code() == 3 && done.stderr.contains("what it lacks") && done.stderr.contains(words),
        "{words}: {done:?}"
    );
}

#[test]
fn a_run_is_recorded_and_runs_again_under_what_came_of_it() {
    requires!(root, stockade, busybox_packed, tracepoints);
    let stockade = Stockade::new();
    let script = "echo hi > /tmp/x && chown 1000 /tmp/x && su -s /bin/true user && mkdir -p /var/lib/x/y && rm /tmp/x";
    let recorded = Recorded::of(&stockade, "r", &["--memory", "512m", "--cap-add", "NET_ADMIN"], &["sh", "-c", script]);
    let flags = recorded.flags();
    let is = |flag: &str| flags.iter().any(|one| one == flag);
    let capabilities: Vec<&str> = flags.iter().filter_map(|flag| flag.strip_prefix("cap-add=")).collect();
    assert_eq!(capabilities, ["CHOWN", "SETGID", "SETUID"], "{flags:?}");
    for flag in ["rm", "cap-drop=ALL", "read-only", "tmpfs=/tmp:mode=1777", "volume=/var", "network=none"] {
        assert!(is(flag), "{flag}: {flags:?}");
    }
    assert!(is("security-opt=no-new-privileges") && !is("memory=512m"), "{flags:?}");
    // By the paths that security modules know: not by the link `sh`.
    assert_eq!(recorded.json("record.json")["seen"]["programs"], serde_json::json!({ "/bin/busybox": false }));
    let number = |name: &str| flags.iter().find_map(|flag| flag.strip_prefix(name)?.parse::<u64>().ok()).unwrap();
    assert!(number("memory=") < 64 << 20 && (9..40).contains(&number("pids-limit=")), "{flags:?}");
    // Nothing of the runtime's, which mounts and makes namespaces.
    for call in ["mount", "pivot_root", "unshare", "capset", "seccomp", "bpf", "setns", "umount2"] {
        assert!(!recorded.calls().contains(call), "{call}");
    }
    assert_enough(&recorded.replay());
    assert_enough(&recorded.replay_of(&["true"]));
    assert_lacking(&recorded.replay_of(&["mkdir", "/etc/x"]), "mkdir(\"/etc/x\") failed with EROFS");
    assert_lacking(&recorded.replay_of(&["chroot", "/", "true"]), "chroot");
    assert!(stockade.volumes().is_empty() && stockade.ids().is_empty());
}

#[test]
fn a_program_that_is_made_in_memory_is_executed_there_again() {
    requires!(root, stockade, busybox_packed, tracepoints);
    let stockade = Stockade::new();
    let script = "printf '#!/bin/sh\necho made\n' > /tmp/made && chmod +x /tmp/made && /tmp/made";
    let recorded = Recorded::of(&stockade, "r", &[], &["sh", "-c", script]);
    let (flags, exec) = (recorded.flags(), "tmpfs=/tmp:mode=1777,exec".to_owned());
    assert!(flags.contains(&exec), "{flags:?}");
    assert_enough(&recorded.replay());
}

/// The recorder stands still while a program makes more calls than there is room for, of a kind (`ioctl`) that is always told.
#[test]
fn a_recording_that_lost_something_makes_no_profile() {
    requires!(root, stockade, busybox_packed, tracepoints);
    let stockade = Stockade::new();
    let (folder, gate) = (stockade.folder().join("r"), stockade.folder().join("gate"));
    std::fs::create_dir(&gate).unwrap();
    let script = "touch /gate/ready; until test -e /gate/go; do sleep 0.1; done; \
                  i=0; while [ $i -lt 300000 ]; do [ -t 0 ]; i=$((i + 1)); done; touch /gate/done; \
                  until test -e /gate/end; do sleep 0.1; done";
    let volume = format!("{}:/gate", gate.display());
    let words = ["--record", folder.to_str().unwrap(), "--userns", "host", "-v", &volume];
    let running = stockade.run_call(&words, &["sh", "-c", script]).limit(2 * PATIENCE[0]).start();
    let mut recorder = None;
    eventually("the program that is recorded", PATIENCE[0], || {
        recorder = recorder_below(running.pid());
        recorder.is_some() && gate.join("ready").exists()
    });
    let recorder = recorder.unwrap().to_string();
    let signal = |name: &str| Call::new("kill").args([name, &recorder]).run().ok();
    let put = |name: &str| std::fs::write(gate.join(name), "").unwrap();
    signal("-STOP");
    put("go");
    eventually("more calls than there is room for", PATIENCE[0], || gate.join("done").exists());
    signal("-CONT");
    put("end");
    let done = running.wait();
    assert!(done.code() == 125 && done.stderr.contains("events were lost"), "{done:?}");
    assert!(!folder.join("record.json").exists() && !folder.join("seccomp.json").exists());
}

/// The process that records for `stockade`, whose process is `parent`.
fn recorder_below(parent: i32) -> Option<i32> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let is_it = |pid: &&str| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == b"container-recorded")
    };
    children.split_whitespace().find(is_it)?.parse().ok()
}

#[test]
fn every_call_and_capability_of_a_record_is_needed() {
    requires!(root, stockade, busybox_packed, tracepoints);
    let stockade = Stockade::new();
    let script = "cat /etc/passwd > /tmp/x; chown 1000:1000 /tmp/x; ln -s x /tmp/y; stat /tmp/y > /dev/null; su -s /bin/true user; kill -0 $$";
    let recorded = Recorded::of(&stockade, "r", &[], &["sh", "-c", script]);
    assert_enough(&recorded.replay());
    // Without these nothing is started, which the runtime says before.
    let for_start = ["execve", "exit_group", "rt_sigreturn"];
    let calls: Vec<String> = recorded.calls().into_iter().filter(|call| !for_start.contains(&call.as_str())).collect();
    assert!(calls.len() > 20, "{calls:?}");
    // A sample: each costs a container.
    for call in calls.iter().step_by(3) {
        let done = recorded.replay_without_call(call);
        // A program that cannot do without it may not come to where something is denied, but for the call itself.
        assert_eq!(done.code(), 3, "{call}: {done:?}");
        assert!(done.stderr.contains("[seccomp]"), "{call}: {done:?}");
    }
    for flag in recorded.flags().iter().filter(|flag| flag.starts_with("cap-add=")) {
        assert_lacking(&recorded.replay_without_flag(flag), "[capability]");
    }
    assert_lacking(&recorded.replay_without_flag("tmpfs=/tmp:mode=1777"), "[read-only-root]");
}

#[test]
fn records_are_merged_and_shown() {
    requires!(root, stockade, busybox_packed, tracepoints);
    let stockade = Stockade::new();
    let first = Recorded::of(&stockade, "first", &[], &["ls", "/"]);
    let second = Recorded::of(&stockade, "second", &[], &["touch", "/tmp/x"]);
    let other = Recorded::of(&stockade, "other", &["--user", "1000"], &["true"]);
    let path = |folder: &Path| folder.display().to_string();
    let out = stockade.folder().join("out");
    let names = [path(&out), path(&first.folder), path(&second.folder)];
    let merge = |names: &[String]| {
        let words: Vec<&str> = ["record", "merge"].into_iter().chain(names.iter().map(String::as_str)).collect();
        stockade.ask(&words)
    };
    merge(&names).ok();
    let merged = Recorded { stockade: &stockade, folder: out };
    let both: BTreeSet<String> = first.calls().union(&second.calls()).cloned().collect();
    assert_eq!(merged.calls(), both);
    assert_ne!(first.calls(), both);
    assert_enough(&merged.replay());
    assert_enough(&merged.replay_of(&["touch", "/tmp/y"]));
    let shown = stockade.ask(&["record", "show", &path(&merged.folder)]).ok().stdout;
    for words in [
        "2 runs of ",
        "system calls of the start only:",
        "getdents64",
        "A /tmp/x",
        "--read-only",
        "--tmpfs=/tmp:mode=1777",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let again = merge(&names);
    assert!(again.code() == 125 && again.stderr.contains("has something in it already"), "{again:?}");
    let differ = merge(&[path(&stockade.folder().join("x")), path(&first.folder), path(&other.folder)]);
    assert!(differ.code() == 1 && differ.stderr.contains("the flags differ"), "{differ:?}");
}

#[test]
fn what_starting_takes_is_told_from_what_running_takes() {
    requires!(root, stockade, busybox_packed, tracepoints);
    let stockade = Stockade::new();
    let folder = stockade.folder().join("r");
    // It gives up after a second in which nobody came.
    let done = stockade.run(&["--record", &folder.display().to_string()], &["nc", "-l", "-p", "99", "-w", "1"]);
    assert_eq!(done.code(), 1, "{done:?}");
    let recorded = Recorded { stockade: &stockade, folder };
    let record = recorded.json("record.json");
    let call = |name: &str, phase: &str| record["seen"]["calls"][name][phase].as_bool().unwrap();
    assert!(call("socket", "startup") && !call("socket", "steady"), "{record}");
    assert!(call("exit_group", "steady") && !call("exit_group", "startup"), "{record}");
    let listens = record["seen"]["network"]["listens"].as_array().unwrap();
    let has = |port: u64, loopback: bool| listens.iter().any(|one| one["port"] == port && one["loopback"] == loopback);
    assert!(has(99, false), "{record}");
    assert!(!recorded.flags().contains(&"network=none".to_owned()), "{:?}", recorded.flags());
}

#[test]
fn what_cannot_be_recorded_is_refused_and_leaves_nothing() {
    requires!(root, stockade, busybox_packed, tracepoints);
    let stockade = Stockade::new();
    let folder = stockade.folder().join("r");
    let text = folder.display().to_string();
    for (flags, words) in
        [(&["-d"][..], "--detach does not wait"), (&["--explain"], "choose one"), (&["--privileged"], "--cap-add ALL")]
    {
        let done = stockade.run(&[&["--record", &text], flags].concat(), &["true"]);
        assert!(done.code() == 125 && done.stderr.contains(words), "{words}: {done:?}");
        assert!(!folder.exists());
    }
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("mine"), "").unwrap();
    let done = stockade.run(&["--record", &text], &["true"]);
    assert!(done.code() == 125 && done.stderr.contains("has something in it already"), "{done:?}");
    let failed =
        stockade.run(&["--record", &stockade.folder().join("f").display().to_string()], &["sh", "-c", "exit 7"]);
    assert_eq!(failed.code(), 7, "{failed:?}");
    let wrong = stockade.ask(&["record", "show", &text]);
    assert!(wrong.code() == 1 && wrong.stderr.contains("record.json"), "{wrong:?}");
    assert!(stockade.ids().is_empty());
}

/// The kernel ends the watching of a process that gets rights by executing a program.
#[test]
fn a_program_that_gives_rights_is_not_taken_for_one_that_did_nothing() {
    requires!(root, stockade, debian_image, tracepoints);
    let stockade = Stockade::with_debian();
    let script = |made: &str| {
        format!(
            "cp /usr/bin/perl /raising && {made} && chroot --userspec=1000:1000 / /raising -e 'sleep 1' && exec perl -e 1"
        )
    };
    for made in ["chmod 4755 /raising", "setcap cap_net_raw+ep /raising"] {
        let folder = stockade.folder().join(format!("raised-{}", made.len()));
        let text = folder.display().to_string();
        let done = stockade.run(&["--record", &text], &["sh", "-c", &script(made)]).exits(125);
        assert!(done.stderr.contains("\"raising\" gave the process that executed it rights"), "{made}: {done:?}");
        assert!(!folder.join("record.json").exists() && !folder.join("command.sh").exists(), "{made}: {done:?}");
        // Without new privileges it gives none.
        let kept = format!("kept-{}", made.len());
        let flags = ["--security-opt", "no-new-privileges"];
        let recorded = Recorded::of(&stockade, &kept, &flags, &["sh", "-c", &script(made)]);
        assert_eq!(recorded.json("record.json")["seen"]["programs"]["/raising"], true, "{made}");
    }
}
