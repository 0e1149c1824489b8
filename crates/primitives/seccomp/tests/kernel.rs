//! Filters loaded into threads of the real kernel: the errnos that come back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::fd::AsFd;

use rustix::io::Errno;
use stockade_kernel::seccomp::{Abi, Probe, probe};
use stockade_seccomp::{Profile, Target, apply, load_or_compile};
use stockade_testkit::requires;

/// Loads `section` in a thread of its own, and does `attempt` there.
fn under<T: Send + 'static>(section: &str, attempt: impl FnOnce() -> T + Send + 'static) -> T {
    let compiled = load_or_compile(section.as_bytes(), None).unwrap();
    std::thread::spawn(move || {
        rustix::thread::set_no_new_privs(true).unwrap();
        assert!(apply(&compiled).unwrap().is_none());
        attempt()
    })
    .join()
    .unwrap()
}

#[test]
fn one_call_fails_and_no_other() {
    let file = std::env::temp_dir().join(format!("stockade-seccomp-{}", std::process::id()));
    std::fs::write(&file, "x").unwrap();
    let path = file.clone();
    let (denied, read) = under(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "args": []}]}"#,
        move || {
            let denied = rustix::fs::chmod(&path, rustix::fs::Mode::RUSR);
            (denied, std::fs::read_to_string(&path))
        },
    );
    assert_eq!(denied, Err(Errno::ACCESS));
    assert_eq!(read.unwrap(), "x");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn every_operator_gives_the_kernels_answer() {
    for (operator, value, second, denied) in [
        ("SCMP_CMP_NE", 10, 0, [1, 11]),
        ("SCMP_CMP_LT", 10, 0, [0, 9]),
        ("SCMP_CMP_LE", 10, 0, [9, 10]),
        ("SCMP_CMP_EQ", 10, 0, [10, 10]),
        ("SCMP_CMP_GE", 10, 0, [10, 11]),
        ("SCMP_CMP_GT", 10, 0, [11, 99]),
        ("SCMP_CMP_MASKED_EQ", 6, 2, [2, 10]),
    ] {
        let section = format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": ["lseek"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99,
                "args": [{{"index": 1, "value": {value}, "valueTwo": {second}, "op": "{operator}"}}]}}]}}"#
        );
        let answers = under(&section, || {
            let file = std::fs::File::open("/proc/self/exe").unwrap();
            let seek = |to| rustix::fs::seek(file.as_fd(), rustix::fs::SeekFrom::Start(to));
            [0, 1, 2, 6, 9, 10, 11, 99].map(|to| (to, seek(to)))
        });
        for (to, answer) in answers {
            let holds = match operator {
                "SCMP_CMP_NE" => to != value,
                "SCMP_CMP_LT" => to < value,
                "SCMP_CMP_LE" => to <= value,
                "SCMP_CMP_EQ" => to == value,
                "SCMP_CMP_GE" => to >= value,
                "SCMP_CMP_GT" => to > value,
                _ => to & value == second,
            };
            let expected = if holds { Err(Errno::ADDRNOTAVAIL) } else { Ok(to) };
            assert_eq!(answer, expected, "{operator} {value} for {to}");
            assert!(holds || !denied.contains(&to), "{operator} is to deny {to}");
        }
    }
}

#[test]
fn what_is_newer_than_the_profile_is_not_implemented() {
    let names: Vec<String> = (0..=334)
        .filter_map(|number| {
            stockade_seccomp::syscall::Syscall::from_number(stockade_seccomp::architecture::Arch::NATIVE, number)
        })
        .map(|syscall| format!("{:?}", syscall.name()))
        .filter(|name| name != "\"mkdir\"" && name != "\"mkdirat\"")
        .collect();
    let section = format!(
        r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": [{}], "action": "SCMP_ACT_ALLOW"}}]}}"#,
        names.join(",")
    );
    let (newer, older) = under(&section, || {
        let newer = rustix::fs::openat2(
            rustix::fs::CWD,
            "/",
            rustix::fs::OFlags::PATH,
            rustix::fs::Mode::empty(),
            rustix::fs::ResolveFlags::empty(),
        );
        (newer.map(|_| ()), rustix::fs::mkdir("/nowhere/at/all", rustix::fs::Mode::RWXU))
    });
    assert_eq!(newer, Err(Errno::NOSYS));
    assert_eq!(older, Err(Errno::PERM));
}

/// Every argument rule of the default profile, by each of the three entries of an x86-64 kernel, with and without bits that the
/// kernel does not read.
#[test]
fn the_default_profile_holds_by_every_entry() {
    requires!(x86_64);
    let filter = Profile::builtin().unwrap().resolve(&Target::here(&["CAP_CHOWN"])).unwrap();
    let section = serde_json::to_string(&filter.to_oci()).unwrap();
    const NEW_USER_NAMESPACE: u64 = 0x1000_0000;
    const SIGCHLD: u64 = 17;
    let denied = [
        (Probe::Socket, 38),
        (Probe::Socket, 40),
        (Probe::Personality, 1),
        (Probe::Personality, 0x4_0000),
        (Probe::Clone, NEW_USER_NAMESPACE | SIGCHLD),
        (Probe::Unshare, NEW_USER_NAMESPACE),
    ];
    let answers = under(&section, move || {
        let entries = [Abi::Native, Abi::X32, Abi::I386];
        let uppers = [0, 1 << 32, 1 << 63, 0xffff_ffff << 32];
        let mut answers = Vec::new();
        for abi in entries {
            for (call, first) in denied {
                for upper in uppers {
                    let answer = probe(call, abi, [first | upper, 0, 0, 0, 0, 0]).map_err(|error| error.raw_os_error());
                    answers.push((abi, call, first | upper, answer, Errno::PERM));
                }
            }
            let answer = probe(Probe::Unassigned, abi, [0; 6]).map_err(|error| error.raw_os_error());
            answers.push((abi, Probe::Unassigned, 0, answer, Errno::NOSYS));
        }
        let inet = probe(Probe::Socket, Abi::Native, [2, 1, 0, 0, 0, 0]);
        (answers, inet.is_ok())
    });
    for (abi, call, first, answer, expected) in answers.0 {
        assert_eq!(answer, Err(Some(expected.raw_os_error())), "{call:?}({first:#x}) by {abi:?}");
    }
    assert!(answers.1, "an AF_INET socket can be made");
}
