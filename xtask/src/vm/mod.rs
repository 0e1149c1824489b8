//! `cargo xtask vm`: what this machine's kernel has not (AppArmor, cgroup v2 with controllers, an older kernel), in a virtual machine.
//!
//! `xtask/vm/boot` boots a stock kernel of Debian's over this machine's files and runs one command in it. [`lanes`] says which suites
//! are run on which kernel, [`machine`] what each offers; [`run`](mod@run) runs them and counts as `cargo xtask test` does; [`table`] writes
//! `docs/matrix.md`.

mod lanes;
mod machine;
mod run;
mod table;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use stockade_testkit::programs;

use crate::command::{folder, metadata};
use lanes::{LANES, Scope};
use machine::{Cgroup, Kernel, Lsm, Machine};
use run::Outcome;

/// Does what the words after `vm` say. What the command in the guest exits with is what this exits with.
///
/// # Errors
/// Words that the usage does not know, and a machine that cannot be made.
pub(crate) fn main(words: &[&str]) -> Result<ExitCode, String> {
    match words {
        ["--short", names @ ..] => suites(Scope::Short, names),
        ["--all", names @ ..] => suites(Scope::All, names),
        ["--matrix"] => {
            matrix()?;
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            let (machine, command) = parse(words)?;
            let boot = boot(machine, &[])?;
            let status = Command::new("env").args(boot).args(command).stdin(Stdio::null()).status();
            let code = status.map_err(|error| format!("cannot start the virtual machine: {error}"))?.code();
            Ok(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(125)))
        }
    }
}

/// The machine that the options describe, and the command.
fn parse<'words>(words: &'words [&'words str]) -> Result<(Machine, &'words [&'words str]), String> {
    let mut machine = Machine { kernel: Kernel::Debian61, cgroup: Cgroup::V2, lsm: Lsm::AppArmor };
    let mut rest = words;
    loop {
        rest = match rest {
            ["--", command @ ..] if !command.is_empty() => return Ok((machine, command)),
            ["--kernel", value, rest @ ..] => {
                machine.kernel = Kernel::named(value).ok_or_else(|| unknown("kernel", value, "6.1 or 6.12"))?;
                rest
            }
            ["--cgroup", value, rest @ ..] => {
                machine.cgroup = Cgroup::named(value).ok_or_else(|| unknown("cgroup", value, "v1, hybrid or v2"))?;
                rest
            }
            ["--lsm", value, rest @ ..] => {
                machine.lsm = Lsm::named(value).ok_or_else(|| unknown("lsm", value, "apparmor or none"))?;
                rest
            }
            _ => {
                return Err("vm: no command after `--`, or an unknown option; `cargo xtask` tells the usage".to_owned());
            }
        };
    }
}

fn unknown(option: &str, value: &str, known: &str) -> String {
    format!("vm: --{option} {value}: it is {known}")
}

/// The command that boots `machine` with `shares` writable in place; the command in the guest is to be appended.
///
/// # Errors
/// If cargo does not say where the workspace is.
fn boot(machine: Machine, shares: &[&Path]) -> Result<Vec<OsString>, String> {
    let script = folder(&metadata()?, "workspace_root")?.join("xtask/vm/boot");
    let mut command = vec![script.into()];
    let options =
        ["--kernel", machine.kernel.package(), "--cgroup", machine.cgroup.name(), "--lsm", machine.lsm.name()];
    command.extend(options.map(OsString::from));
    for share in shares {
        command.extend(["--share".into(), share.into()]);
    }
    command.push("--".into());
    Ok(command)
}

/// The folder of the programs that are judged: the one that the environment names, or what is built as it ships.
fn judged(target: &Path) -> PathBuf {
    std::env::var_os(programs::BIN_DIR).map_or_else(|| target.join(programs::TARGET).join("release"), PathBuf::from)
}

/// CI's lanes. The programs must be built.
///
/// # Errors
/// What failed, in a line; more of it is printed.
pub(crate) fn short() -> Result<(), String> {
    crate::packages::install();
    crate::images::make()?;
    let failed: u64 = lanes(Scope::Short, &[])?.iter().map(|outcome| outcome.tally().failed).sum();
    if failed == 0 { Ok(()) } else { Err(format!("{failed} failed in the virtual machines")) }
}

/// Builds the programs and tests, runs the lanes of `scope` (those of `names`, if there are any), and prints the count.
///
/// # Errors
/// A name that is none of a lane's, and a build that fails.
fn suites(scope: Scope, names: &[&str]) -> Result<ExitCode, String> {
    if let Some(name) = names.iter().find(|name| !LANES.iter().any(|lane| lane.name == **name)) {
        let known: Vec<&str> = LANES.iter().map(|lane| lane.name).collect();
        return Err(format!("vm: there is no lane {name}; there are {}", known.join(", ")));
    }
    crate::packages::install();
    crate::images::make()?;
    if std::env::var_os(programs::BIN_DIR).is_none() {
        crate::tests::build()?;
    }
    let outcomes = lanes(scope, names)?;
    let (passed, failed, skipped) = outcomes.iter().fold((0, 0, 0), |sum, one| {
        let tally = one.tally();
        (sum.0 + tally.passed, sum.1 + tally.failed, sum.2 + tally.skipped)
    });
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the lanes one after the other: each has all processors. The programs and images must be there.
///
/// # Errors
/// A build of the tests that fails, or a folder that cannot be made.
pub(crate) fn lanes(scope: Scope, names: &[&str]) -> Result<Vec<Outcome>, String> {
    let target = folder(&metadata()?, "target_directory")?;
    let built = run::executables()?;
    let chosen = LANES.iter().filter(|lane| names.is_empty() || names.contains(&lane.name));
    let mut outcomes = Vec::new();
    for lane in chosen.filter(|lane| !names.is_empty() || lane.is_in(scope)) {
        let start = Instant::now();
        let mut outcome = run::lane(lane, scope, &built, &target)?;
        if outcome.failure.as_deref() == Some(run::STOPPED) {
            // Emulated kernels have stopped in code that they patch: once is the emulator's, twice is ours.
            eprintln!("xtask: {}: {}; it is booted once more", lane.name, run::STOPPED);
            outcome = run::lane(lane, scope, &built, &target)?;
        }
        let (tally, took) = (outcome.tally(), start.elapsed().as_secs_f32());
        let counts = format!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
        eprintln!("xtask: {}: {counts}, after {took:.0} s", lane.name);
        outcomes.push(outcome);
        if scope == Scope::All {
            // After each, because all of them take an hour: a run that is broken off, or of one lane, has told what it knows.
            matrix()?;
        }
    }
    Ok(outcomes)
}

/// Writes `docs/matrix.md`, of what the lanes said last.
///
/// # Errors
/// As reading and writing of files.
fn matrix() -> Result<(), String> {
    let places = metadata()?;
    let path = folder(&places, "workspace_root")?.join("docs/matrix.md");
    let page = table::page(&run::remembered(&folder(&places, "target_directory")?)?);
    std::fs::write(&path, page).map_err(|error| format!("{}: {error}", path.display()))
}

/// The folder of one lane, empty.
fn place(target: &Path, lane: &str) -> Result<PathBuf, String> {
    let folder = target.join("vm").join(lane);
    let made = match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(&folder),
    };
    made.map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_the_command() {
        let words = ["--kernel", "6.12", "--lsm", "none", "--cgroup", "hybrid", "--", "uname", "-r"];
        let (machine, command) = parse(&words).unwrap();
        assert_eq!(machine, Machine { kernel: Kernel::Debian612, cgroup: Cgroup::Hybrid, lsm: Lsm::None });
        assert_eq!(command, ["uname", "-r"]);
        for wrong in [&["uname"][..], &["--"], &["--kernel", "2.4", "--", "true"], &["--cgroup"], &[]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
