//! An engine in a container of its own, and what a container may do with its control groups.

use std::path::Path;

use stockade_testkit::{Finished, Stockade, programs, requires};

/// The list of AppArmor's profiles.
const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";

/// Runs `stockade` with `line` in a container with `flags`, which has the programs, the image as `$I`, and a volume for its data.
fn inner(stockade: &Stockade, flags: &[&str], line: &str) -> Finished {
    let bin = programs::built("stockade");
    let bin = format!("{}:/engine:ro", bin.parent().unwrap().display());
    let image = format!("{}:/image:ro", programs::images().join("busybox").display());
    let all = [&["-v", &bin, "-v", &image, "-v", "inner:/data", "--tmpfs", "/run"], flags].concat();
    let script =
        format!("I=oci:/image/oci; exec /engine/stockade --data-root /data/engine --default-network none {line}");
    stockade.sh(&all, &script)
}

#[test]
fn an_engine_in_a_privileged_container_runs_containers() {
    requires!(root, stockade, busybox_packed, limits);
    let stockade = Stockade::new();
    // There is no compiler of profiles in the image: where the kernel has AppArmor, the one that the outer engine has loaded is taken.
    let (mut flags, confined) = (vec!["--privileged"], Path::new(PROFILES).exists());
    if confined {
        stockade.run(&[], &["true"]).ok();
        let done = inner(&stockade, &flags, "run --rm $I true").exits(125);
        assert!(done.stderr.contains("apparmor_parser is not installed"), "{done:?}");
        flags.extend(["-v", "/sys/kernel/security:/sys/kernel/security:ro"]);
        let done = inner(&stockade, &flags, "run --rm $I cat /proc/self/attr/current").ok();
        assert_eq!(done.out(), "stockade-default (enforce)", "{done:?}");
    }
    // In version 2 the processes of the outer container are moved aside, so that the inner one can have a limit.
    let script = "run --rm --pids-limit 20 $I sh -c 'cd /sys/fs/cgroup; [ ! -d pids ] || cd pids; cat pids.max'";
    let done = inner(&stockade, &flags, script).ok();
    assert_eq!(done.out(), "20", "{done:?}");
    let done = inner(&stockade, &flags, "ps -aq").ok();
    assert_eq!(done.out(), "", "{done:?}");
}

#[test]
fn an_engine_in_an_ordinary_container_says_what_it_lacks() {
    requires!(root, stockade, busybox_packed, limits);
    let stockade = Stockade::new();
    let done = inner(&stockade, &[], "run --rm $I true").exits(125);
    assert!(done.stderr.contains("stockade: "), "{done:?}");
}

#[test]
fn groups_are_writable_where_that_was_asked_for() {
    requires!(root, stockade, busybox_packed, limits);
    let stockade = Stockade::new();
    let script = "G=/sys/fs/cgroup/pids; [ -d $G ] || G=/sys/fs/cgroup; mkdir $G/below && rmdir $G/below && echo made";
    let kept = stockade.sh(&[], script);
    assert!(kept.code() != 0 && kept.stderr.contains("Read-only file system"), "{kept:?}");
    let open = stockade.sh(&["--security-opt", "writable-cgroups=true"], script).ok();
    assert_eq!(open.out(), "made");
}
