//! CVE-2019-5736: the running program is attacked through `/proc/PID/exe`, sealed and, to show that the attack is one, not.
//!
//! The program under attack is a copy of this one, so it brings its own harness. Needs root.

// Clippy knows tests by their attribute, which a program with a harness of its own does not have.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use rustix::process::{WaitOptions, waitpid};
use stockade_kernel::clone::{Forked, Request, clone3};
use stockade_kernel::exec::exit_now;
use stockade_kernel::namespace::{Namespaces, unshare};
use stockade_kernel::sealed;

type Case = (&'static str, fn());

const CASES: &[Case] = &[
    ("cve_2019_5736_an_overlay_can_not_be_written", an_overlay_can_not_be_written),
    ("cve_2019_5736_a_memfd_can_not_be_written", a_memfd_can_not_be_written),
    ("cve_2019_5736_the_attack_works_on_what_is_not_sealed", the_attack_works_on_what_is_not_sealed),
    ("arguments_environment_and_descriptors_stay", arguments_environment_and_descriptors_stay),
    ("the_marker_seals_nothing", the_marker_seals_nothing),
    ("an_overlay_that_is_mounted_is_not_sealed", an_overlay_that_is_mounted_is_not_sealed),
    ("who_starts_it_sealed_saves_the_second_execution", who_starts_it_sealed_saves_the_second_execution),
];

fn main() -> ExitCode {
    let mode = std::env::args().nth(1).unwrap_or_default();
    match mode.as_str() {
        "ensure" => return report(sealed::ensure().map(|how| format!("{how:?}"))),
        "plain" => return report(Ok("Plain".to_owned())),
        _ => {}
    }
    let root = rustix::process::geteuid().is_root();
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in CASES.iter().filter(|_| root) {
        let ok = std::panic::catch_unwind(case).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        if ok { passed += 1 } else { failed += 1 }
    }
    let ignored = if root { 0 } else { CASES.len() };
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the program under attack does: says how it is sealed and what it was given, and waits for the end of its input.
fn report(how: Result<String, sealed::SealError>) -> ExitCode {
    let how = match how {
        Ok(how) => how,
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let name = std::fs::read_to_string("/proc/self/comm").unwrap();
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let mut variables: Vec<_> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    variables.sort();
    let kept = std::fs::read_link("/proc/self/fd/9").is_ok();
    println!("{how}|{}|{arguments:?}|{variables:?}|{kept}", name.trim_end());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    ExitCode::SUCCESS
}

/// A copy of this program that may be destroyed.
struct Victim {
    folder: tempfile::TempDir,
    content: Vec<u8>,
}

impl Victim {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::copy(std::env::current_exe().unwrap(), folder.path().join("victim")).unwrap();
        let content = std::fs::read(folder.path().join("victim")).unwrap();
        Self { folder, content }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("victim")
    }

    fn command(&self, mode: &str) -> Command {
        let mut command = Command::new(self.path());
        command.arg(mode).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    fn is_whole(&self) -> bool {
        std::fs::read(self.path()).unwrap() == self.content
    }
}

/// The first line that the program says.
fn line(child: &mut Child) -> String {
    let (mut line, mut byte) = (String::new(), [0]);
    let output = child.stdout.as_mut().unwrap();
    while output.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0].into());
    }
    line
}

/// Everything that a container's root can try with the link of a process that it sees: opened for writing while it runs, and
/// by descriptors kept until it does not. True if something could be written.
fn attack(child: &mut Child) -> bool {
    let link = format!("/proc/{}/exe", child.id());
    let path_only = rustix::fs::OFlags::PATH.bits() as i32;
    let kept = [path_only, 0].map(|flags| OpenOptions::new().read(true).custom_flags(flags).open(&link).unwrap());
    let again = |file: &File| format!("/proc/self/fd/{}", file.as_raw_fd());
    let paths = [link, again(&kept[0]), again(&kept[1])];
    let mut open = attempts(&paths);
    drop(child.stdin.take());
    child.wait().unwrap();
    open.extend(attempts(&paths[1..]));
    // A sealed memfd can be opened for writing, and then not be written.
    open.iter_mut().filter_map(|file| file.write_all(b"#!/bin/sh\n").ok()).count() > 0
}

fn attempts(paths: &[String]) -> Vec<File> {
    let mut open = Vec::new();
    for path in paths {
        open.extend(OpenOptions::new().write(true).open(path));
        open.extend(OpenOptions::new().read(true).append(true).open(path));
        open.extend(OpenOptions::new().write(true).truncate(true).open(path));
    }
    open
}

fn an_overlay_can_not_be_written() {
    let victim = Victim::new();
    let mut child = victim.command("ensure").spawn().unwrap();
    assert!(line(&mut child).starts_with("Overlay|"));
    assert!(!attack(&mut child));
    assert!(victim.is_whole());
}

fn a_memfd_can_not_be_written() {
    let victim = Victim::new();
    // Who has no privileges can not make an overlay.
    let mut child = victim.command("ensure").uid(1000).gid(1000).spawn().unwrap();
    assert!(line(&mut child).starts_with("Memfd|"));
    assert!(!attack(&mut child));
    assert!(victim.is_whole());
}

fn the_attack_works_on_what_is_not_sealed() {
    let victim = Victim::new();
    let mut child = victim.command("plain").spawn().unwrap();
    assert!(line(&mut child).starts_with("Plain|"));
    assert!(attack(&mut child));
    assert!(!victim.is_whole());
}

fn arguments_environment_and_descriptors_stay() {
    let victim = Victim::new();
    let script = format!("exec 9</dev/null; exec {} ensure 'a b' ''", victim.path().display());
    let mut command = Command::new("sh");
    command.args(["-c", &script]).env_clear().envs([("EMPTY", ""), ("A", "b=c")]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let said = line(&mut child);
    assert!(said.starts_with("Overlay|victim|[\"ensure\", \"a b\", \"\"]|[\"A=b=c\", \"EMPTY=\""), "{said}");
    assert!(said.ends_with("|true") && !said.contains("STOCKADE"), "{said}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

fn the_marker_seals_nothing() {
    let victim = Victim::new();
    let output = victim.command("ensure").env("STOCKADE_SEALED", "1").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("does not run from one"));
}

/// Runs `case` in a child, which ends with it.
fn in_a_child(case: impl FnOnce() -> Infallible + std::panic::UnwindSafe) -> Option<i32> {
    match clone3(&Request::default()).unwrap() {
        Forked::Child => exit_now(u8::from(std::panic::catch_unwind(case).is_err())),
        Forked::Parent { pid, .. } => waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap().1.exit_status(),
    }
}

fn an_overlay_that_is_mounted_is_not_sealed() {
    let victim = Victim::new();
    let status = in_a_child(|| {
        unshare(Namespaces::MOUNT).unwrap();
        let below = victim.folder.path().display().to_string();
        let run = |script: &str| assert!(Command::new("sh").args(["-ec", script]).status().unwrap().success());
        run("mount --make-rprivate /; mount -t tmpfs none /mnt; mkdir /mnt/upper /mnt/work /mnt/all");
        run(&format!("mount -t overlay -o ro,lowerdir={below},upperdir=/mnt/upper,workdir=/mnt/work none /mnt/all"));
        // The marker forbids another execution, so that the answer is about this one.
        let mut command = Command::new("/mnt/all/victim");
        let output = command.arg("ensure").env("STOCKADE_SEALED", "1").output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("does not run from one"));
        exit_now(7)
    });
    assert_eq!(status, Some(7));
}

fn who_starts_it_sealed_saves_the_second_execution() {
    let victim = Victim::new();
    let path = CString::new(victim.path().as_os_str().as_bytes()).unwrap();
    let sealed = sealed::seal(&path).unwrap();
    let mut command = sealed.command("victim".as_ref());
    // The marker that the command sets forbids a second execution.
    command.arg("ensure").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.env("PATH", "/bin").env("KEPT", "yes").spawn().unwrap();
    let said = line(&mut child);
    assert!(said.starts_with("Overlay|victim|[\"ensure\"]|"), "{said}");
    assert!(said.contains("KEPT=yes") && !said.contains("STOCKADE_SEALED"), "{said}");
    assert!(!attack(&mut child));
    assert!(victim.is_whole());
}
