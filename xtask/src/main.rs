//! The workbench: `cargo xtask test` runs every test that this machine can run; `cargo xtask ci` checks the form
//! of the code first. CI does nothing that these do not.
//!
//! The last line of a run of tests is `N passed, N failed, N skipped`.

mod bench;
mod budget;
mod command;
mod fuzz;
mod images;
mod packages;
mod stockade;
mod tests;
mod tidy;
mod vm;

use std::process::ExitCode;
use std::time::Instant;

use command::cargo;

const USAGE: &str = "usage: cargo xtask COMMAND
  ci             format, lints, tidy, release build, budget, CI's suites in virtual machines, tests
  test [FILTER]  install what the tests need, build, run all tests that this machine can run
  bench [start|exec|parallel|memory|seccomp...] [ROUNDS] [--v2] [--peer NAME=PATH]...
                 compare stake with crun, runc, youki and PATH, and with the floor, interleaved; nothing else should run
  bench images [ROUNDS [IMAGE...]]
                 compare pull and load with Podman, skopeo and umoci; images: debian, files, layers, large
  bench engine [ROUNDS]
                 compare the lives of containers with Podman's
  bench network [ROUNDS]
                 what a network costs a start, beside none and Podman's; and what goes through it
  bench record [ROUNDS]
                 what recording costs the program that is recorded
  bench ps [ROUNDS]
                 list 2000 containers
  bench audit [ROUNDS]
                 audit one of 300 containers, and all of them
  bench logs [MIB]
                 compare how fast a container's output is kept, and read, with Podman
  chaos [SECONDS]
                 random verbs and kills by eight at once, for ten minutes unless said; STOCKADE_TEST_SEED repeats a run
  budget         count system calls, processes, mounts, instructions and bytes, and compare them with bench/budget.toml
  fuzz [SECONDS [NAME...]]
                 feed what reads strangers' bytes, each for so long
  vm [--kernel 6.1|6.12] [--cgroup v1|hybrid|v2] [--lsm apparmor|none] -- COMMAND...
                 run a command on a Debian kernel in a virtual machine; 6.1, v2 and apparmor unless said
  vm --short [LANE...]
                 run CI's suites there, on CI's machines or these
  vm --all [LANE...]
                 run more of them on every kernel, cgroup layout and security module; writes docs/matrix.md.
                 STOCKADE_BIN_DIR names programs that are built already
  vm --matrix    write docs/matrix.md of what each machine said last
  images         make the test images that are missing
  stockade ...   build all programs as they ship, and run stockade with the rest of the line (also `cargo stockade ...`)
  tidy           check the conventions that the compiler does not know
  fmt, clippy    those two alone";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["ci"] => return ci(),
        ["test"] => return tests::run(None, &[]),
        ["test", filter] => return tests::run(Some(filter), &[]),
        ["bench", "images"] => bench::images::run(bench::images::ROUNDS, &[]),
        ["bench", "images", rounds, names @ ..] => {
            rounds.parse().map_err(|_not| USAGE.to_owned()).and_then(|rounds| bench::images::run(rounds, names))
        }
        ["bench", what @ ("engine" | "network" | "record" | "ps" | "audit" | "logs"), rest @ ..] => {
            bench_engine(what, rest)
        }
        ["chaos"] => chaos("600"),
        ["chaos", seconds] => chaos(seconds),
        ["bench", rest @ ..] => bench::run(rest, USAGE),
        ["budget"] => budget::check(),
        ["fuzz"] => fuzz::run(fuzz::SECONDS, &[]),
        ["fuzz", seconds, names @ ..] => fuzz::run(seconds, names),
        ["images"] => images::make(),
        ["stockade", rest @ ..] => stockade::execute(rest),
        ["tidy"] => tidy::check(),
        ["vm", rest @ ..] => match vm::main(rest) {
            Ok(code) => return code,
            Err(message) => Err(message),
        },
        ["fmt"] => format(),
        ["clippy"] => clippy(),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The chaos test, for so long: this program again, with what that test reads from the environment.
fn chaos(seconds: &str) -> Result<(), String> {
    let number: u64 = seconds.parse().map_err(|_not| USAGE.to_owned())?;
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut command = std::process::Command::new(program);
    let status = command.args(["test", "chaos::"]).env("STOCKADE_CHAOS_SECONDS", number.to_string()).status();
    match status.map_err(|error| format!("cannot run the chaos test: {error}"))?.success() {
        true => Ok(()),
        false => Err("the chaos test failed".to_owned()),
    }
}

/// The benches of the engine, whose only word is a number.
fn bench_engine(what: &str, rest: &[&str]) -> Result<(), String> {
    let number = match rest {
        [] => None,
        [number] => Some(number.parse().map_err(|_not| USAGE.to_owned())?),
        _ => return Err(USAGE.to_owned()),
    };
    match what {
        "network" => bench::network::run(number.unwrap_or(bench::network::ROUNDS)),
        "record" => bench::record::run(number.unwrap_or(bench::record::ROUNDS)),
        "ps" => bench::engine::ps(number.unwrap_or(bench::engine::ROUNDS)),
        "audit" => bench::engine::audit(number.unwrap_or(bench::engine::ROUNDS)),
        "logs" => bench::engine::logs(number.unwrap_or(bench::engine::LOGGED)),
        _ => bench::engine::run(number.unwrap_or(bench::engine::ROUNDS)),
    }
}

/// A part of `ci`: its name and what it does.
type Step = (&'static str, fn() -> Result<(), String>);

/// Every step, also after one failed, so that one run tells all; the tests, whose count is the last line, come last.
fn ci() -> ExitCode {
    let steps: [Step; 6] = [
        ("fmt", format),
        ("clippy", clippy),
        ("tidy", tidy::check),
        ("build", tests::build),
        ("budget", budget::check),
        ("vm", vm::short),
    ];
    let mut failed = Vec::new();
    for (name, step) in steps {
        let start = Instant::now();
        let result = step();
        let outcome = if result.is_ok() { "passed" } else { "failed" };
        eprintln!("xtask: {name} {outcome} after {:.1} s", start.elapsed().as_secs_f32());
        if let Err(message) = result {
            failed.push(format!("{name}: {message}"));
        }
    }
    tests::run(None, &failed)
}

fn format() -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"])
}

/// All lints of the workspace as errors.
fn clippy() -> Result<(), String> {
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}
