//! `stockade selftest`: what it says of runtimes that keep the walls, that do not, and that run nothing here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stockade_testkit::{Bundle, Call, Finished, programs, requires};

fn selftest(arguments: &[&str]) -> Finished {
    let call = Call::new(programs::built("stockade")).arg("selftest").args(arguments);
    call.limit(std::time::Duration::from_secs(300)).run()
}

/// The verdicts of one runtime by case.
fn verdicts(done: &Finished) -> BTreeMap<String, String> {
    let json = done.json();
    let cases = json[0]["cases"].as_array().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    cases.iter().map(|one| (text(&one["id"]), text(&one["verdict"]))).collect()
}

fn with_verdict<'a>(all: &'a BTreeMap<String, String>, verdict: &str) -> Vec<&'a str> {
    all.iter().filter(|(_, found)| *found == verdict).map(|(id, _)| id.as_str()).collect()
}

/// A runtime that has stake do it after `edit`, a script of sed, has changed the configuration.
fn weakened(folder: &Path, edit: &str) -> PathBuf {
    let path = folder.join("weak");
    let script = format!(
        "#!/bin/sh\nbundle=\nfor word in \"$@\"; do\n  test \"$before\" = --bundle && bundle=$word\n  before=$word\ndone\n\
         test -z \"$bundle\" || sed -i -e '{edit}' \"$bundle/config.json\"\nexec {} \"$@\"\n",
        programs::built("stake").display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[test]
fn stake_keeps_every_wall_and_nothing_is_left() {
    requires!(root, stake, stockade);
    let stake = programs::built("stake");
    let bundle = Bundle::empty();
    let words = ["selftest", "--format", "json", "--runtime", stake.to_str().unwrap()];
    let call = Call::new(programs::built("stockade")).args(words).env("TMPDIR", bundle.folder());
    let done = call.limit(std::time::Duration::from_secs(300)).run();
    let found = verdicts(&done);
    assert_eq!(with_verdict(&found, "broken"), Vec::<&str>::new(), "{done:?}");
    assert_eq!(with_verdict(&found, "cannot-be-tried"), Vec::<&str>::new(), "{done:?}");
    assert!(found.len() >= 28 && done.code() == 0, "{done:?}");
    let names = std::fs::read_dir(bundle.folder()).unwrap().flatten().map(|entry| entry.file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().starts_with("stockade-selftest-")).count(), 0);
}

#[test]
fn a_runtime_without_a_wall_is_found_and_which_wall_it_is() {
    requires!(root, stake, stockade);
    use std::os::linux::net::SocketAddrExt;
    let name = format!("stockade-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let bundle = Bundle::empty();
    let folder = bundle.folder();
    for (edit, broken) in [
        ("s/\"maskedPaths\":\\[[^]]*\\]/\"maskedPaths\":[]/", "CVE-2017-16539"),
        ("s/\"readonlyPaths\":\\[[^]]*\\]/\"readonlyPaths\":[]/", "read-only-paths"),
        ("s/\"seccomp\":{\"defaultAction\"/\"ignored\":{\"defaultAction\"/", "CVE-2022-0185"),
        ("s/\"uid\":1000,/\"uid\":0,/", "CVE-2016-8867"),
        ("s/\"SCMP_ACT_STOCKADE\"/\"SCMP_ACT_ERRNO\"/", "unknown-action"),
        ("s/,{\"type\":\"stockade\"}//", "unknown-namespace"),
        ("s/\"allow\":false/\"allow\":true/g", "devices"),
        ("s/{\"type\":\"network\"},*//;s/\"sysctl\":{[^}]*}/\"sysctl\":{}/", "CVE-2020-15257"),
        (
            "s/\"cwd\":\"[^\"]*\"/\"cwd\":\"\\/\"/;s/\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":\\[\"nosuid\",\"nodev\"\\]/\"type\":\"proc\",\"source\":\"proc\"/",
            "CVE-2019-16884",
        ),
    ] {
        let runtime = weakened(folder, edit);
        let done = selftest(&["--format", "json", "--runtime", runtime.to_str().unwrap(), broken]);
        let found = verdicts(&done);
        assert_eq!((with_verdict(&found, "broken"), done.code()), (vec![broken], 3), "{edit}: {done:?}");
    }
}

#[test]
fn several_runtimes_are_shown_side_by_side_and_one_that_runs_nothing_is_told_so() {
    requires!(root, stake, stockade);
    let bundle = Bundle::empty();
    let folder = bundle.folder();
    let nothing = folder.join("nothing");
    std::fs::write(&nothing, "#!/bin/sh\necho 'there is no such thing here' >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&nothing, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let stake = programs::built("stake");
    let (stake, nothing) = (stake.to_str().unwrap(), nothing.to_str().unwrap());
    let done = selftest(&["--runtime", stake, "--runtime", nothing, "walls", "descriptors"]);
    assert_eq!(done.code(), 1, "{done:?}");
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert!(lines[0].starts_with("CASE") && lines[0].contains("stake") && lines[0].contains("nothing"), "{done:?}");
    assert!(lines[1].starts_with("walls") && lines[1].contains("held") && lines[1].contains("cannot be tried"));
    assert!(done.stdout.contains("there is no such thing here"), "{done:?}");
    let unknown = selftest(&["CVE-0000-1"]);
    assert!(unknown.code() == 125 && unknown.stderr.contains("CVE-0000-1"), "{unknown:?}");
    assert!(selftest(&["--list"]).ok().stdout.contains("CVE-2024-21626"));
}

/// Debian's runc is a real runtime of which some of this is known.
#[test]
fn runc_is_tried_as_stake_is() {
    requires!(root, stockade, runc);
    let runc = programs::on_path("runc").unwrap();
    let done = selftest(&["--format", "json", "--runtime", runc.to_str().unwrap()]);
    let found = verdicts(&done);
    for case in ["walls", "descriptors", "CVE-2022-29162", "CVE-2017-16539", "devices", "CVE-2022-0811", "environment"]
    {
        assert_eq!(found[case], "held", "{done:?}");
    }
    assert_ne!(done.code(), 1, "{done:?}");
}

/// What a runtime that may not have been built for this machine's control groups keeps: all of the usual, or nothing can be tried, and it is told
/// why.
fn is_tried(name: &str) {
    let runtime = programs::on_path(name).unwrap();
    let done = selftest(&["--format", "json", "--runtime", runtime.to_str().unwrap()]);
    let found = verdicts(&done);
    if found["walls"] == "cannot-be-tried" {
        assert_eq!((with_verdict(&found, "cannot-be-tried").len(), done.code()), (found.len(), 1), "{done:?}");
        assert!(done.stdout.contains("cgroup"), "{done:?}");
        return;
    }
    for case in ["walls", "descriptors", "environment", "CVE-2017-16539", "devices", "mount"] {
        assert_eq!(found[case], "held", "{done:?}");
    }
    assert_ne!(done.code(), 1, "{done:?}");
}

#[test]
fn crun_is_tried_as_stake_is() {
    requires!(root, stockade, crun);
    is_tried("crun");
}

#[test]
fn youki_is_tried_as_stake_is() {
    requires!(root, stockade, youki);
    is_tried("youki");
}
