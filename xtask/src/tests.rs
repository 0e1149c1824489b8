//! Running the tests and counting them honestly: a test that skipped itself did not pass.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use stockade_testkit::{offers, programs};

use crate::command::{cargo, folder, metadata, quiet_about_us};

/// What `cargo test` counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

/// Builds the programs as they ship; the black-box suites judge these.
///
/// # Errors
/// If the build fails.
pub(crate) fn build() -> Result<(), String> {
    cargo(&["build", "--workspace", "--bins", "--release", "--exclude", "xtask"])
}

/// Unit, integration and documentation tests of all crates whose name contains `filter`. Whatever happens, the last line is
/// the count; `earlier` failures stand above it and make the run a failure too.
pub(crate) fn run(filter: Option<&str>, earlier: &[String]) -> ExitCode {
    let mut failures = earlier.to_vec();
    let tally = counted(filter).unwrap_or_else(|message| {
        failures.push(message);
        // A build that breaks runs nothing and must not read like a clean sheet.
        Tally { failed: 1, ..Tally::default() }
    });
    for failure in &failures {
        println!("failed: {failure}");
    }
    println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
    if failures.is_empty() && tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prepares the machine, builds, runs, and lists what was skipped.
fn counted(filter: Option<&str>) -> Result<Tally, String> {
    crate::packages::install();
    if let Err(message) = crate::images::make() {
        eprintln!("xtask: {message}; the tests that need images are skipped");
    }
    build()?;
    let target = folder(&metadata()?, "target_directory")?;
    let skips = target.join(format!("skipped-{}.txt", std::process::id()));
    let outcome = cargo_test(filter, &target, &skips);
    let skipped = read_skips(&skips)?;
    let (mut tally, success) = outcome?;
    for line in &skipped {
        println!("skipped: {}", line.replace('\t', ": "));
    }
    tally.count_skips(skipped.len() as u64);
    if !success {
        tally.failed = tally.failed.max(1);
    }
    Ok(tally)
}

/// Runs them with what the black-box suites read from the environment.
fn cargo_test(filter: Option<&str>, target: &Path, skips: &Path) -> Result<(Tally, bool), String> {
    let say = |error: std::io::Error| format!("cargo test: {error}");
    let mut command = Command::new("env");
    quiet_about_us(&mut command);
    // A shell's background has the interrupt ignored, which tests that send one would inherit.
    command.args(["--default-signal=HUP,INT,QUIT", "cargo"]);
    command.args(["test", "--workspace", "--no-fail-fast"]).args(filter).stdout(Stdio::piped());
    command.env(programs::BIN_DIR, target.join(programs::TARGET).join("release"));
    command.env(programs::IMAGES, target.join("images")).env(offers::SKIPS, skips);
    if std::env::var_os(offers::OFFERS).is_none() {
        command.env(offers::OFFERS, offered(target));
    }
    let mut child = command.spawn().map_err(say)?;
    let output = child.stdout.take().ok_or("cargo test: no output")?;
    let mut tally = Tally::default();
    for line in BufReader::new(output).lines() {
        let line = line.map_err(say)?;
        println!("{line}");
        tally.take(&line);
    }
    let status = child.wait().map_err(say)?;
    Ok((tally, status.success()))
}

/// What this machine offers, asked once and held against every test.
fn offered(target: &Path) -> String {
    let here = offers::advertised(&target.join(programs::TARGET).join("release"), &target.join("images"));
    eprintln!("xtask: this run offers {}", here.join(", "));
    here.join(",")
}

/// The recorded skips, once each; the file is removed.
fn read_skips(path: &Path) -> Result<BTreeSet<String>, String> {
    if !path.exists() {
        return Ok(BTreeSet::new());
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    std::fs::remove_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

impl Tally {
    /// Takes away tests that count themselves as passed and have recorded that they did nothing.
    pub(crate) fn count_skips(&mut self, count: u64) {
        self.passed = self.passed.saturating_sub(count);
        self.skipped += count;
    }

    /// Adds a line like `test result: ok. 9 passed; 0 failed; 1 ignored; ...`.
    pub(crate) fn take(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result:") else { return };
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}
