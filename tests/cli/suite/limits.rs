//! Limits: each flag is written to the container's control group, read back from the kernel, and felt.

use stockade_testkit::{Stockade, cgroup, requires};

/// What the container's control group is called.
fn group(id: &str) -> String {
    format!("/stockade/{id}")
}

#[test]
fn six_processes_and_not_a_seventh() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let id = stockade.detached(&["--pids-limit", "6"], &["sleep", "1000"]);
    assert_eq!(cgroup::read("pids", &group(&id), "pids.max"), "6");
    stockade.ask(&["rm", "-f", &id]).ok();
    // The shell is the first; five of the sleeping ones are the second to the sixth.
    let script = "for i in 1 2 3 4 5 6 7; do sleep 100 & echo started; done; echo over";
    let done = stockade.sh(&["--pids-limit", "6"], script);
    assert_eq!(done.stdout.matches("started").count(), 5, "{done:?}");
    assert!(done.stderr.contains("can't fork"), "{done:?}");
    assert_ne!(done.code(), 0);
}

#[test]
fn each_flag_is_in_its_file_v1() {
    requires!(root, stockade, busybox_packed, cgroup_v1);
    let stockade = Stockade::new();
    let flags = [
        "--memory=64m",
        "--memory-swap=96m",
        "--memory-reservation=32m",
        "--memory-swappiness=7",
        "--oom-kill-disable",
        "--cpu-shares=512",
        "--cpu-quota=50000",
        "--cpu-period=20000",
        "--cpuset-cpus=0",
        "--cpuset-mems=0",
        "--pids-limit=77",
    ];
    let id = stockade.detached(&flags, &["sleep", "1000"]);
    for (controller, file, value) in [
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("memory", "memory.memsw.limit_in_bytes", "100663296"),
        ("memory", "memory.soft_limit_in_bytes", "33554432"),
        ("memory", "memory.swappiness", "7"),
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "50000"),
        ("cpu", "cpu.cfs_period_us", "20000"),
        ("cpuset", "cpuset.cpus", "0"),
        ("cpuset", "cpuset.mems", "0"),
        ("pids", "pids.max", "77"),
    ] {
        assert_eq!(cgroup::read(controller, &group(&id), file), value, "{file}");
    }
    assert!(cgroup::read("memory", &group(&id), "memory.oom_control").contains("oom_kill_disable 1"));
}

#[test]
fn each_flag_is_in_its_file_v2() {
    requires!(root, stockade, busybox_packed, cgroup_v2);
    let stockade = Stockade::new();
    let flags = [
        "--memory=64m",
        "--memory-swap=96m",
        "--memory-reservation=32m",
        "--cpu-shares=1024",
        "--cpu-quota=50000",
        "--cpu-period=20000",
        "--cpuset-cpus=0",
        "--cpuset-mems=0",
        "--pids-limit=77",
    ];
    let id = stockade.detached(&flags, &["sleep", "1000"]);
    for (controller, file, value) in [
        ("memory", "memory.max", "67108864"),
        ("memory", "memory.swap.max", "33554432"),
        ("memory", "memory.low", "33554432"),
        ("cpu", "cpu.weight", "100"),
        ("cpu", "cpu.max", "50000 20000"),
        ("cpuset", "cpuset.cpus", "0"),
        ("cpuset", "cpuset.mems", "0"),
        ("pids", "pids.max", "77"),
    ] {
        assert_eq!(cgroup::read(controller, &group(&id), file), value, "{file}");
    }
}

#[test]
fn cpus_are_a_quota() {
    requires!(root, stockade, busybox_packed, limits);
    let stockade = Stockade::new();
    let id = stockade.detached(&["--cpus", "0.25"], &["sleep", "1000"]);
    let read = |file: &str| cgroup::read("cpu", &group(&id), file);
    match cgroup::is_v1("cpu") {
        true => assert_eq!((read("cpu.cfs_quota_us"), read("cpu.cfs_period_us")), ("25000".into(), "100000".into())),
        false => assert_eq!(read("cpu.max"), "25000 100000"),
    }
}

/// A disk of this machine: its file and its numbers.
fn disk() -> Option<(String, String)> {
    for entry in std::fs::read_dir("/sys/block").ok()?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let (path, numbers) = (format!("/dev/{name}"), std::fs::read_to_string(entry.path().join("dev")).ok()?);
        if std::path::Path::new(&path).exists() {
            return Some((path, numbers.trim().to_owned()));
        }
    }
    None
}

#[test]
fn rates_of_disks() {
    requires!(root, stockade, busybox_packed, limits, block_device);
    let (path, numbers) = disk().unwrap();
    let stockade = Stockade::new();
    let flags = [
        format!("--device-read-bps={path}:1mb"),
        format!("--device-write-bps={path}:2mb"),
        format!("--device-read-iops={path}:30"),
        format!("--device-write-iops={path}:40"),
    ];
    let id = stockade.detached(&flags.each_ref().map(String::as_str), &["sleep", "1000"]);
    if !cgroup::is_v1("blkio") {
        let rates = cgroup::read("io", &group(&id), "io.max");
        return assert_eq!(rates, format!("{numbers} rbps=1048576 wbps=2097152 riops=30 wiops=40"));
    }
    for (file, rate) in [
        ("blkio.throttle.read_bps_device", 1 << 20),
        ("blkio.throttle.write_bps_device", 2 << 20),
        ("blkio.throttle.read_iops_device", 30),
        ("blkio.throttle.write_iops_device", 40),
    ] {
        assert_eq!(cgroup::read("blkio", &group(&id), file), format!("{numbers} {rate}"), "{file}");
    }
}

#[test]
fn the_weight_of_disks_is_written_or_refused() {
    requires!(root, stockade, busybox_packed, limits);
    let stockade = Stockade::new();
    // Which file there is depends on the kernel's schedulers; a group of cgroup v2 has it from the first limit of disks on.
    let (controller, files) = match cgroup::is_v1("blkio") {
        true => ("blkio", [("blkio.weight", "123"), ("blkio.bfq.weight", "123")]),
        false => ("io", [("io.bfq.weight", "default 123"), ("io.weight", "default 1142")]),
    };
    let weighed = stockade.call(&["run", "--detach", "--blkio-weight", "123", stockade.image(), "sleep", "1000"]).run();
    if weighed.code() != 0 {
        let probe = stockade.detached(&[], &["sleep", "1000"]);
        let there = |file: &str| cgroup::folder(controller, &group(&probe)).join(file).exists();
        assert!(!files.iter().any(|(file, _)| there(file)), "{weighed:?}");
        weighed.exits(125).refuses(&["weight"]);
        return;
    }
    let id = stockade.know(weighed.out());
    let there = |file: &str| cgroup::folder(controller, &group(&id)).join(file).exists();
    let (file, value) = files.into_iter().find(|(file, _)| there(file)).unwrap();
    assert_eq!(cgroup::read(controller, &group(&id), file).lines().next(), Some(value), "{file}");
}

#[test]
fn another_parent() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let parent = format!("/stockade-test-parent-{}", std::process::id());
    let id = stockade.detached(&["--cgroup-parent", &parent, "--pids-limit", "9"], &["sleep", "1000"]);
    assert_eq!(cgroup::read("pids", &format!("{parent}/{id}"), "pids.max"), "9");
    stockade.ask(&["rm", "-f", &id]).ok();
    stockade.assert_gone();
    for hierarchy in cgroup::hierarchies() {
        // The parent may be kept for the next container; it holds nothing.
        let folder = hierarchy.mount.join(parent.trim_start_matches('/'));
        if folder.exists() {
            std::fs::remove_dir(&folder).unwrap();
        }
    }
}

#[test]
fn a_container_that_takes_too_much_memory_is_killed() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let flags = ["--memory=16m", "--memory-swap=16m"];
    let done = stockade.sh(&flags, "dd if=/dev/zero of=/dev/null bs=64M count=1");
    assert_eq!(done.code(), 137, "{done:?}");
    stockade.sh(&flags, "dd if=/dev/zero of=/dev/null bs=1M count=1").ok();
}

#[test]
fn limits_of_the_process() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let script = "ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj";
    let done =
        stockade.sh(&["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--oom-score-adj", "500"], script).ok();
    assert_eq!(done.out().lines().collect::<Vec<_>>(), ["100", "200", "0", "500"]);
}
