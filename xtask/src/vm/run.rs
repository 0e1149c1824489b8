//! Running the suites of one lane in one boot, and counting what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use stockade_testkit::{offers, programs};

use super::lanes::{LANES, Lane, Scope, Suite};
use super::machine::Machine;
use crate::command::quiet_about_us;
use crate::tests::Tally;

/// The executables of tests, by package and target.
pub(crate) type Executables = BTreeMap<(String, String), PathBuf>;

/// What one suite said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) suite: Suite,
    pub(crate) tally: Tally,
    /// Tests and why they were skipped.
    pub(crate) skips: BTreeSet<(String, String)>,
}

/// What one lane said.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) lane: &'static Lane,
    /// In the lane's order; those that were not run are not there.
    pub(crate) suites: Vec<Ran>,
    /// Why the lane as a whole failed.
    pub(crate) failure: Option<String>,
    /// The commit that was tried.
    pub(crate) of: String,
    /// How much of it.
    pub(crate) scope: Scope,
    /// The test whose output is being told.
    telling: String,
}

impl Ran {
    /// A skipped test did not pass, and one that `machine` does not excuse failed.
    pub(crate) fn tally(&self, machine: Machine) -> Tally {
        let mut tally = self.tally;
        let (excused, lost): (Vec<_>, Vec<_>) = self.skips.iter().partition(|(_, reason)| machine.excuses(reason));
        tally.passed = tally.passed.saturating_sub(self.skips.len() as u64);
        tally.skipped += excused.len() as u64;
        tally.failed += lost.len() as u64;
        tally
    }
}

impl Outcome {
    /// Nothing was said so far.
    fn new(lane: &'static Lane, scope: Scope) -> Self {
        Self { lane, suites: Vec::new(), failure: None, of: String::new(), scope, telling: String::new() }
    }

    /// The sum. A lane that broke off counts as one failure more.
    pub(crate) fn tally(&self) -> Tally {
        let mut sum = Tally { failed: u64::from(self.failure.is_some()), ..Tally::default() };
        for tally in self.suites.iter().map(|ran| ran.tally(self.lane.machine)) {
            sum.passed += tally.passed;
            sum.failed += tally.failed;
            sum.skipped += tally.skipped;
        }
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

/// What is told of a machine that did not boot, or stopped.
pub(super) const STOPPED: &str = "there is no virtual machine, or it stopped";

/// By what the tests' limits of time are multiplied in an emulated machine.
const PATIENCE: &str = "6";

/// Boots the lane's machine once and runs its suites in it.
///
/// # Errors
/// A suite that was not built, a folder that cannot be made, or a script that does not start. What happens in the guest is in the outcome.
pub(crate) fn lane(lane: &'static Lane, scope: Scope, built: &Executables, target: &Path) -> Result<Outcome, String> {
    let place = super::place(target, lane.name)?;
    let chosen = chosen(lane, scope);
    let script = script(lane, scope, built)?;
    let path = place.join("job");
    std::fs::write(&path, script).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut command = Command::new("timeout");
    command.args(["--kill-after=20", seconds(scope)]);
    command.args(super::boot(lane.machine, &[&place])?);
    command.arg("bash").arg(&path);
    command.env(programs::BIN_DIR, super::judged(target));
    command.env(programs::IMAGES, target.join("images")).env(offers::OFFERS, lane.machine.offers().join(","));
    command.env(offers::SKIPS, "/tmp/skips").env("RUST_BACKTRACE", "0").env(stockade_testkit::call::PATIENCE, PATIENCE);
    eprintln!("xtask: {} offers {}", lane.name, lane.machine.offers().join(", "));
    let mut outcome = Outcome::new(lane, scope);
    let mut said = format!("{MARK}of {}\n", commit()?);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let child = child.as_mut().map_err(|error| format!("cannot start the virtual machine: {error}"))?;
    let output = child.stdout.take().ok_or("the virtual machine has no output")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.map_err(|error| format!("cannot read the virtual machine's output: {error}"))?;
        let line = String::from_utf8_lossy(&line);
        show(&line);
        outcome.take(&line);
        said.extend([&*line, "\n"]);
    }
    let status = child.wait().map_err(|error| format!("cannot wait for the virtual machine: {error}"))?;
    outcome.failure = match status.code() {
        Some(0) if outcome.suites.len() == chosen.len() => None,
        Some(0) => Some("not every suite was run".to_owned()),
        Some(124 | 137) => Some(format!("the virtual machine was not done after {} s", seconds(scope))),
        // What the script said stands above.
        Some(125) => Some(STOPPED.to_owned()),
        _ => Some(format!("the virtual machine ended with {status}")),
    };
    for line in outcome.lost() {
        println!("failed: {}: {line}", lane.name);
    }
    said.extend(outcome.failure.iter().map(|failure| format!("{MARK}failure {failure}\n")));
    let path = memory(target, lane, scope)?;
    std::fs::write(&path, said).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(outcome)
}

/// The suites of which something is run.
fn chosen(lane: &Lane, scope: Scope) -> Vec<Suite> {
    lane.suites.iter().copied().filter(|suite| !lane.words(suite, scope).is_empty()).collect()
}

/// Where what a lane said last is kept, so that the matrix can be put together of cells that were run one by one.
fn memory(target: &Path, lane: &Lane, scope: Scope) -> Result<PathBuf, String> {
    let folder = target.join("vm-said");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder.join(format!("{}.{}", lane.name, scope.name())))
}

/// What each lane said last, of those that were run; of all that it has, if that was run.
///
/// # Errors
/// As reading of the files.
pub(crate) fn remembered(target: &Path) -> Result<Vec<Outcome>, String> {
    let mut outcomes = Vec::new();
    for lane in LANES {
        for scope in [Scope::All, Scope::Short] {
            let path = memory(target, lane, scope)?;
            match std::fs::read_to_string(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{}: {error}", path.display())),
                Ok(text) => {
                    let mut outcome = Outcome::new(lane, scope);
                    text.lines().for_each(|line| outcome.take(line));
                    outcomes.push(outcome);
                    break;
                }
            }
        }
    }
    Ok(outcomes)
}

/// The commit that is checked out.
fn commit() -> Result<String, String> {
    let output = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let output = output.map_err(|error| format!("git rev-parse: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(format!("git rev-parse: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Shows a line of the guest's, if it is not for us.
fn show(line: &str) {
    if !line.starts_with(MARK) {
        println!("{line}");
    }
}

/// How long a lane may take at most.
fn seconds(scope: Scope) -> &'static str {
    match scope {
        Scope::Short => "1800",
        Scope::All => "7200",
    }
}

/// What the guest runs. A suite that fails does not keep the next from being run; the count tells.
fn script(lane: &Lane, scope: Scope, built: &Executables) -> Result<String, String> {
    let mut text = String::from("export TMPDIR=/disk\n");
    for suite in chosen(lane, scope) {
        let key = (suite.package.to_owned(), suite.target.to_owned());
        let path = built.get(&key).ok_or_else(|| format!("vm: {} has no tests {}", suite.package, suite.target))?;
        let names = lane.words(&suite, scope).iter().filter(|name| !name.is_empty());
        let names: String = names.map(|name| format!(" {name}")).collect();
        text += &format!("echo '{MARK}suite {} {}'\n: >/tmp/skips\n", suite.package, suite.target);
        // A suite that does not end must not keep the lane from telling what it knows. What passed is shown, too: it may say that it did
        // nothing.
        text += &format!("timeout 3000 '{}' --test-threads=2 --show-output{names}\n", path.display());
        text += &format!("echo \"{MARK}exit $?\"\nsed 's/^/{MARK}skip /' /tmp/skips\n");
    }
    Ok(text)
}

impl Outcome {
    /// Takes one line of the guest's.
    fn take(&mut self, line: &str) {
        let Some(said) = line.strip_prefix(MARK) else {
            self.take_output(line);
            return;
        };
        let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
        match word {
            "suite" => {
                let suite = self.lane.suites.iter().find(|suite| rest == format!("{} {}", suite.package, suite.target));
                let ran = suite.map(|suite| Ran { suite: *suite, tally: Tally::default(), skips: BTreeSet::new() });
                self.suites.extend(ran);
            }
            "exit" if rest != "0" => {
                // Also one that was killed before it counted.
                if let Some(ran) = self.suites.last_mut() {
                    ran.tally.failed = ran.tally.failed.max(1);
                }
            }
            "skip" => {
                let (test, reason) = rest.split_once('\t').unwrap_or((rest, ""));
                self.skip(test.to_owned(), reason.to_owned());
            }
            "of" => rest.clone_into(&mut self.of),
            "failure" => self.failure = Some(rest.to_owned()),
            _ => {}
        }
    }

    /// Takes one line of a suite's own.
    fn take_output(&mut self, line: &str) {
        let Some(ran) = self.suites.last_mut() else { return };
        ran.tally.take(line);
        if let Some(test) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            test.clone_into(&mut self.telling);
        }
        // What `requires!` skips is in the file of skips as well; other tests say it in this way only.
        let reason = line.strip_prefix("skipped: ").filter(|reason| !reason.contains(": needs "));
        if let Some(reason) = reason {
            self.skip(self.telling.clone(), reason.to_owned());
        }
    }

    /// A test that did nothing.
    fn skip(&mut self, test: String, reason: String) {
        let Some(ran) = self.suites.last_mut() else { return };
        ran.skips.insert((test, reason));
    }

    /// What failed without a test's having failed.
    fn lost(&self) -> Vec<String> {
        let skips = self.suites.iter().flat_map(|ran| &ran.skips);
        let lost = skips.filter(|(_, reason)| !self.lane.machine.excuses(reason));
        let lost = lost.map(|(test, reason)| format!("{test} was skipped, which is not expected here: {reason}"));
        self.failure.iter().cloned().chain(lost).collect()
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
        let mut outcome = Outcome::new(lane, Scope::All);
        for line in [
            "@xtask of 0123abc",
            "@xtask suite stockade-cgroups groups",
            "---- one stdout ----",
            "skipped: no cgroup v1 hierarchies",
            "skipped: a::b: needs cgroup_v1, which this run does not offer",
            "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            "@xtask exit 0",
            "@xtask skip a::b\tneeds cgroup_v1, which this run does not offer",
            "@xtask skip a::b\tneeds cgroup_v1, which this run does not offer",
            "@xtask suite stockade-apparmor kernel",
            "@xtask exit 137",
            "@xtask skip c::d\tneeds podman, which this run does not offer",
        ] {
            outcome.take(line);
        }
        let tally = outcome.tally();
        // The second suite was killed, and the skip in it is none that is expected.
        assert_eq!((tally.passed, tally.failed, tally.skipped), (3, 2, 2));
        assert_eq!((outcome.lost().len(), outcome.of.as_str()), (1, "0123abc"));
        outcome.take("@xtask failure it stopped");
        assert_eq!((outcome.lost().len(), outcome.tally().failed), (2, 3));
    }
}
