//! What is wrong is refused: one clear error that names the thing, and nothing left behind.

use std::path::Path;

use stockade_testkit::{Call, Stockade, programs, requires};

/// Flags of `run`, and one word that the error has.
const WRONG: &[(&[&str], &str)] = &[
    (&["--no-such-flag"], "--no-such-flag"),
    (&["--memry=1g"], "did you mean --memory"),
    (&["--capadd=CHOWN"], "did you mean --cap-add"),
    (&["-itZ"], "-Z"),
    (&["--publish", "80:80"], "add --network bridge"),
    (&["-p", "80:80"], "add --network bridge"),
    (&["--restart=sometimes"], "--restart"),
    (&["--gpus=all"], "--gpus is not supported"),
    (&["--rm=perhaps"], "neither true nor false"),
    (&["--pids-limit=many"], "--pids-limit"),
    (&["--memory=1x"], "--memory"),
    (&["--memory=1k"], "6 MiB"),
    (&["--memory=64m", "--memory-swap=32m"], "--memory-swap"),
    (&["--memory-swap=1g"], "--memory-swap needs --memory"),
    (&["--memory=8m", "--memory-reservation=9m"], "--memory-reservation"),
    (&["--memory-swappiness=101"], "--memory-swappiness"),
    (&["--cpus=0"], "--cpus"),
    (&["--cpus=10000"], "more than this machine has"),
    (&["--cpus=1", "--cpu-quota=5000"], "--cpus and --cpu-quota"),
    (&["--cpu-period=1"], "--cpu-period"),
    (&["--cpu-quota=1"], "--cpu-quota"),
    (&["--cpu-shares=999999"], "--cpu-shares"),
    (&["--cpuset-cpus=9999"], "--cpuset-cpus"),
    (&["--cpuset-cpus=x"], "--cpuset-cpus"),
    (&["--blkio-weight=5"], "--blkio-weight"),
    (&["--device-read-bps=/dev/null"], "--device-read-bps"),
    (&["--device-read-bps=/dev/no-such-disk:1m"], "/dev/no-such-disk"),
    (&["--device=/dev/no-such-device"], "/dev/no-such-device"),
    (&["--device=relative"], "absolute"),
    (&["--device-cgroup-rule=x"], "--device-cgroup-rule"),
    (&["--cap-add=NOTHING"], "NOTHING"),
    (&["--cap-drop=NOTHING"], "NOTHING"),
    (&["--security-opt=bogus=1"], "bogus"),
    (&["--security-opt=seccomp=/no/such/profile"], "/no/such/profile"),
    (&["--security-opt=seccomp={\"defaultAction\":\"SCMP_ACT_NOPE\"}"], "SCMP_ACT_NOPE"),
    (&["--security-opt=label=type:x"], "SELinux"),
    (&["--security-opt=apparmor=no-such-profile"], "AppArmor"),
    (&["--sysctl=kernel.core_pattern=x"], "kernel.core_pattern"),
    (&["--sysctl=net.ipv4.ip_forward"], "--sysctl"),
    (&["--network=host", "--sysctl=net.ipv4.ip_forward=1"], "namespace"),
    (&["--ulimit=nofile"], "--ulimit"),
    (&["--ulimit=nofile=2:1"], "soft limit"),
    (&["--network=mine"], "network mine"),
    (&["--pid=none"], "--pid"),
    (&["--ipc=mine"], "--ipc"),
    (&["--uts=host", "--hostname=x"], "--hostname"),
    (&["--cgroupns=x"], "--cgroupns"),
    (&["--hostname=a b"], "--hostname"),
    (&["--name=-x"], "--name"),
    (&["--name=a/b"], "--name"),
    (&["--workdir=relative"], "--workdir"),
    (&["--env==x"], "--env"),
    (&["--env-file=/no/such/file"], "/no/such/file"),
    (&["--label==x"], "--label"),
    (&["--log-driver=syslog"], "syslog"),
    (&["--volume=a/b:/data"], "invalid characters"),
    (&["--volume=data:/proc"], "/proc"),
    (&["--volume=/sys"], "/sys"),
    (&["--mount=type=volume,source=data,target=/dev"], "/dev"),
    (&["--volume=/data:rx"], "absolute"),
    (&["--volume=data:/data:rslave"], "not with volumes"),
    (&["--volume=/a:/b:rx"], "unknown option"),
    (&["--volume=/a:/"], "root"),
    (&["--mount=type=bind,source=/no/such/source,target=/b"], "/no/such/source"),
    (&["--mount=type=volume,source=../b,target=/b"], "invalid characters"),
    (&["--mount=type=volume,target=/b,volume-subpath=../x"], "volume-subpath"),
    (&["--mount=type=volume,target=/b,volume-opt=type=nfs"], "nfs"),
    (&["--mount=type=volume,target=/b,volume-driver=nfs"], "local is the only driver"),
    (&["--volume=data:/b", "--mount=type=volume,target=/b/"], "duplicate mount point"),
    (&["--mount=type=bind,target=/b"], "source="),
    (&["--tmpfs=relative"], "--tmpfs"),
    (&["--tmpfs=/t:bogus"], "--tmpfs"),
    (&["--tmpfs=/t", "--volume=/tmp:/t"], "duplicate mount point"),
    (&["--shm-size=x"], "--shm-size"),
    (&["--oom-score-adj=2000"], "--oom-score-adj"),
    (&["--cgroup-parent=../x"], ".."),
    (&["--user=nobody-here"], "nobody-here"),
    (&["--group-add=nobody-here"], "nobody-here"),
    (&["--pull=often"], "always, missing or never"),
    (&["--platform=x"], "OS/ARCHITECTURE"),
];

#[test]
fn every_bad_value_is_one_clear_error_and_leaves_nothing() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    for (flags, word) in WRONG {
        let done = stockade.run(flags, &["true"]);
        assert_eq!(done.code(), 125, "{done:?}");
        assert!(done.stdout.is_empty(), "{done:?}");
        assert!(done.stderr.starts_with("stockade: "), "{done:?}");
        assert!(done.stderr.lines().count() <= 2, "{done:?}");
        done.refuses(&[word]);
    }
    stockade.assert_gone();
    assert!(!Path::new("/a").exists() && !Path::new("/data").exists());
    let containers = stockade.data().join("containers");
    let left: Vec<_> =
        std::fs::read_dir(&containers).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(stockade.volumes(), Vec::<String>::new());
}

#[test]
fn commands_that_cannot_be() {
    requires!(root, stockade);
    let stockade = Stockade::new();
    for (words, code, word) in [
        (&["inspct"][..], 1, "did you mean inspect"),
        (&["pull", "host"], 1, "nothing is pulled for it"),
        (&["pull", "Alpine"], 1, "must be lowercase"),
        (&["run"], 1, "requires at least 1 argument"),
        (&["rm"], 1, "requires at least 1 argument"),
        (&["kill", "-s", "NOPE", "x"], 1, "NOPE"),
        (&["kill", "nobody"], 1, "no such container: nobody"),
        (&["rm", "nobody"], 1, "no such container: nobody"),
        (&["stop", "nobody"], 1, "no such container: nobody"),
        (&["wait", "nobody"], 1, "no such container: nobody"),
        (&["logs", "nobody"], 1, "no such container: nobody"),
        (&["attach", "nobody"], 1, "no such container: nobody"),
        (&["stop", "-t", "-5", "x"], 125, "--timeout"),
        (&["logs", "--tail", "few", "x"], 125, "--tail"),
        (&["ps", "--filter", "colour=x"], 125, "--filter"),
        (&["ps", "--format", "{{range .}}"], 125, "--format"),
        (&["ps", "extra"], 1, "extra"),
        (&["inspect", "--type", "service", "x"], 125, "--type"),
        (&["start", "-a", "x", "y"], 125, "more than one"),
        (&["--runtime", "no-such-runtime", "ps"], 125, "no-such-runtime"),
    ] {
        stockade.ask(words).exits(code).refuses(&[word]);
    }
}

#[test]
fn a_stockade_alone_says_what_is_missing() {
    requires!(root, stockade);
    let stockade = Stockade::new();
    let alone = stockade.folder().join("stockade");
    std::fs::copy(programs::built("stockade"), &alone).unwrap();
    let done = Call::new(&alone).args(["run", "--rm", "host", "true"]).run().exits(125);
    done.refuses(&["cargo build --release"]);
}

#[test]
fn folders_that_others_could_enter() {
    requires!(root, stockade);
    let stockade = Stockade::new();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::create_dir(stockade.data()).unwrap();
    std::fs::set_permissions(stockade.data(), open).unwrap();
    stockade.ask(&["ps"]).exits(125).refuses(&["chmod 700"]);
    std::fs::remove_dir(stockade.data()).unwrap();
}
