//! From the choice of a filter to OCI's section, and what is wrong with choices that cannot be met.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::error::Error;
use std::path::Path;

use serde_json::Value;
use stockade_capabilities::{CapSet, Capability};
use stockade_policy::seccomp::{Kernel, LARGEST_PROFILE};
use stockade_policy::{Seccomp, SeccompError, defaults};
use stockade_seccomp::architecture::Arch;
use stockade_seccomp::model::Action;
use stockade_seccomp::syscall::Syscall;
use stockade_seccomp::{Compiled, Profile, Target};
use stockade_testkit::requires;

const KERNEL: Kernel = Kernel { architecture: Arch::X86_64, version: (6, 1) };

fn default_set() -> CapSet {
    defaults::CAPABILITIES.iter().map(|entry| entry.value).collect()
}

fn resolve(choice: &Seccomp) -> Result<Option<Box<serde_json::value::RawValue>>, SeccompError> {
    choice.resolve(default_set(), KERNEL)
}

/// What the runtime makes of the section for a call without arguments.
fn answer(section: &serde_json::value::RawValue, call: &str) -> Action {
    let target = Target { architecture: Arch::X86_64, kernel: (0, 0), capabilities: &[] };
    let filter = Profile::parse_oci(section.get().as_bytes()).unwrap().resolve(&target).unwrap();
    let number = Syscall::from_name(call).unwrap().number(Arch::X86_64).unwrap();
    filter.decide(Arch::X86_64.audit(), number, &[0; 6]).action
}

/// The whole message, as the top of a program prints it.
fn message(error: &SeccompError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn file(folder: &Path, content: &[u8]) -> Seccomp {
    let path = folder.join("profile.json");
    std::fs::write(&path, content).unwrap();
    Seccomp::File(path)
}

#[test]
fn our_own_profile_follows_the_capabilities() {
    let section = resolve(&Seccomp::Builtin).unwrap().unwrap();
    assert_eq!(answer(&section, "chroot"), Action::Allow);
    assert_eq!(answer(&section, "mount"), Action::Errno(1));
    assert_eq!(answer(&section, "clone3"), Action::Errno(38));
    let without = Seccomp::Builtin.resolve(CapSet::EMPTY, KERNEL).unwrap().unwrap();
    assert_eq!(answer(&without, "chroot"), Action::Errno(1));
    let all = CapSet::up_to(Capability::CHECKPOINT_RESTORE);
    let all = Seccomp::Builtin.resolve(all, KERNEL).unwrap().unwrap();
    assert_eq!((answer(&all, "mount"), answer(&all, "clone3")), (Action::Allow, Action::Allow));
    assert_eq!(answer(&all, "io_uring_setup"), Action::Errno(1));
    let old = Seccomp::Builtin.resolve(default_set(), Kernel { version: (4, 7), ..KERNEL }).unwrap().unwrap();
    assert_eq!(answer(&old, "ptrace"), Action::Errno(1));
    let arm =
        Seccomp::Builtin.resolve(default_set(), Kernel { architecture: Arch::Aarch64, ..KERNEL }).unwrap().unwrap();
    let arm: Value = serde_json::from_str(arm.get()).unwrap();
    assert_eq!(arm["architectures"], serde_json::json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]));
}

/// So a container's creation need not try it.
#[test]
fn our_own_profile_can_be_compiled_for_whatever_capabilities_and_kernel() {
    let every: Vec<Capability> = CapSet::up_to(Capability::CHECKPOINT_RESTORE).iter().collect();
    let mut sets = vec![CapSet::EMPTY, default_set(), every.iter().copied().collect()];
    sets.extend(every.iter().map(|one| std::iter::once(*one).collect::<CapSet>()));
    sets.extend(every.iter().map(|one| every.iter().copied().filter(|other| other != one).collect::<CapSet>()));
    let profile = Profile::builtin().unwrap();
    for architecture in [Arch::X86_64, Arch::Aarch64, Arch::Riscv64] {
        for kernel in [(0, 0), (4, 7), (6, 1), (u32::MAX, 0)] {
            for set in &sets {
                let names: Vec<String> = set.iter().map(|capability| capability.to_string()).collect();
                let capabilities: Vec<&str> = names.iter().map(String::as_str).collect();
                let filter = profile.resolve(&Target { architecture, kernel, capabilities: &capabilities }).unwrap();
                let compiled = Compiled::new(&filter);
                assert!(compiled.is_ok(), "{architecture:?} {kernel:?} {capabilities:?}: {compiled:?}");
            }
        }
    }
}

#[test]
fn only_unconfined_is_without_a_filter() {
    assert!(resolve(&Seccomp::Unconfined).unwrap().is_none());
    assert!(resolve(&Seccomp::Inline(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#.to_owned())).unwrap().is_some());
}

#[test]
fn what_is_changed_is_our_own_but_for_that() {
    let changed = |text: &str| resolve(&Seccomp::Changed(text.parse().unwrap())).unwrap().unwrap();
    let section = changed("+io_uring_setup-ptrace+clone3");
    assert_eq!(answer(&section, "io_uring_setup"), Action::Allow);
    assert_eq!(answer(&section, "clone3"), Action::Allow);
    assert_eq!(answer(&section, "ptrace"), Action::Errno(1));
    assert_eq!(answer(&section, "mount"), Action::Errno(1));
    // Others keep their answers, to the last call.
    let own = resolve(&Seccomp::Builtin).unwrap().unwrap();
    let differing: Vec<&str> = Syscall::all()
        .filter(|call| {
            call.number(Arch::X86_64).is_some() && answer(&own, call.name()) != answer(&section, call.name())
        })
        .map(Syscall::name)
        .collect();
    assert_eq!(differing, ["clone3", "io_uring_setup", "ptrace"]);
}

#[test]
fn a_name_means_one_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("web.json"), r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
    let named = |name: &str| Seccomp::Named(name.to_owned()).profile(folder.path());
    assert!(named("web").unwrap().unwrap().profile.is_ok());
    let missing = named("wbe").unwrap_err();
    assert!(matches!(&missing, SeccompError::Missing { name, .. } if name == "wbe"), "{missing}");
    // The tests run in the package's folder, which has a folder of this name.
    std::fs::write(folder.path().join("src.json"), "{}").unwrap();
    assert!(matches!(named("src"), Err(SeccompError::Ambiguous { .. })));
    assert!(matches!(named("tests"), Err(SeccompError::NotAFile(_))));
}

#[test]
fn files_and_inline_profiles_say_the_same() {
    let text =
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"chmod","action":"SCMP_ACT_ERRNO","args":[]}]}"#;
    let folder = tempfile::tempdir().unwrap();
    let of_file = resolve(&file(folder.path(), text.as_bytes())).unwrap().unwrap();
    let inline = resolve(&Seccomp::Inline(text.to_owned())).unwrap().unwrap();
    assert_eq!(of_file.get(), inline.get());
    assert_eq!(answer(&inline, "chmod"), Action::Errno(1));
    assert_eq!(answer(&inline, "read"), Action::Allow);
}

#[test]
fn podmans_file_is_taken() {
    requires!(podman);
    let section = resolve(&Seccomp::File("/usr/share/containers/seccomp.json".into())).unwrap().unwrap();
    assert_eq!(answer(&section, "read"), Action::Allow);
    assert_eq!(answer(&section, "bpf"), Action::Errno(1));
    assert_eq!(answer(&section, "io_uring_setup"), Action::Errno(38));
}

#[test]
fn wrong_profiles_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile.json").display().to_string();
    for (text, words) in [
        ("", format!("the seccomp profile {path} cannot be used: not a seccomp profile: EOF")),
        ("[]", format!("{path} cannot be used: not a seccomp profile: ")),
        (r#"{"syscalls": []}"#, "missing field `defaultAction`".to_owned()),
        (r#"{"defaultAction": "SCMP_ACT_DENY"}"#, "defaultAction: unknown action \"SCMP_ACT_DENY\"".to_owned()),
        (
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["opne"], "action": "SCMP_ACT_ALLOW"}]}"#,
            "syscalls[0].names[0]: unknown system call \"opne\"; did you mean \"open\"?".to_owned(),
        ),
        (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, "defaultAction: SCMP_ACT_NOTIFY can not be the default".to_owned()),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]}"#,
            "listenerPath: is missing".to_owned(),
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent", "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_LOG"}, {"names": ["write"], "action": "SCMP_ACT_NOTIFY"}]}"#,
            format!("{path} cannot be used: syscalls[1] has SCMP_ACT_NOTIFY for write"),
        ),
    ] {
        let error = message(&resolve(&file(folder.path(), text.as_bytes())).unwrap_err());
        assert!(error.contains(&words), "{text}: {error}");
    }
    let inline = message(&resolve(&Seccomp::Inline("{".to_owned())).unwrap_err());
    assert!(
        inline.starts_with("the seccomp profile given in place cannot be used: not a seccomp profile: "),
        "{inline}"
    );
}

#[test]
fn what_is_no_profile_file_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.json");
    let error = resolve(&Seccomp::File(missing.clone())).unwrap_err();
    assert_eq!(
        message(&error),
        format!("cannot read the seccomp profile {}: No such file or directory (os error 2)", missing.display())
    );
    let pipe = folder.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    for path in [pipe, folder.path().to_owned(), "/dev/zero".into()] {
        let error = resolve(&Seccomp::File(path.clone())).unwrap_err();
        assert!(matches!(&error, SeccompError::NotAFile(found) if *found == path), "{}", message(&error));
    }
    let large = vec![b' '; LARGEST_PROFILE as usize + 1];
    assert!(matches!(resolve(&file(folder.path(), &large)), Err(SeccompError::TooLarge(_))));
    let large = String::from_utf8(large).unwrap();
    assert!(matches!(resolve(&Seccomp::Inline(large)), Err(SeccompError::TooLarge(_))));
}

/// A profile whose program the kernel would not take.
#[test]
fn a_profile_that_is_too_much_is_refused() {
    let conditions = |value: u64| {
        let args: Vec<_> = (0..4)
            .map(|index| serde_json::json!({"index": index, "value": value + (1 << 40), "op": "SCMP_CMP_GT"}))
            .collect();
        serde_json::json!({"names": ["mmap"], "action": "SCMP_ACT_ERRNO", "args": args})
    };
    let syscalls: Vec<_> = (0..400).map(conditions).collect();
    let text = serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": syscalls}).to_string();
    let error = resolve(&Seccomp::Inline(text)).err().map(|error| message(&error)).unwrap_or_default();
    assert!(error.contains("instructions, and the kernel takes 4096"), "{error}");
}
