//! `stockade seccomp`: profiles looked at without a container, held against what a container with them does.

use stockade_testkit::{Stockade, requires};

#[test]
fn profiles_are_checked_by_name_and_place() {
    requires!(stockade);
    let stockade = Stockade::new();
    let wrong = stockade.folder().join("wrong.json");
    let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["opne"], "action": "SCMP_ACT_ALLOW"}]}"#;
    std::fs::write(&wrong, text).unwrap();
    let wrong = wrong.display().to_string();
    let checked = stockade.ask(&["seccomp", "check", "default", &wrong, "default+keyctl", "default+kectl", "nothing"]);
    assert_eq!(checked.code(), 1, "{checked:?}");
    assert_eq!(checked.stdout, "default: can be used\ndefault+keyctl: can be used\n");
    for words in [
        "unknown system call \"opne\"; did you mean \"open\"?",
        "did you mean \"keyctl\"?",
        "there is no seccomp profile nothing",
    ] {
        assert!(checked.stderr.contains(words), "{words}: {checked:?}");
    }
    let open = stockade.ask(&["seccomp", "show", "unconfined"]);
    assert!(open.code() == 125 && open.stderr.contains("unconfined has no filter"), "{open:?}");
}

#[test]
fn two_profiles_differ_in_what_was_changed() {
    requires!(stockade, x86_64);
    let stockade = Stockade::new();
    let same = stockade.ask(&["seccomp", "diff", "default", "builtin"]).ok();
    assert_eq!(same.stdout, "");
    let changed = stockade.ask(&["seccomp", "diff", "default", "default+keyctl-ptrace"]);
    assert_eq!((changed.code(), changed.stdout.as_str()), (1, "keyctl: EPERM -> allowed\nptrace: allowed -> EPERM\n"));
    let line = |flags: &[&str], call: &str| {
        let words = [&["seccomp", "show"], flags, &["default"]].concat();
        let shown = stockade.ask(&words).ok().stdout;
        shown.lines().find_map(|line| line.strip_prefix(call)?.strip_prefix(' ')).unwrap().trim().to_owned()
    };
    assert_eq!(line(&[], "mount"), "EPERM");
    assert_eq!(line(&["--cap-add", "SYS_ADMIN"], "mount"), "allowed");
    assert_eq!(line(&["--cap-drop", "ALL"], "chroot"), "EPERM");
    assert_eq!(line(&[], "clone3"), "ENOSYS");
    assert_eq!(
        line(&[], "socket"),
        "allowed if arg0 < 0x26, allowed if arg0 == 0x27, allowed if arg0 > 0x28; else EPERM"
    );
    let decided = stockade.ask(&["seccomp", "decide", "default", "socket", "40"]).ok();
    assert_eq!(decided.stdout, "socket(40): EPERM (no entry is about it: the default)\n");
    let sized = stockade.ask(&["seccomp", "stats", "default"]).ok();
    assert!(sized.stdout.contains("instructions: ") && sized.stdout.contains(" for one call"), "{sized:?}");
}

#[test]
fn a_container_has_the_changed_profile_and_says_so() {
    requires!(root, stockade, busybox_packed);
    let stockade = Stockade::new();
    let flags = ["--security-opt", "seccomp=default+unshare-chroot"];
    stockade.sh(&[], "chroot / true").ok();
    let done = stockade.sh(&flags, "unshare -U true && ! chroot / true");
    assert_eq!(done.code(), 0, "{done:?}");
    let id = stockade.detached(&flags, &["sleep", "60"]);
    assert_eq!(stockade.inspect(&id, "{{.HostConfig.SecurityOpt}}"), "[seccomp=default+unshare-chroot]");
    let refused = stockade.run(&["--security-opt", "seccomp=default+unshaer"], &["true"]);
    assert!(refused.code() == 125 && refused.stderr.contains("did you mean \"unshare\"?"), "{refused:?}");
}
