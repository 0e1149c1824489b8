//! `cargo xtask vm`: what this machine's kernel has not (AppArmor, cgroup v2 with controllers, an older kernel), in a virtual machine.
//!
//! `xtask/vm/boot` boots a stock kernel of Debian's over this machine's files and runs one command in it. [`lanes`] says which suites
//! are run on which kernel, and what each such machine offers; [`run`](mod@run) runs them and counts as `cargo xtask test` does; [`table`] writes
//! `docs/kernels.md`.

mod lanes;
mod run;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use crate::command::{folder, metadata};
use lanes::{Cgroup, Kernel, LANES, Lsm, Machine, Scope};
use run::Outcome;

/// Does what the words after `vm` say. What the command in the guest exits with is what this exits with.
///
/// # Errors
/// Words that the usage does not know, and a machine that cannot be made.
pub(crate) fn main(words: &[&str]) -> Result<ExitCode, String> {
    match words {
        ["--short", names @ ..] => suites(Scope::Short, names),
        ["--all", names @ ..] => suites(Scope::All, names),
        _ => {
            let (machine, command) = parse(words)?;
            let status = boot(machine, &[])?.args(command).stdin(Stdio::null()).status();
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
fn boot(machine: Machine, shares: &[&Path]) -> Result<Command, String> {
    let script = folder(&metadata()?, "workspace_root")?.join("xtask/vm/boot");
    let mut command = Command::new(script);
    command.args(["--kernel", machine.kernel.package(), "--cgroup", machine.cgroup.name()]);
    command.args(["--lsm", machine.lsm.name()]);
    shares.iter().for_each(|share| {
        command.arg("--share").arg(share);
    });
    command.arg("--");
    Ok(command)
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
    crate::tests::build()?;
    let outcomes = lanes(scope, names)?;
    if scope == Scope::All && names.is_empty() {
        let path = folder(&metadata()?, "workspace_root")?.join("docs/kernels.md");
        std::fs::write(&path, table::page(&outcomes)).map_err(|error| format!("{}: {error}", path.display()))?;
    }
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
    for lane in chosen.filter(|lane| scope == Scope::All || lane.short) {
        let start = Instant::now();
        let outcome = run::lane(lane, scope, &built, &target)?;
        eprintln!("xtask: {} took {:.0} s", lane.name, start.elapsed().as_secs_f32());
        outcomes.push(outcome);
    }
    Ok(outcomes)
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
