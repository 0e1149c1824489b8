//! What the kernel says is in force is what was loaded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use stockade_kernel::procfs::{Procfs, Subject};
use stockade_seccomp::architecture::Arch;
use stockade_seccomp::interpret::Shown;
use stockade_seccomp::model::{Action, Flags};
use stockade_seccomp::observe::{self, Mode, Observed};
use stockade_seccomp::support::{Lacking, Support};
use stockade_seccomp::syscall::Syscall;
use stockade_seccomp::{Compiled, Profile, Target, apply};
use stockade_testkit::requires;

/// In a copy of this test: the sections to load.
const SECTIONS: &str = "STOCKADE_TEST_SECTIONS";

const CHMOD: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
    "syscalls": [{"names": ["chmod", "mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]}"#;

fn compiled(section: &str) -> Compiled {
    stockade_seccomp::load_or_compile(section.as_bytes(), None).unwrap()
}

/// Our own profile, as a runtime is given it, for all threads of a process.
fn builtin() -> String {
    let filter = Profile::builtin().unwrap().resolve(&Target::here(&["CAP_SYS_CHROOT"])).unwrap();
    let mut section = serde_json::to_value(filter.to_oci()).unwrap();
    section["flags"] = serde_json::json!(["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]);
    section.to_string()
}

/// A copy of this program whose threads are filtered.
struct Filtered(Child);

impl Filtered {
    fn by(sections: &[&str]) -> Self {
        let arguments = ["--exact", "load_and_wait", "--nocapture", "--test-threads=1"];
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(arguments)
            .env(SECTIONS, serde_json::to_string(sections).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let loaded = lines.map(Result::unwrap).any(|line| line.ends_with("loaded"));
        assert!(loaded, "the copy ended early");
        Self(child)
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Filtered {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// No test but the copy's part: loads what it is told and waits.
#[test]
fn load_and_wait() {
    let Ok(sections) = std::env::var(SECTIONS) else { return };
    rustix::thread::set_no_new_privs(true).unwrap();
    for section in serde_json::from_str::<Vec<String>>(&sections).unwrap() {
        assert!(apply(&compiled(&section)).unwrap().is_none());
    }
    println!("loaded");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn what_was_applied_is_observed() {
    requires!(root);
    let chmod = CHMOD.replace("\"syscalls\"", "\"flags\": [\"SECCOMP_FILTER_FLAG_TSYNC\"], \"syscalls\"");
    let builtin = builtin();
    let child = Filtered::by(&[&builtin, &chmod]);
    let procfs = Procfs::host().unwrap();
    let attached = observe::filters(&procfs, child.pid()).unwrap();
    assert_eq!(attached.len(), 2);
    assert!(attached[0].is(&compiled(&builtin)) && attached[1].is(&compiled(&chmod)));
    assert!(!attached[0].is(&compiled(&chmod)));
    let status = procfs.status(Subject::Pid(child.pid())).unwrap();
    assert_eq!(observe::of_status(&status).unwrap(), Observed { mode: Mode::Filter, filters: Some(2) });
    let answer = |name: &str| {
        let number = Syscall::from_name(name).unwrap().number(Arch::NATIVE).unwrap();
        observe::answer(&attached, &Shown { number, audit: Arch::NATIVE.audit(), arguments: None })
    };
    assert_eq!(answer("read"), Some(Action::Allow));
    assert_eq!(answer("chmod"), Some(Action::Errno(13)));
    assert_eq!(answer("umount2"), Some(Action::Errno(1)));
    // Both filters deny it: the latest tells the errno.
    assert_eq!(answer("mount"), Some(Action::Errno(13)));
    assert_eq!(answer("socket"), None);
}

#[test]
fn a_thread_without_a_filter_has_none() {
    requires!(root);
    let child = Filtered::by(&[]);
    let procfs = Procfs::host().unwrap();
    assert!(observe::filters(&procfs, child.pid()).unwrap().is_empty());
    let status = procfs.status(Subject::Pid(child.pid())).unwrap();
    assert_eq!(observe::of_status(&status).unwrap(), Observed { mode: Mode::Disabled, filters: Some(0) });
    let shown = Shown { number: 0, audit: Arch::NATIVE.audit(), arguments: None };
    assert_eq!(observe::answer(&[], &shown), Some(Action::Allow));
}

#[test]
fn this_thread_sees_its_own_filter_counted() {
    let observed = std::thread::spawn(|| {
        rustix::thread::set_no_new_privs(true).unwrap();
        let procfs = Procfs::host().unwrap();
        assert!(apply(&compiled(CHMOD)).unwrap().is_none());
        observe::of_status(&procfs.status(Subject::Myself).unwrap()).unwrap()
    });
    let observed = observed.join().unwrap();
    assert_eq!(observed.mode, Mode::Filter);
    assert!(observed.filters.is_none_or(|filters| filters == 1), "{observed:?}");
}

#[test]
fn the_kernel_does_what_it_says() {
    let support = Support::probe().unwrap();
    let known = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap();
    // The file has the kernel's words, and as many as there are actions.
    assert_eq!(support.actions.len(), known.split_whitespace().count(), "{known}");
    assert!(support.flags.contains(Flags::TSYNC | Flags::LOG | Flags::SPEC_ALLOW));
    for flag in support.flags.iter() {
        let names: Vec<_> = flag.oci_names().collect();
        let section = serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": names}).to_string();
        let compiled = compiled(&section);
        support.suffices(&compiled).unwrap();
        Support::probe_for(&compiled).unwrap().suffices(&compiled).unwrap();
        // TSYNC would filter the other tests; a thread of a process of its own shows it above.
        if flag != Flags::TSYNC {
            let load = move || {
                rustix::thread::set_no_new_privs(true).unwrap();
                apply(&compiled).map(drop)
            };
            std::thread::spawn(load).join().unwrap().unwrap();
        }
    }
}

#[test]
fn what_is_lacking_is_named() {
    let notifying = r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent", "flags":
        ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}"#;
    let whole = Support::probe().unwrap();
    let compiled = compiled(notifying);
    whole.suffices(&compiled).unwrap();
    let needed = Support::probe_for(&compiled).unwrap();
    needed.suffices(&compiled).unwrap();
    assert_eq!((needed.listener, needed.flags), (true, Flags::TSYNC | Flags::WAIT_KILLABLE_RECV));
    assert_eq!(needed.actions, [Action::KillProcess, Action::Notify, Action::Allow]);
    let without = |change: &dyn Fn(&mut Support)| {
        let mut support = whole.clone();
        change(&mut support);
        support.suffices(&compiled)
    };
    let action = without(&|support| support.actions.retain(|action| *action != Action::Notify));
    assert_eq!(action, Err(Lacking::Action(Action::Notify)));
    assert_eq!(action.unwrap_err().to_string(), "this kernel does not know SCMP_ACT_NOTIFY");
    assert_eq!(without(&|support| support.listener_with_tsync = false), Err(Lacking::Flags(Flags::TSYNC)));
    let killable = without(&|support| support.flags -= Flags::WAIT_KILLABLE_RECV);
    assert_eq!(killable, Err(Lacking::Flags(Flags::WAIT_KILLABLE_RECV)));
}
