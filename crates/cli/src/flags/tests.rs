//! What the flags of `create` and `run` ask for.

use clap::{CommandFactory, FromArgMatches, Parser};
use stockade_engine::Logging;
use stockade_engine::Request;
use stockade_engine::policy::Seccomp;
use stockade_engine::policy::namespaces::{CgroupMode, IpcMode, Mode, NetworkMode};
use stockade_engine::request::{Access, Missing};

use super::{Asked, CreateFlags};
use crate::grammar::network::Network;
use crate::grammar::pflag;

#[derive(Debug, Parser)]
#[command(name = "run", disable_help_flag = true)]
struct Only {
    #[command(flatten)]
    flags: CreateFlags,
}

fn flags(words: &[&str]) -> Result<CreateFlags, clap::Error> {
    let matches = pflag::impose(Only::command()).try_get_matches_from(["run"].iter().chain(words))?;
    Ok(Only::from_arg_matches(&matches)?.flags)
}

fn asked(words: &[&str]) -> Asked {
    let flags = flags(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    flags.request(&Network::default()).unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

fn request(words: &[&str]) -> Request {
    asked(words).request
}

#[test]
fn options_end_at_the_image() {
    let plain = request(&["host"]);
    assert_eq!((plain.image.to_string().as_str(), plain.command.len(), plain.remove), ("host", 0, false));
    for command in
        [&["sh", "-c", "a b"][..], &["-x", "--help", "--rm"], &["--", "sh", "--"], &["ls", "-h", "--name", "x"]]
    {
        let words = [&["--rm", "host"], command].concat();
        let request = request(&words);
        assert_eq!(request.command, command);
        assert!(request.remove && request.name.is_none() && request.hostname.is_none());
    }
    assert_eq!(request(&["--", "host", "--", "-x"]).command, ["--", "-x"]);
}

#[test]
fn flags_as_docker_reads_them() {
    let cluster = request(&["-it", "host"]);
    assert!(cluster.interactive && cluster.terminal);
    let cluster = request(&["-ituroot", "host"]);
    assert!(cluster.interactive && cluster.terminal && cluster.user.as_deref() == Some("root"));
    let explicit = request(&["--rm=false", "-i=true", "-t=0", "--init=T", "host"]);
    assert!(!explicit.remove && explicit.interactive && !explicit.terminal && explicit.init);
    // The word after a flag without a value is the image.
    assert_eq!(request(&["--rm", "true"]).image.to_string(), "docker.io/library/true");
    // The last of a flag that is no list counts, and a list keeps all in their order.
    let twice = request(&["--name", "ab", "--name=cd", "-e", "A=1", "-eB=2", "--env=C=-x", "-e", "-D=1", "host"]);
    assert_eq!(twice.name.unwrap().as_str(), "cd");
    assert_eq!(twice.env, ["A=1", "B=2", "C=-x", "-D=1"]);
    // A value may look like a flag.
    assert_eq!(request(&["-m", "8m", "--memory-swap", "-1", "host"]).options.resources.memory_swap, Some(-1));
    // Lists do not split at commas.
    assert_eq!(request(&["--cap-add", "A,B", "--cap-add", "C", "host"]).options.cap_add, ["A,B", "C"]);
    assert_eq!(request(&["--group-add", "1", "--group-add", "2", "host"]).groups, ["1", "2"]);
}

#[test]
fn the_process() {
    let all = request(&[
        "-w",
        "/w",
        "-u",
        "1:2",
        "--hostname",
        "box",
        "--entrypoint",
        "/e",
        "-l",
        "a=b",
        "--label",
        "c",
        "--log-driver",
        "none",
        "--cgroup-parent",
        "/p",
        "--name",
        "/web",
        "oci:x:y",
        "arg",
    ]);
    assert_eq!(all.working_dir.as_deref(), Some("/w"));
    assert_eq!((all.user.as_deref(), all.hostname.as_deref()), (Some("1:2"), Some("box")));
    assert_eq!(all.entrypoint.as_deref(), Some(&["/e".to_owned()][..]));
    assert_eq!(all.labels.into_iter().collect::<Vec<_>>(), [("a".into(), "b".into()), ("c".into(), String::new())]);
    assert_eq!(all.logging, Logging::parse("none", [].into()).unwrap());
    assert_eq!(all.cgroup_parent.as_deref(), Some("/p"));
    assert_eq!(all.name.unwrap().as_str(), "web");
    assert_eq!(all.command, ["arg"]);
    assert_eq!(request(&["--entrypoint", "", "host"]).entrypoint.as_deref(), Some(&[][..]));
    assert_eq!(request(&["--entrypoint=", "host"]).entrypoint.as_deref(), Some(&[][..]));
    let empty = request(&["--name=", "--hostname=", "-u", "", "--cgroup-parent=", "host"]);
    assert!(empty.name.is_none() && empty.hostname.is_none() && empty.user.is_none() && empty.cgroup_parent.is_none());
    assert_eq!(empty.logging, Logging::default());
    let logging = request(&["--log-driver=", "--log-opt", "max-size=1m", "--log-opt=tag=a=b", "host"]).logging;
    let options = [("max-size", "1m"), ("tag", "a=b")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(Ok(logging), Logging::parse("json-file", options.into()));
}

#[test]
fn the_walls() {
    let options = request(&[
        "--privileged",
        "--read-only",
        "--security-opt",
        "seccomp=unconfined",
        "--security-opt",
        "no-new-privileges",
        "--device",
        "/dev/null:/dev/x:r",
        "--device-cgroup-rule",
        "c 1:* rwm",
        "--ulimit",
        "nofile=1:2",
        "--sysctl",
        "net.a=1",
        "--network",
        "host",
        "--pid=host",
        "--ipc=none",
        "--uts=host",
        "--userns=host",
        "--cgroupns=host",
        "--shm-size=1m",
        "--oom-score-adj=-5",
        "host",
    ])
    .options;
    assert!(options.privileged && options.read_only && options.security.no_new_privileges);
    assert_eq!(options.security.seccomp, Some(Seccomp::Unconfined));
    assert_eq!(
        (options.devices.len(), options.device_rules.len(), options.ulimits.len(), options.sysctls.len()),
        (1, 1, 1, 1)
    );
    assert_eq!((options.network, options.pid.0, options.ipc), (NetworkMode::Host, Mode::Host, IpcMode::None));
    assert_eq!(
        (options.cgroup, options.shm_size, options.oom_score_adj),
        (Some(CgroupMode::Host), Some(1 << 20), Some(-5))
    );
    let usual = request(&["--cgroupns=", "--pid=", "--net", "none", "host"]).options;
    assert_eq!((usual.cgroup, usual.pid.0, usual.network), (None, Mode::Private, NetworkMode::None));
    let default = request(&["-p", "80", "host"]);
    assert_eq!(
        (default.options.network, default.network.attachments[0].network.as_str()),
        (NetworkMode::Bridge, "bridge")
    );
}

#[test]
fn the_limits() {
    let limits = request(&[
        "-m",
        "64m",
        "--memory-swap=1g",
        "--memory-reservation=32m",
        "--memory-swappiness=0",
        "--oom-kill-disable",
        "--cpus=1.5",
        "-c",
        "512",
        "--cpu-quota=50000",
        "--cpu-period=100000",
        "--cpuset-cpus=0-1",
        "--cpuset-mems=0",
        "--pids-limit=6",
        "--blkio-weight=20",
        "--blkio-weight-device=/dev/a:10",
        "--device-read-bps=/dev/a:1m",
        "--device-write-bps=/dev/a:1m",
        "--device-read-iops=/dev/a:1",
        "--device-write-iops=/dev/a:1",
        "host",
    ])
    .options
    .resources;
    assert_eq!(
        (limits.memory, limits.memory_swap, limits.memory_reservation),
        (Some(64 << 20), Some(1 << 30), Some(32 << 20))
    );
    assert_eq!((limits.memory_swappiness, limits.oom_kill_disable), (Some(0), true));
    assert_eq!((limits.cpu_shares, limits.cpu_quota, limits.cpu_period), (Some(512), Some(50_000), Some(100_000)));
    assert!(limits.cpus.is_some() && limits.cpuset_cpus.is_some() && limits.cpuset_mems.is_some());
    assert_eq!((limits.pids_limit, limits.blkio_weight), (Some(6), Some(20)));
    let lists = (limits.device_read_bps.len(), limits.device_write_bps.len(), limits.device_read_iops.len());
    assert_eq!((lists, limits.device_write_iops.len(), limits.blkio_weight_device.len()), ((1, 1, 1), 1, 1));
    assert_eq!(request(&["host"]).options.resources, stockade_engine::policy::resources::ResourceOptions::default());
}

#[test]
fn storage_and_notices() {
    let asked = asked(&[
        "-v",
        "/a:/b:ro,z",
        "--mount",
        "type=bind,src=/c,dst=/d",
        "--mount",
        "type=tmpfs,dst=/e",
        "--tmpfs",
        "/f:size=1m",
        "--oom-kill-disable",
        "host",
    ]);
    let binds: Vec<_> =
        asked.request.binds.iter().map(|bind| (bind.target.to_str().unwrap(), bind.access, bind.missing)).collect();
    assert_eq!(binds, [("/b", Access::ReadOnly, Missing::MakeFolder), ("/d", Access::ReadWrite, Missing::Refuse)]);
    assert_eq!(asked.request.options.tmpfs.len(), 2);
    assert_eq!(asked.notices.len(), 2, "{:?}", asked.notices);
    for words in
        [&["-v", "/a:/b", "-v", "/c:/b/", "host"][..], &["--tmpfs", "/b", "--mount", "type=bind,src=/a,dst=/b", "host"]]
    {
        let error = flags(words).unwrap().request(&Network::default()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("duplicate mount point"), "{error}");
    }
}

#[test]
fn what_no_flag_takes() {
    for words in [
        &["--rm=maybe", "host"][..],
        &["-m", "5x", "host"],
        &["--cpus=0", "host"],
        &["--cpu-shares=-1", "host"],
        &["--pids-limit=", "host"],
        &["--pids-limit=99999999999999999999", "host"],
        &["--blkio-weight=65536", "host"],
        &["-w", "relative", "host"],
        &["--name", "-x", "host"],
        &["--hostname", "a b", "host"],
        &["--pull=often", "host"],
        &["--platform=a/b/c/d", "host"],
        &["--network=a b", "host"],
        &["-p", "x", "host"],
        &["--dns=127.0.0.1", "host"],
        &["--cgroupns=x", "host"],
        &["-e", "=x", "host"],
        &["-l", "=x", "host"],
        &["--bogus", "host"],
        &["-itx", "host"],
        &["--rm"],
        &[],
    ] {
        assert!(flags(words).is_err(), "{words:?}");
    }
    for words in [
        &["Alpine"][..],
        &["--log-driver=syslog", "host"],
        &["-p", "80", "--network=none", "host"],
        &["--ip", "10.0.0.1", "--network=none", "host"],
        &["--network=host", "--network=net", "host"],
        &["--security-opt", "bogus", "host"],
        &["--device-cgroup-rule", "x", "host"],
        &["--log-driver=syslog", "host"],
        &["--env-file", "/no/such/file", "host"],
        &["--label-file", "/no/such/file", "host"],
    ] {
        assert!(flags(words).unwrap().request(&Network::default()).is_err(), "{words:?}");
    }
}
