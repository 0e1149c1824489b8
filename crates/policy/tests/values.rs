//! Each flag's grammar: what it takes, and that everything else is an error.
#![allow(clippy::unwrap_used)] // An integration test is a test throughout; clippy excuses only test functions.

use std::fmt::Debug;
use std::str::FromStr;

use stockade_policy::devices::{DeviceFlag, parse_rule};
use stockade_policy::limits::{Tmpfs, ULIMITS, Ulimit, parse_size};
use stockade_policy::namespaces::{CgroupMode, IpcMode, NetworkMode, PidMode, UserMode, UtsMode};
use stockade_policy::resources::{ByteRate, CpuList, Cpus, DeviceWeight, OperationRate};
use stockade_policy::sysctl::{Owner, Sysctl};
use stockade_policy::{PolicyError, Seccomp, SecurityOptions};

/// All of `right` parse, none of `wrong` does.
fn table<T: FromStr<Err: Debug> + Debug>(right: &[&str], wrong: &[&str]) {
    for value in right {
        assert!(value.parse::<T>().is_ok(), "{value:?} is refused");
    }
    for value in wrong {
        assert!(value.parse::<T>().is_err(), "{value:?} is accepted");
    }
}

#[test]
fn namespaces() {
    table::<PidMode>(&["", "private", "host", "container:a1"], &["Host", "container:", "container:../x", "x", "none"]);
    table::<IpcMode>(&["none", "private", "shareable", "host", "container:x"], &["container", "hosts"]);
    table::<UtsMode>(&["", "host"], &["container:x", "none"]);
    table::<UserMode>(
        &[
            "",
            "host",
            "private",
            "auto",
            "keep-id",
            "container:x",
            "auto:size=1000",
            "auto:size=70000,uidmapping=0:1000:1,gidmapping=0:0:1,uidmapping=5:5:2",
        ],
        &[
            "nomap",
            "keep-id:uid=1",
            "auto:",
            "auto:size=0",
            "auto:size=-1",
            "auto:size=4294967296",
            "auto:uidmapping=0:0:0",
            "auto:uidmapping=0:0",
            "auto:uidmapping=4294967295:0:2",
            "auto:colour=red",
            "private:x",
            "container:",
            "container:a/b",
            "own",
        ],
    );
    table::<CgroupMode>(&["host", "private"], &["", "x"]);
    table::<NetworkMode>(&["none", "host", "bridge", "container:x"], &["", "mynet", "container:", "container:a/b"]);
}

#[test]
fn security_options() {
    let parse = |options: &[&str]| SecurityOptions::parse(options);
    let all = ["seccomp=unconfined", "apparmor:docker-default", "no-new-privileges", "systempaths=unconfined"];
    let parsed = parse(&all).unwrap();
    assert_eq!((parsed.seccomp, parsed.no_new_privileges, parsed.unmask), (Some(Seccomp::Unconfined), true, true));
    assert_eq!(parsed.notices.len(), 1, "the form with a colon is deprecated");
    assert!(!parse(&["no-new-privileges:false"]).unwrap().no_new_privileges);
    assert_eq!(parse(&["seccomp=/p.json"]).unwrap().seccomp, Some(Seccomp::File("/p.json".into())));
    for own in ["seccomp=default", "seccomp=builtin"] {
        assert_eq!(parse(&[own]).unwrap().seccomp, Some(Seccomp::Builtin));
    }
    let changed = parse(&["seccomp=default+io_uring_setup-ptrace"]).unwrap().seccomp.unwrap();
    assert_eq!(changed, Seccomp::Changed("+io_uring_setup-ptrace".parse().unwrap()));
    assert_eq!(changed.to_string(), "default+io_uring_setup-ptrace");
    for name in ["web", "default_web", "my-web", "unconfined-ptrace"] {
        assert_eq!(parse(&[&format!("seccomp={name}")]).unwrap().seccomp, Some(Seccomp::Named(name.to_owned())));
    }
    for wrong in ["seccomp=default+", "seccomp=default+ptrac", "seccomp=builtin-ptrace+ptrace", "seccomp="] {
        assert!(parse(&[wrong]).is_err(), "{wrong}");
    }
    assert_eq!(parse(&["seccomp={}"]).unwrap().seccomp, Some(Seccomp::Inline("{}".into())));
    assert!(parse(&["writable-cgroups=true"]).unwrap().writable_cgroups);
    assert!(parse(&["label=disable"]).is_ok());
    for label in ["label=type:x", "label:user:u", "label=nested"] {
        assert!(matches!(parse(&[label]), Err(PolicyError::SelinuxUnsupported(_))), "{label}");
    }
    let wrong = [
        "",
        "seccomp",
        "seccomp=",
        "apparmor=",
        "apparmor=a b",
        "apparmor",
        "no-new-privileges=maybe",
        "no-new-privilege",
        "systempaths=confined",
        "systempaths",
        "mask=/x",
        "unmask=all",
        "proc-opts=x",
        "credentialspec=x",
        "=",
        ":",
        "Seccomp=unconfined",
        "writable-cgroups=",
        "label",
        " seccomp=unconfined",
    ];
    for option in wrong {
        assert!(parse(&[option]).is_err(), "{option:?} is accepted");
    }
}

#[test]
fn cve_2022_0811_sysctls() {
    let parse = |text: &str| text.parse::<Sysctl>().map(|s| (s.name, s.value, s.namespace));
    assert_eq!(parse("net.core.somaxconn=9").unwrap(), ("net.core.somaxconn".into(), "9".into(), Owner::Network));
    assert_eq!(parse("net/ipv4/conf/eth0.1/mtu=9").unwrap().0, "net.ipv4.conf.eth0/1.mtu");
    assert_eq!(parse("kernel.sem=1 2 3 4").unwrap().2, Owner::Ipc);
    assert_eq!(parse("fs.mqueue.msg_max=9").unwrap().2, Owner::Ipc);
    assert_eq!(parse("kernel.domainname=x").unwrap().2, Owner::Uts);
    let wrong = [
        "",
        "=",
        "net.x",
        "net.x=",
        "kernel.core_pattern=x",
        "vm.swappiness=1",
        "fs.file-max=1",
        "kernel.shm_x=1",
        "kernel=1",
        "net.x=1+kernel.core_pattern=|/x",
        "net.x=1=2",
        "net.x=1\n2",
        "net.x=1 2",
        "net.x+y=1",
        "net..x=1",
        "net.=1",
        "../kernel/core_pattern=x",
        "net/../kernel/core_pattern=x",
        "net.ipv4.ping_group_range=0\t1",
        "kernel/core_pattern=x",
    ];
    table::<Sysctl>(&[], &wrong);
}

#[test]
fn devices() {
    let right = ["/dev/fuse", "/dev/fuse:rw", "/dev/a:/dev/b", "/dev/a:/dev/b:m"];
    let wrong = ["", "fuse", "/dev/a:b", "/dev/a:rr", "/dev/a:/dev/b:x", "/a:/b:r:w", "/a:/dev/../b", "/a:", "/a:/b:"];
    table::<DeviceFlag>(&right, &wrong);
    let flag: DeviceFlag = "/dev/fuse:rw".parse().unwrap();
    assert_eq!((flag.container.to_str(), flag.access.as_str()), (Some("/dev/fuse"), "rw"));
    for rule in ["a *:* rwm", "c 1:3 mr", "b 8:* w"] {
        assert!(parse_rule(rule).is_ok(), "{rule}");
    }
    assert_eq!(parse_rule("c 10:* r").unwrap().minor, None);
    for rule in ["", "c", "c 1:3", "c 1:3 x", "x 1:3 r", "c 1 r", "c -1:3 r", "c 1:3  r", "c 1:99999999999 r", "c :3 r"]
    {
        assert!(parse_rule(rule).is_err(), "{rule}");
    }
}

#[test]
fn ulimits() {
    for name in ULIMITS {
        assert!(format!("{name}=1:2").parse::<Ulimit>().is_ok(), "{name}");
    }
    let limit = "nofile=1024".parse::<Ulimit>().unwrap().0;
    assert_eq!((limit.kind.as_str(), limit.soft, limit.hard), ("RLIMIT_NOFILE", 1024, 1024));
    assert_eq!("core=-1".parse::<Ulimit>().unwrap().0.hard, u64::MAX);
    let wrong = [
        "",
        "nofile",
        "nofile=",
        "as=1",
        "NOFILE=1",
        "nofile=2:1",
        "nofile=-2",
        "nofile=1:2:3",
        "nofile=-1:1",
        "nofile=+1",
    ];
    table::<Ulimit>(&[], &wrong);
}

#[test]
fn sizes() {
    let size = |text| parse_size("--memory", text).ok();
    for (text, bytes) in [("1", 1), ("6m", 6 << 20), ("1.5G", 3 << 29), ("2kb", 2048), ("1KiB", 1024), ("1t", 1 << 40)]
    {
        assert_eq!(size(text), Some(bytes), "{text}");
    }
    for text in ["", "m", "-1", "1x", "1 m", "1..2", ".5", "1e3", "9999999999999999999", "16000p", "0x10", "1mm", "1.k"]
    {
        assert_eq!(size(text), None, "{text}");
    }
}

#[test]
fn resource_values() {
    table::<Cpus>(
        &["1", "1.5", "0.01", ".5", "2."],
        &["", "0", "-1", "1e3", "0.001", ".", "1.0000000001", "99999999999999"],
    );
    table::<CpuList>(&["0", "0-3,7", "1,1"], &["", "-", "1-", "3-1", "0,,1", "a", "0 1", "999999", "0-1-2", "0\n"]);
    table::<ByteRate>(&["/dev/sda:1mb"], &["", "/dev/sda", "sda:1", "/dev/sda:", "/dev/sda:-1", "/dev/sda:x"]);
    table::<DeviceWeight>(&["/dev/sda:10", "/dev/sda:1000", "/dev/sda:0"], &["/dev/sda:9", "/dev/sda:1001", "sda:10"]);
    table::<OperationRate>(&["/dev/sda:100"], &["/dev/sda:1k", "/dev/sda:+1", "/dev/sda:", "/tmp/x:1"]);
}

#[test]
fn tmpfs() {
    let options = |text: &str| text.parse::<Tmpfs>().unwrap().0.options.join(",");
    assert_eq!(options("/run"), "noexec,nosuid,nodev");
    assert_eq!(options("/run:size=1m,exec"), "nosuid,nodev,size=1m,exec");
    let right = ["/a:rw,mode=1777,uid=1,gid=2,nr_inodes=1k,size=50%"];
    let wrong = [
        "",
        "run",
        "/",
        "//",
        "/a/../b",
        "/a:bind",
        "/a:size=",
        "/a:size=x",
        "/a:mode=9",
        "/a:uid=-1",
        "/a:context=x",
        "/a:size=1mm",
    ];
    table::<Tmpfs>(&right, &wrong);
}
