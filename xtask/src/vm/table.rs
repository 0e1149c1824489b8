//! `docs/matrix.md`: what passed where.

use std::collections::{BTreeMap, BTreeSet};

use super::lanes::LANES;
use super::machine::{Cgroup, Lsm};
use super::run::{Outcome, Ran};
use crate::tests::Tally;

const HEAD: &str = "# Matrix

What `cargo xtask vm` said last of each machine, and wrote (`--all`, or `--matrix` of what was run before): suites by kernel, cgroup world and security module, each cell as
**passed / failed / skipped**. The scope is that of `--all` or, where only that was run, of `--short`; both are words in `xtask/src/vm/lanes.rs`.
The machines are virtual, with stock kernels of Debian's. What each offers to the tests is fixed in `xtask/src/vm/machine.rs`: a need that is offered and does not
work is a failure, and so is a skip for any reason but those that the machine is meant to have.

";

/// The page.
pub(crate) fn page(outcomes: &[Outcome]) -> String {
    let mut text = HEAD.to_owned();
    text += &row("", outcomes.iter().map(|one| one.lane.name.to_owned()));
    text += &row("---", outcomes.iter().map(|_one| "---".to_owned()));
    text += &row("kernel", outcomes.iter().map(|one| format!("Linux {}", one.lane.machine.kernel.name())));
    text += &row("control groups", outcomes.iter().map(|one| world(one.lane.machine.cgroup).to_owned()));
    text += &row("security module", outcomes.iter().map(|one| module(one.lane.machine.lsm).to_owned()));
    text += &row("scope", outcomes.iter().map(|one| one.scope.name().to_owned()));
    text += &row("commit", outcomes.iter().map(|one| one.of.clone()));
    let suites: BTreeSet<(&str, &str)> =
        outcomes.iter().flat_map(|one| &one.suites).map(|ran| (ran.suite.package, ran.suite.target)).collect();
    for (package, target) in suites {
        let is = |ran: &&Ran| (ran.suite.package, ran.suite.target) == (package, target);
        let cells = outcomes.iter().map(|one| match one.suites.iter().find(is) {
            Some(ran) => cell(ran.tally(one.lane.machine)),
            None => "not run".to_owned(),
        });
        text += &row(&format!("`{package}` {target}"), cells);
    }
    text += &row("all", outcomes.iter().map(|one| format!("**{}**", cell(one.tally()))));
    let missing: Vec<&str> =
        LANES.iter().map(|lane| lane.name).filter(|name| !outcomes.iter().any(|one| one.lane.name == *name)).collect();
    if !missing.is_empty() {
        text += &format!("\nNot run: {}.\n", missing.join(", "));
    }
    text + &reasons(outcomes)
}

fn world(cgroup: Cgroup) -> &'static str {
    match cgroup {
        Cgroup::V1 => "v1",
        Cgroup::Hybrid => "v1, and v2 without controllers",
        Cgroup::V2 => "v2",
    }
}

fn module(lsm: Lsm) -> &'static str {
    match lsm {
        Lsm::AppArmor => "AppArmor, enforcing",
        Lsm::None => "none",
    }
}

fn cell(tally: Tally) -> String {
    format!("{} / {} / {}", tally.passed, tally.failed, tally.skipped)
}

fn row(head: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: String = cells.map(|cell| format!(" {cell} |")).collect();
    format!("| {head} |{cells}\n")
}

/// Why tests were skipped and how many for each reason, and what broke off.
fn reasons(outcomes: &[Outcome]) -> String {
    let mut text = String::from("\n## Skipped, and why\n\n");
    for outcome in outcomes {
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, reason) in outcome.suites.iter().flat_map(|ran| &ran.skips) {
            *reasons.entry(reason).or_default() += 1;
        }
        let reasons: Vec<String> = reasons.into_iter().map(|(reason, count)| format!("{count}: {reason}")).collect();
        let reasons = if reasons.is_empty() { "none".to_owned() } else { reasons.join("; ") };
        text += &format!("- {}: {reasons}\n", outcome.lane.name);
        if let Some(failure) = &outcome.failure {
            text += &format!("  - broken off: {failure}\n");
        }
    }
    text
}
