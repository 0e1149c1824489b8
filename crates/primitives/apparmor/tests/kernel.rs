//! The default profile on a real kernel: loaded, applied, verified, enforced. Runs where AppArmor and its compiler are.
#![allow(clippy::unwrap_used)] // An integration test is a test throughout; clippy excuses only test functions.

use std::process::{Command, Output};

use stockade_apparmor::{DEFAULT_PROFILE, Load, Mode, ProfileName, Selection, Support, apply, load, observe, plan};
use stockade_kernel::procfs::{Procfs, Subject};

/// What this machine offers, if that is enough.
fn support() -> Option<Support> {
    let support = Support::probe().unwrap();
    let root = rustix::process::geteuid().is_root();
    if support.enabled && support.loaded.is_some() && support.parser.is_some() && root {
        return Some(support);
    }
    println!("skipped: needs root, AppArmor and apparmor_parser");
    None
}

/// Runs a shell under `profile`, from a thread of its own: what is set for the next exec is a thread's, and a child's of it.
fn run(profile: &ProfileName, script: &str) -> Output {
    std::thread::scope(|scope| {
        let shell = scope.spawn(|| {
            apply::on_exec(&Procfs::host().unwrap(), profile).unwrap();
            Command::new("/bin/sh").args(["-c", script]).output().unwrap()
        });
        shell.join().unwrap()
    })
}

#[test]
fn the_default_is_loaded_once_applied_and_enforced() {
    let Some(support) = support() else { return };
    let state = tempfile::tempdir().unwrap();
    let memory = state.path().join("apparmor-stockade-default.sha256");
    let name = load::ensure(&Load::Own, &support, state.path()).unwrap();
    let written = std::fs::metadata(&memory).unwrap().modified().unwrap();
    let support = Support::probe().unwrap();
    assert_eq!(support.find(DEFAULT_PROFILE).unwrap().mode, Mode::Enforce);
    load::ensure(&Load::Own, &support, state.path()).unwrap();
    assert_eq!(std::fs::metadata(&memory).unwrap().modified().unwrap(), written, "loaded once");
    std::fs::write(&memory, "another text").unwrap();
    load::ensure(&Load::Own, &support, state.path()).unwrap();
    assert_eq!(std::fs::read_to_string(&memory).unwrap().len(), 64, "reloaded when it changed");

    let output = run(&name, "cat /proc/self/attr/current");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "stockade-default (enforce)\n");
    let denied = [
        "mount -t tmpfs none /mnt",
        "umount /dev/shm",
        "echo core >/proc/sys/kernel/core_pattern",
        "echo 1 >/proc/sys/vm/drop_caches",
        "echo h >/proc/sysrq-trigger",
        "cat /proc/kcore",
        "cat /sys/kernel/security/lsm",
        "kill -0 $PPID",
        "cat /proc/$PPID/environ",
    ];
    for script in denied {
        assert!(!run(&name, script).status.success(), "{script} is not denied");
    }
    let allowed =
        ["echo x >/tmp/file", "cat /sys/kernel/mm/transparent_hugepage/enabled >/dev/null || true", "kill -0 $$"];
    for script in allowed {
        let output = run(&name, script);
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_file_is_loaded_and_others_are_refused() {
    let Some(support) = support() else { return };
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        std::fs::write(folder.path().join(file), text).unwrap();
        Load::File(folder.path().join(file))
    };
    let one = write("one", "profile stockade-test-one { file, }\n");
    let name = load::ensure(&one, &support, folder.path()).unwrap();
    assert_eq!(name.as_str(), "stockade-test-one");
    let output = run(&name, "cat /proc/self/attr/current");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "stockade-test-one (enforce)\n");
    let two = write("two", "profile stockade-a { file, }\nprofile stockade-b { file, }\n");
    let broken = write("broken", "profile x { nonsense }\n");
    for wrong in [two, broken, Load::File(folder.path().join("absent")), Load::File(folder.path().to_owned())] {
        assert!(load::ensure(&wrong, &support, folder.path()).is_err(), "{wrong:?}");
    }
}

#[test]
fn what_is_not_loaded_cannot_be_applied() {
    let Some(support) = support() else { return };
    let absent: ProfileName = "stockade-test-absent".parse().unwrap();
    assert!(plan(&Selection::Name(absent.clone()), &support, false).is_err());
    let procfs = Procfs::host().unwrap();
    assert!(apply::on_exec(&procfs, &absent).is_err());
    assert_eq!(observe::of(&procfs, Subject::Myself).unwrap().to_string(), "unconfined");
}

#[test]
fn without_apparmor_nothing_can_be_applied() {
    if Support::probe().unwrap().enabled {
        println!("skipped: needs a kernel without AppArmor");
        return;
    }
    assert!(apply::on_exec(&Procfs::host().unwrap(), &ProfileName::stockade_default()).is_err());
}

/// What has the name of Stockade's own would be every other container's. The compiler tells names on every kernel.
#[test]
fn a_file_cannot_take_the_place_of_the_default_profile() {
    let Some(parser) = Support::probe().unwrap().parser else {
        println!("skipped: needs apparmor_parser");
        return;
    };
    let support =
        Support { enabled: true, loaded: Some(Vec::new()), stacking: false, parser: Some(parser), may_load: true };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile");
    std::fs::write(&path, "profile stockade-default flags=(complain) { file, }\n").unwrap();
    let refused = load::ensure(&Load::File(path.clone()), &support, folder.path()).unwrap_err();
    assert!(matches!(&refused, load::LoadError::Own(named) if *named == path), "{refused:?}");
}
