//! Running the suites of one lane in one boot, and counting what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use stockade_testkit::{offers, programs};

use super::lanes::{Lane, Scope, Suite};
use crate::command::quiet_about_us;
use crate::tests::Tally;

/// The executables of tests, by package and target.
pub(crate) type Executables = BTreeMap<(String, String), PathBuf>;

/// What one lane said.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) lane: &'static Lane,
    /// By suite, in the lane's order; those that were not run are not there.
    pub(crate) suites: Vec<(Suite, Tally)>,
    /// Tests and why they were skipped.
    pub(crate) skips: BTreeSet<(String, String)>,
    /// Why the lane as a whole failed.
    pub(crate) failure: Option<String>,
}

impl Outcome {
    /// The sum. A lane that broke off counts as one failure more.
    pub(crate) fn tally(&self) -> Tally {
        let mut sum = Tally { failed: u64::from(self.failure.is_some()), ..Tally::default() };
        for (_, tally) in &self.suites {
            sum.passed += tally.passed;
            sum.failed += tally.failed;
            sum.skipped += tally.skipped;
        }
        sum.count_skips(self.skips.len() as u64);
        sum
    }
}

/// Begins a line of the guest's that is for us.
const MARK: &str = "@xtask ";

/// Builds all tests and learns where they are.
///
/// # Errors
/// If cargo fails or says what is not JSON.
pub(crate) fn executables() -> Result<Executables, String> {
    let mut command = Command::new("cargo");
    quiet_about_us(&mut command);
    command.args(["test", "--workspace", "--no-run", "--message-format=json-render-diagnostics"]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cargo test --no-run: {error}"))?;
    if !output.status.success() {
        return Err("cargo test --no-run failed".to_owned());
    }
    let mut found = Executables::new();
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let message: Value = serde_json::from_slice(line).map_err(|error| format!("cargo test --no-run: {error}"))?;
        let Some(path) = message["executable"].as_str().filter(|_| message["profile"]["test"] == true) else {
            continue;
        };
        let (Some(id), Some(target)) = (message["package_id"].as_str(), message["target"]["name"].as_str()) else {
            continue;
        };
        found.insert((package(id).to_owned(), target.to_owned()), PathBuf::from(path));
    }
    Ok(found)
}

/// The package's name in its id, `path+file:///folder#name@version` or `path+file:///name#version`.
fn package(id: &str) -> &str {
    let (place, fragment) = id.split_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _version)) => name,
        None => place.rsplit('/').next().unwrap_or(place),
    }
}

/// Boots the lane's machine once and runs its suites in it.
///
/// # Errors
/// A suite that was not built, a folder that cannot be made, or a script that does not start. What happens in the guest is in the outcome.
pub(crate) fn lane(lane: &'static Lane, scope: Scope, built: &Executables, target: &Path) -> Result<Outcome, String> {
    let place = super::place(target, lane.name)?;
    let chosen: Vec<Suite> = lane.suites.iter().copied().filter(|suite| !filters(suite, scope).is_empty()).collect();
    let script = script(&chosen, scope, built)?;
    let path = place.join("job");
    std::fs::write(&path, script).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut command = super::boot(lane.machine, &[&place])?;
    command.arg("bash").arg(&path);
    command.env(programs::BIN_DIR, target.join(programs::TARGET).join("release"));
    command.env(programs::IMAGES, target.join("images")).env(offers::OFFERS, lane.machine.offers().join(","));
    command.env(offers::SKIPS, "/tmp/skips").env("RUST_BACKTRACE", "0");
    eprintln!("xtask: {} offers {}", lane.name, lane.machine.offers().join(", "));
    let mut outcome = Outcome { lane, suites: Vec::new(), skips: BTreeSet::new(), failure: None };
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let child = child.as_mut().map_err(|error| format!("cannot start the virtual machine: {error}"))?;
    let output = child.stdout.take().ok_or("the virtual machine has no output")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.map_err(|error| format!("cannot read the virtual machine's output: {error}"))?;
        outcome.take(&String::from_utf8_lossy(&line), &chosen);
    }
    let status = child.wait().map_err(|error| format!("cannot wait for the virtual machine: {error}"))?;
    if !status.success() {
        outcome.failure = Some(format!("the virtual machine ended with {status}"));
    } else if outcome.suites.len() != chosen.len() {
        outcome.failure = Some("not every suite was run".to_owned());
    }
    if let Some(failure) = &outcome.failure {
        println!("failed: {}: {failure}", lane.name);
    }
    Ok(outcome)
}

/// What of the suite is run; nothing if it is not.
fn filters(suite: &Suite, scope: Scope) -> &'static [&'static str] {
    match scope {
        Scope::Short => suite.short,
        Scope::All => &[""],
    }
}

/// What the guest runs. A suite that fails does not keep the next from being run; the count tells.
fn script(suites: &[Suite], scope: Scope, built: &Executables) -> Result<String, String> {
    let mut text = String::from("export TMPDIR=/disk\ntouch /tmp/skips\n");
    for (number, suite) in suites.iter().enumerate() {
        let key = (suite.package.to_owned(), suite.target.to_owned());
        let path = built.get(&key).ok_or_else(|| format!("vm: {} has no tests {}", suite.package, suite.target))?;
        let names = filters(suite, scope).iter().filter(|name| !name.is_empty());
        let names: String = names.map(|name| format!(" {name}")).collect();
        // A suite that does not end must not keep the lane from telling what it knows.
        text += &format!("echo '{MARK}suite {number}'\ntimeout 3000 '{}' --test-threads=2{names}\n", path.display());
        text += &format!("echo \"{MARK}exit $?\"\n");
    }
    text += &format!("sed 's/^/{MARK}skip /' /tmp/skips\n");
    Ok(text)
}

impl Outcome {
    /// Takes one line of the guest's, and shows it.
    fn take(&mut self, line: &str, chosen: &[Suite]) {
        let Some(said) = line.strip_prefix(MARK) else {
            println!("{line}");
            if let Some((_, tally)) = self.suites.last_mut() {
                tally.take(line);
            }
            return;
        };
        let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
        match word {
            "suite" => {
                let suite = rest.parse().ok().and_then(|number: usize| chosen.get(number));
                self.suites.extend(suite.map(|suite| (*suite, Tally::default())));
            }
            "exit" if rest != "0" => {
                // Also one that was killed before it counted.
                if let Some((_, tally)) = self.suites.last_mut() {
                    tally.failed = tally.failed.max(1);
                }
            }
            "skip" => {
                let (test, reason) = rest.split_once('\t').unwrap_or((rest, ""));
                println!("skipped: {test}: {reason}");
                self.skips.insert((test.to_owned(), reason.to_owned()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::LANES;
    use super::*;

    #[test]
    fn names_in_package_ids() {
        assert_eq!(package("path+file:///src/crates/kernel#stockade-kernel@0.1.0"), "stockade-kernel");
        assert_eq!(package("path+file:///src/xtask#0.1.0"), "xtask");
    }

    #[test]
    fn what_the_guest_says_is_counted_once() {
        let lane = &LANES[0];
        let chosen = &lane.suites[..2];
        let mut outcome = Outcome { lane, suites: Vec::new(), skips: BTreeSet::new(), failure: None };
        for line in [
            "@xtask suite 0",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
            "@xtask exit 0",
            "@xtask suite 1",
            "@xtask exit 137",
            "@xtask skip a::b\tneeds podman",
            "@xtask skip a::b\tneeds podman",
        ] {
            outcome.take(line, chosen);
        }
        let tally = outcome.tally();
        assert_eq!((tally.passed, tally.failed, tally.skipped), (2, 1, 2));
    }
}
