//! The walls around what unpacks: each is run against.

// Clippy knows tests by their attribute, which what they share does not have.
#![allow(clippy::unwrap_used)]

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use stockade_kernel::spawn;
use stockade_testkit::requires;

/// What `arguments` of `program` come to, with the folder `place` as the one descriptor that it gets.
fn run(program: &Path, place: &Path, arguments: impl Fn(&str) -> Vec<String>) -> Output {
    let folder = OwnedFd::from(std::fs::File::open(place).unwrap());
    // Not a number that the standard library uses meanwhile.
    let folder = rustix::io::fcntl_dupfd_cloexec(&folder, 40).unwrap();
    let mut command = Command::new(program);
    let number = spawn::only_with(&mut command, folder);
    command.args(arguments(&number.to_string())).env_clear().stdin(Stdio::null());
    spawn::unblock_signals(&mut command);
    command.output().unwrap()
}

/// What comes of one attack: what it says, or the signal that it dies of.
fn attack(place: &Path, what: &str) -> String {
    let here = std::env::current_exe().unwrap();
    let program = here.parent().unwrap().parent().unwrap().join("examples/attack");
    let output = run(&program, place, |folder| vec![folder.to_owned(), what.to_owned()]);
    match output.status.signal() {
        Some(signal) => format!("signal {signal}"),
        None => String::from_utf8(output.stdout).unwrap().trim().to_owned(),
    }
}

#[test]
fn whoever_takes_it_over_has_nothing() {
    requires!(root);
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("file"), "").unwrap();
    std::fs::write(place.path().parent().unwrap().join("outside-of-unpack"), "").unwrap();
    assert_eq!(attack(place.path(), "nothing"), "done");
    assert_eq!(attack(place.path(), "open file"), "done");
    for call in ["socket", "execute", "unshare", "signal", "mount", "chroot", "thread", "limit"] {
        assert_eq!(attack(place.path(), call), "signal 31", "{call}");
    }
    for path in ["/etc/passwd", "/proc/self/status", "../../../../etc/passwd", "../outside-of-unpack", "/dev/null"] {
        let said = attack(place.path(), &format!("open {path}"));
        assert!(said.contains("No such file"), "{path}: {said}");
    }
    for (what, answer) in [("overlay", "not permitted"), ("device", "Permission denied"), ("memory", "allocate")] {
        let said = attack(place.path(), what);
        assert!(said.contains(answer), "{what}: {said}");
    }
    std::fs::remove_file(place.path().parent().unwrap().join("outside-of-unpack")).unwrap();
}

#[test]
fn it_reads_nothing_unconfined() {
    requires!(root, setpriv);
    let place = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_stockade-unpack"));
    // Without CAP_SYS_ADMIN there is no namespace to go to.
    let setpriv = stockade_testkit::programs::on_path("setpriv").unwrap();
    let output = run(&setpriv, place.path(), |folder| {
        let rights = ["--bounding-set=-sys_admin", "--inh-caps=-all"].map(str::to_owned);
        rights
            .into_iter()
            .chain([program.display().to_string(), "none".to_owned(), folder.to_owned(), "host".to_owned()])
            .collect()
    });
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("{\"Unconfined\":"), "{said} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn a_user_who_starts_it_is_told_what_it_is() {
    let program = Path::new(env!("CARGO_BIN_EXE_stockade-unpack"));
    for arguments in [&[][..], &["gzip"], &["gzip", "-1"], &["bzip2", "3"], &["gzip", "3", "4"]] {
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("started by stockade"));
    }
}
