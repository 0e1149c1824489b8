//! The workbench: `cargo xtask test` runs every test that this machine can run; `cargo xtask ci` checks the form
//! of the code first. CI does nothing that these do not.
//!
//! The last line of a run of tests is `N passed, N failed, N skipped`.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

/// What `cargo test` counted.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

fn main() -> ExitCode {
    let command = std::env::args().nth(1);
    let result = match command.as_deref() {
        Some("ci") => ci(),
        Some("test") => test(),
        Some("fmt") => cargo(&["fmt", "--all", "--check"]),
        Some("clippy") => clippy(),
        other => Err(format!("no command {:?}: use ci, test, fmt or clippy", other.unwrap_or(""))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Form, lints, the shipped build, then the tests, whose count is the last line.
fn ci() -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"])?;
    clippy()?;
    cargo(&["build", "--workspace", "--release"])?;
    test()
}

/// All lints of the workspace as errors.
fn clippy() -> Result<(), String> {
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

/// Runs cargo with this terminal.
fn cargo(arguments: &[&str]) -> Result<(), String> {
    eprintln!("xtask: cargo {}", arguments.join(" "));
    let status = Command::new("cargo").args(arguments).status().map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("cargo {} failed ({status})", arguments.join(" "))) }
}

/// Unit, integration and documentation tests of all crates, one test program after the other.
fn test() -> Result<(), String> {
    let mut child = Command::new("cargo")
        .args(["test", "--workspace", "--no-fail-fast"])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cargo test: {error}"))?;
    let output = child.stdout.take().ok_or("cargo test: no output")?;
    let mut tally = Tally::default();
    for line in BufReader::new(output).lines() {
        let line = line.map_err(|error| format!("cargo test: {error}"))?;
        println!("{line}");
        tally.take(&line);
    }
    let status = child.wait().map_err(|error| format!("cargo test: {error}"))?;
    println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.ignored);
    if status.success() { Ok(()) } else { Err(format!("cargo test failed ({status})")) }
}

impl Tally {
    /// Adds a line like `test result: ok. 9 passed; 0 failed; 1 ignored; ...`.
    fn take(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result:") else { return };
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}
