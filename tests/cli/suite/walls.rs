//! Capabilities, system call filters and namespaces, as the kernel has them.

use std::collections::BTreeSet;
use std::fs::read_link;
use std::time::Duration;

use serde_json::json;
use stockade_testkit::{Call, Stockade, requires};

/// CAP_CHOWN's bit is 0.
const ONLY_CHOWN: &str = "0000000000000001";

/// A field of `/proc/PID/status`.
fn status(pid: &str, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field}")).trim().to_owned()
}

#[test]
fn without_chown_nobody_gives_files_away() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    stockade.sh(&[], "touch /f && chown 1000 /f").ok();
    let done = stockade.sh(&["--cap-drop", "CHOWN"], "touch /f && chown 1000 /f");
    assert!(done.code() == 1 && done.stderr.contains("Operation not permitted"), "{done:?}");
}

#[test]
fn all_dropped_and_one_added_leaves_that_one() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    for name in ["chown", "CHOWN", "cap_chown"] {
        let done = stockade.sh(&["--cap-drop", "ALL", "--cap-add", name], "grep Cap /proc/self/status").ok();
        let sets: Vec<&str> = done.out().lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
        let none = "0000000000000000";
        // Inheritable, permitted, effective, bounding, ambient.
        assert_eq!(sets, [none, ONLY_CHOWN, ONLY_CHOWN, ONLY_CHOWN, none], "{name}");
    }
}

#[test]
fn the_default_is_dockers_fourteen() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let done = stockade.sh(&[], "grep -E 'Cap(Bnd|Inh)' /proc/self/status").ok();
    assert_eq!(done.out().lines().collect::<Vec<_>>(), ["CapInh:\t0000000000000000", "CapBnd:\t00000000a80425fb"]);
    let user = stockade.sh(&["-u", "1000"], "grep -E 'Cap(Eff|Prm|Amb)' /proc/self/status").ok();
    assert!(user.out().lines().all(|line| line.ends_with("\t0000000000000000")), "{user:?}");
}

#[test]
fn privileged_has_what_the_host_has() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let done =
        stockade.sh(&["--privileged"], "grep CapEff /proc/self/status; grep Seccomp: /proc/self/status; ls /dev").ok();
    let ours = format!("CapEff:\t{}", status("self", "CapEff"));
    assert!(done.out().starts_with(&format!("{ours}\nSeccomp:\t0\n")), "{done:?}");
    for name in ["kmsg", "loop-control"].into_iter().filter(|name| std::path::Path::new("/dev").join(name).exists()) {
        assert!(done.out().lines().any(|line| line == name), "{name}: {done:?}");
    }
    assert!(!stockade.sh(&[], "ls /dev").ok().out().contains("kmsg"));
}

#[test]
fn capsh_agrees() {
    requires!(root, stockade, debian_image);
    let stockade = Stockade::with_image(&stockade_testkit::stockade::named_reference("debian", "oci"));
    // The image is large, and unpacked by the first.
    let first = stockade.run_call(&["--cap-drop", "ALL", "--cap-add", "CHOWN"], &["capsh", "--print"]);
    let done = first.limit(Duration::from_secs(600)).run().ok();
    assert!(done.stdout.contains("Bounding set =cap_chown\n"), "{done:?}");
    assert!(
        done.stdout.contains("Current: cap_chown=ep") || done.stdout.contains("Current: = cap_chown+ep"),
        "{done:?}"
    );
    let usual = stockade.run(&[], &["capsh", "--print"]).ok();
    let bounding = usual.stdout.lines().find_map(|line| line.strip_prefix("Bounding set =")).unwrap();
    let names: BTreeSet<&str> = bounding.split(',').collect();
    let expected = "chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod audit_write setfcap";
    let expected: BTreeSet<String> = expected.split(' ').map(|name| format!("cap_{name}")).collect();
    assert_eq!(names, expected.iter().map(String::as_str).collect());
}

#[test]
fn a_profile_denies_what_it_names_and_nothing_else() {
    requires!(root, stockade, busybox_packed, x86_64);
    let stockade = Stockade::new();
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{ "name": "chmod", "action": "SCMP_ACT_ERRNO", "args": [] }]
    });
    let file = stockade.folder().join("profile.json");
    std::fs::write(&file, profile.to_string()).unwrap();
    let option = format!("seccomp={}", file.display());
    let script = "touch /f; chmod 600 /f; echo $?; chown 1 /f; mkdir /d && rmdir /d; grep Seccomp: /proc/self/status; unshare -U true";
    let done = stockade.sh(&["--security-opt", &option], script);
    assert!(done.stdout.starts_with("1\nSeccomp:\t2\n"), "{done:?}");
    assert!(done.stderr.contains("chmod: /f: Operation not permitted") && !done.stderr.contains("mkdir"), "{done:?}");
    // The same from a relative path.
    let relative =
        stockade.run_call(&["--security-opt", "seccomp=profile.json"], &["sh", "-c", "touch /f; chmod 600 /f"]);
    assert_eq!(relative.within(stockade.folder()).run().code(), 1);
}

#[test]
fn a_user_namespace_takes_an_unconfined_container() {
    requires!(root, stockade, debian_image, user_namespaces);
    let stockade = Stockade::with_image(&stockade_testkit::stockade::named_reference("debian", "oci"));
    let command = ["unshare", "--map-root-user", "--user", "sh", "-c", "whoami"];
    let done = stockade.run_call(&[], &command).limit(Duration::from_secs(600)).run();
    assert!(done.code() != 0 && done.stderr.contains("Operation not permitted"), "{done:?}");
    let done = stockade.run(&["--security-opt", "seccomp=unconfined"], &command).ok();
    assert_eq!(done.out(), "root");
}

#[test]
fn no_new_privileges() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let script = "grep NoNewPrivs /proc/self/status";
    assert_eq!(stockade.sh(&[], script).ok().out(), "NoNewPrivs:\t0");
    assert_eq!(stockade.sh(&["--security-opt", "no-new-privileges"], script).ok().out(), "NoNewPrivs:\t1");
}

/// The identity of each namespace of a process.
fn namespaces(pid: i32) -> Vec<(&'static str, String)> {
    let all = ["mnt", "uts", "ipc", "pid", "net", "cgroup", "user", "time"];
    let link =
        |name: &&'static str| Some((*name, read_link(format!("/proc/{pid}/ns/{name}")).ok()?.display().to_string()));
    all.iter().filter_map(link).collect()
}

#[test]
fn lsns_shows_the_containers_own_namespaces() {
    requires!(root, stockade, busybox_packed, lsns);
    let stockade = Stockade::new();
    let id = stockade.detached(&[], &["sleep", "1000"]);
    let pid = stockade.pid(&id);
    let shown =
        Call::new("lsns").args(["--noheadings", "--raw", "--output", "NS,TYPE", "--task", &pid.to_string()]).run().ok();
    let ours = namespaces(std::process::id().cast_signed());
    for (name, link) in namespaces(pid) {
        let number = link.trim_start_matches(|sign: char| !sign.is_ascii_digit()).trim_end_matches(']');
        assert!(shown.stdout.lines().any(|line| line == format!("{number} {name}")), "{name} {number}: {shown:?}");
        let own = !ours.contains(&(name, link.clone()));
        // Docker 29.5: a time namespace of its own by default. Unlike Docker's: a user namespace, too.
        assert!(own, "{name}");
    }
}

#[test]
fn namespaces_of_the_host_where_they_are_asked_for() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let ours = namespaces(std::process::id().cast_signed());
    for (flag, name) in [
        ("--pid=host", "pid"),
        ("--ipc=host", "ipc"),
        ("--uts=host", "uts"),
        ("--network=host", "net"),
        ("--cgroupns=host", "cgroup"),
        ("--userns=host", "user"),
    ] {
        let id = stockade.detached(&[flag], &["sleep", "1000"]);
        let shared: Vec<&str> =
            namespaces(stockade.pid(&id)).into_iter().filter(|one| ours.contains(one)).map(|(name, _)| name).collect();
        // Rights in what is the host's go with its user namespace.
        let users = ["pid", "ipc", "net"].contains(&name);
        let expected: Vec<&str> =
            ours.iter().map(|(name, _)| *name).filter(|one| *one == name || users && *one == "user").collect();
        assert_eq!(shared, expected, "{flag}");
        stockade.ask(&["rm", "-f", &id]).ok();
    }
}

#[test]
fn namespaces_of_another_container() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let other = stockade.detached(&["--name", "other"], &["sleep", "1000"]);
    let theirs = namespaces(stockade.pid(&other));
    let flags = ["--pid=container:other", "--ipc=container:other", "--network=container:other"];
    let id = stockade.detached(&flags, &["sleep", "1000"]);
    let shared: Vec<&str> =
        namespaces(stockade.pid(&id)).into_iter().filter(|one| theirs.contains(one)).map(|(name, _)| name).collect();
    assert_eq!(shared, ["ipc", "pid", "net", "user"]);
    stockade.run(&["--pid=container:nobody"], &["true"]).exits(125).refuses(&["no such container: nobody"]);
}

#[test]
fn no_socket_is_abstract() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    // CVE-2020-15257: a container of the host's network reaches every abstract socket of the host.
    let before = std::fs::read_to_string("/proc/net/unix").unwrap();
    let abstract_ones = |text: &str| -> BTreeSet<String> {
        text.lines()
            .filter_map(|line| line.rsplit(' ').next())
            .filter(|name| name.starts_with('@'))
            .map(str::to_owned)
            .collect()
    };
    let id = stockade.detached(&["-i"], &["cat"]);
    let attached = stockade.call(&["attach", "--no-stdin", &id]).start();
    let seen = stockade.run(&["--network=host"], &["cat", "/proc/net/unix"]).ok();
    let new: Vec<String> = abstract_ones(&seen.stdout).difference(&abstract_ones(&before)).cloned().collect();
    assert!(!new.iter().any(|name| name.contains("stockade") || name.contains(&id[..12])), "{new:?}");
    stockade.ask(&["kill", &id]).ok();
    attached.wait().exits(137);
}

#[test]
fn the_network_is_only_the_loopback() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let script =
        "ls /sys/class/net; cat /sys/class/net/lo/operstate; ping -c 1 -W 2 127.0.0.1 >/dev/null && echo reached";
    let done = stockade.sh(&[], script).ok();
    assert!(done.out().starts_with("lo\n") && done.out().ends_with("reached"), "{done:?}");
}

#[test]
fn masked_and_read_only_paths() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let masked = "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug \
                  /proc/scsi /proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap /sys/firmware";
    let script = format!(
        "for path in {masked}; do if test -d $path; then ls -A $path; elif test -e $path; then cat $path; fi; done"
    );
    assert_eq!(stockade.sh(&[], &script).ok().stdout, "");
    assert_ne!(stockade.sh(&["--security-opt", "systempaths=unconfined"], &script).stdout, "");
    let script = "for path in /proc/sys/kernel/panic /sys/x /sys/fs/cgroup/x; do touch $path; done; \
                  for path in /proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger; do \
                  test ! -e $path || grep -q \" $path ro,\" /proc/self/mountinfo || echo $path; done";
    let done = stockade.sh(&[], script).ok();
    assert_eq!((done.stderr.matches("Read-only file system").count(), done.out()), (3, ""), "{done:?}");
}

#[test]
fn sysctls_of_namespaces() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let flags = [
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "--sysctl",
        "kernel.msgmax=4096",
        "--sysctl",
        "net/ipv4/tcp_syncookies=0",
    ];
    let script = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/sys/net/ipv4/tcp_syncookies";
    assert_eq!(stockade.sh(&flags, script).ok().out(), "1\n4096\n0");
}

#[test]
fn devices() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    stockade.sh(&["--device", "/dev/zero:/dev/nothing:r"], "head -c 3 /dev/nothing | wc -c; ls /dev/nothing").ok();
    // A node that the container makes itself opens no device that the group does not allow (here: /dev/kmsg, which asks for
    // CAP_SYSLOG too).
    let script = "mknod /kmsg c 1 11 && head -c 1 /kmsg | wc -c";
    let done = stockade.sh(&["--cap-add", "SYSLOG"], script);
    assert!(done.stderr.contains("/kmsg: Operation not permitted"), "{done:?}");
    let done = stockade.sh(&["--cap-add", "SYSLOG", "--device-cgroup-rule", "c 1:11 rm"], script).ok();
    let notice = "WARNING: the container's user ids are the host's: --cap-add is of no use with others\n";
    assert_eq!((done.out(), done.stderr.as_str()), ("1", notice));
}

#[test]
fn inspect_says_what_confines() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&["--cap-drop", "ALL", "--security-opt", "no-new-privileges"], &["sleep", "1000"]);
    let seen = stockade.ask(&["inspect", &id]).ok().json();
    let walls = &seen[0]["Stockade"];
    assert_eq!(walls["NoNewPrivileges"], true);
    assert_eq!(walls["Seccomp"], "builtin");
    assert_eq!(walls["Capabilities"]["bounding"], json!([]));
    let pid = stockade.pid(&id).to_string();
    assert_eq!(status(&pid, "NoNewPrivs"), "1");
    assert_eq!(status(&pid, "Seccomp"), "2");
    assert_eq!(status(&pid, "CapBnd"), "0000000000000000");
}
