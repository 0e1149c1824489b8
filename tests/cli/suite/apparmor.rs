//! AppArmor, enforced: the profile that a container has, what it forbids where nothing else does, and which profile it is.

use std::io::Write;
use std::process::{Command, Stdio};

use stockade_testkit::{Stockade, programs, requires};

use crate::record::Recorded;

/// A profile in the kernel, as long as this is there.
struct Loaded(String);

impl Loaded {
    /// Compiles and loads `rules` under a name of this process's own that has `word` in it, in `mode`.
    fn new(word: &str, mode: &str, rules: &str) -> Self {
        let name = format!("stockade-test-{word}-{}", std::process::id());
        parser("--replace", &format!("profile {name} flags=(attach_disconnected,{mode}) {{ {rules} }}\n"));
        Self(name)
    }

    /// The option that asks for it.
    fn option(&self) -> String {
        format!("--security-opt=apparmor={}", self.0)
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        parser("--remove", &format!("profile {} {{ }}\n", self.0));
    }
}

/// Has the compiler do `what` with `text`.
fn parser(what: &str, text: &str) {
    let mut child = Command::new("apparmor_parser").args([what, "--skip-cache"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "apparmor_parser {what}: {text}");
}

/// Everything that most profiles are made of.
const ORDINARY: &str = "network, unix, capability, file, signal, ptrace, mount, umount, pivot_root,";

/// What no other wall denies a privileged container that shares the host's processes: commands, of which each changes nothing
/// for good.
const FORBIDDEN: &[&str] = &[
    "mkdir -p /m && mount -t tmpfs x /m",
    "umount /dev/shm",
    ": >> /proc/sys/kernel/core_pattern",
    ": >> /proc/sys/vm/drop_caches",
    ": >> /proc/sysrq-trigger",
    ": >> /sys/kernel/mm/ksm/run",
    "ls /sys/firmware/acpi",
    "cat /proc/1/environ",
    "kill -0 1",
    "/inside socket native 38 | grep -v '\"errno\":13}'",
];

#[test]
fn what_the_default_profile_forbids_no_capability_allows() {
    requires!(root, stockade, busybox_packed, apparmor, apparmor_parser);
    let stockade = Stockade::new();
    let mut script = String::from("cat /proc/self/attr/current\n");
    for command in FORBIDDEN {
        script += &format!("if ({command}) >/dev/null 2>&1; then echo done; else echo denied; fi\n");
    }
    let probe = format!("{}:/inside:ro", programs::built("inside").display());
    let run = |profile: &str| {
        let profile = format!("apparmor={profile}");
        let flags = ["--privileged", "--pid", "host", "-v", &probe, "--security-opt", &profile];
        stockade.sh(&flags, &script).ok().out().to_owned()
    };
    let all = |first: &str, word: &str| {
        [first].into_iter().chain(FORBIDDEN.iter().map(|_| word)).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(run("unconfined"), all("unconfined", "done"));
    assert_eq!(run("stockade-default"), all("stockade-default (enforce)", "denied"));
}

#[test]
fn what_images_need_works_and_all_of_a_container_is_confined() {
    requires!(root, stockade, busybox_packed, apparmor, apparmor_parser);
    let stockade = Stockade::new();
    let script = "trap 'exit 7' TERM; echo x > /etc/file && chown 1:1 /etc/file && chmod 600 /etc/file && mkfifo /tmp/f && \
        ln -s /etc/file /tmp/l && cat /proc/self/environ > /dev/null && kill -0 $$ && (sleep 300 & kill -9 $!) && \
        echo 1048576 > /dev/null && cat /proc/self/attr/current > /tmp/current; while :; do sleep 0.1; done";
    let id = stockade.detached(&["--restart", "no"], &["sh", "-c", script]);
    let told = |command: &[&str]| stockade.call(&["exec", &id]).args(command).run();
    stockade_testkit::eventually("the script's end", std::time::Duration::from_secs(60), || {
        told(&["cat", "/tmp/current"]).stdout.contains("stockade-default")
    });
    let current = told(&["cat", "/tmp/current", "/proc/self/attr/current", "/proc/1/attr/current"]).ok();
    assert!(current.out().lines().all(|line| line == "stockade-default (enforce)"), "{current:?}");
    assert_eq!(current.out().lines().count(), 3, "{current:?}");
    assert_eq!(stockade.inspect(&id, "{{.AppArmorProfile}}"), "stockade-default");
    // The host's signals arrive.
    stockade.ask(&["stop", "-t", "60", &id]).ok();
    assert_eq!(stockade.inspect(&id, "{{.State.ExitCode}}"), "7");
}

#[test]
fn a_profile_by_its_name_by_its_file_and_none() {
    requires!(root, stockade, busybox_packed, apparmor, apparmor_parser);
    let stockade = Stockade::new();
    let script = "cat /proc/self/attr/current; echo x > /secret && echo written";
    let named = Loaded::new("named", "enforce", &format!("{ORDINARY} deny /secret w,"));
    let done = stockade.sh(&[&named.option()], script);
    assert_eq!(done.out(), format!("{} (enforce)", named.0), "{done:?}");
    // By a file it is loaded, and stays; so it is taken off here.
    let filed = Loaded::new("filed", "enforce", ORDINARY);
    let file = stockade.folder().join("profile");
    let text = format!("profile {} flags=(attach_disconnected) {{ {ORDINARY} deny /secret w, }}\n", filed.0);
    std::fs::write(&file, text).unwrap();
    let option = format!("--security-opt=apparmor={}", file.display());
    assert_eq!(stockade.sh(&[&option], script).out(), format!("{} (enforce)", filed.0));
    // One that only complains is applied as it is asked for, and said to be no wall.
    let complaining = Loaded::new("complaining", "complain", &format!("{ORDINARY} deny /secret w,"));
    let done = stockade.sh(&[&complaining.option()], "cat /proc/self/attr/current").ok();
    assert_eq!(done.out(), format!("{} (complain)", complaining.0));
    assert!(done.stderr.contains(&format!("{} (complain) denies nothing", complaining.0)), "{done:?}");
    let done = stockade.sh(&["--security-opt=apparmor=unconfined"], script).ok();
    assert_eq!(done.out(), "unconfined\nwritten");
    assert_eq!(stockade.sh(&["--privileged"], script).ok().out(), "unconfined\nwritten");
}

#[test]
fn a_profile_that_cannot_be_had_is_named_and_nothing_is_made() {
    requires!(root, stockade, busybox_packed, apparmor, apparmor_parser);
    let stockade = Stockade::new();
    let refused = |profile: &str, words: &[&str]| {
        let done = stockade.run(&["--security-opt", &format!("apparmor={profile}")], &["true"]).exits(125);
        for word in words {
            assert!(done.stderr.contains(word), "{word}: {done:?}");
        }
        assert!(stockade.ids().is_empty());
    };
    refused("no-such-profile", &["AppArmor", "no-such-profile"]);
    refused("/no/such/file", &["AppArmor", "/no/such/file"]);
    let file = |text: &str| {
        let path = stockade.folder().join("damaged");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    refused(&file("profile stockade-test-damaged { nonsense }\n"), &["apparmor_parser", "syntax error"]);
    refused(&file("profile stockade-test-a { file, }\nprofile stockade-test-b { file, }\n"), &["damaged", "2"]);
    refused(&file(""), &["damaged", "0"]);
}

#[test]
fn a_container_whose_profile_is_gone_does_not_start_without() {
    requires!(root, stockade, busybox_packed, apparmor, apparmor_parser);
    let stockade = Stockade::new();
    let profile = Loaded::new("leaving", "enforce", ORDINARY);
    let made = stockade.call(&["create", &profile.option(), stockade.image(), "true"]).run().ok();
    let id = stockade.know(made.out());
    let name = profile.0.clone();
    drop(profile);
    let done = stockade.ask(&["start", &id]);
    assert!(done.code() != 0 && done.stderr.contains(&name), "{done:?}");
    assert_ne!(stockade.inspect(&id, "{{.State.Status}}"), "running");
}

#[test]
fn a_recorded_profile_is_enough_for_what_was_recorded_and_for_no_more() {
    requires!(root, stockade, busybox_packed, apparmor, apparmor_parser, call_tracepoints);
    let stockade = Stockade::new();
    let script =
        "echo x >/tmp/file && cat /etc/passwd /tmp/file >/dev/null && ls / >/dev/null && cat /proc/self/attr/current";
    let recorded = Recorded::of(&stockade, "recorded", &[], &["sh", "-c", script]);
    let text = std::fs::read_to_string(recorded.folder.join("apparmor")).unwrap();
    let name = text.lines().find_map(|line| line.strip_prefix("profile ")?.split(' ').next()).unwrap();
    parser("--replace", &text);
    let profile = Loaded(name.to_owned());
    assert_eq!(stockade.sh(&[&profile.option()], script).ok().out(), format!("{name} (enforce)"));
    // A file elsewhere, a program that was not executed, and a socket of a kind that was not used.
    let probe = format!("{}:/inside:ro", programs::built("inside").display());
    let more = "(echo x >/etc/new) 2>/dev/null && echo written; /inside 2>/dev/null; [ $? = 126 ] || echo executed; \
        ping -c 1 -W 1 127.0.0.1 >/dev/null 2>&1 && echo pinged; true";
    let run = |option: &str| stockade.sh(&["-v", &probe, option], more).ok().out().to_owned();
    assert_eq!(run("--security-opt=apparmor=unconfined"), "written\nexecuted\npinged");
    assert_eq!(run(&profile.option()), "");
}
