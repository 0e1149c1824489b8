//! `docs/kernels.md`: what passed where.

use std::collections::{BTreeMap, BTreeSet};

use super::lanes::Suite;
use super::run::Outcome;

const HEAD: &str = "# Kernels

What `cargo xtask vm --all` said last: each suite on each machine as passed/failed. The machines are virtual, with stock kernels of Debian's; what each
offers to the tests is fixed in `xtask/src/vm/lanes.rs`, and a test whose need is offered and does not work fails.

";

/// The page.
pub(crate) fn page(outcomes: &[Outcome]) -> String {
    let mut text = HEAD.to_owned();
    text += &row("suite", outcomes.iter().map(|one| one.lane.name.to_owned()));
    text += &row("---", outcomes.iter().map(|_one| "---".to_owned()));
    let suites: BTreeSet<(&str, &str)> =
        outcomes.iter().flat_map(|one| &one.suites).map(|(suite, _)| (suite.package, suite.target)).collect();
    for (package, target) in suites {
        let is = |suite: &Suite| (suite.package, suite.target) == (package, target);
        let cells = outcomes.iter().map(|one| match one.suites.iter().find(|(suite, _)| is(suite)) {
            Some((_, tally)) => format!("{}/{}", tally.passed, tally.failed),
            None => String::new(),
        });
        text += &row(&format!("{package} {target}"), cells);
    }
    text += &row(
        "all, without skipped",
        outcomes.iter().map(|one| {
            let tally = one.tally();
            format!("{}/{}", tally.passed, tally.failed)
        }),
    );
    text += &row("skipped", outcomes.iter().map(|one| one.tally().skipped.to_string()));
    text + "\nA suite's number counts its skipped tests as passed, the sum does not.\n" + &skipped(outcomes)
}

fn row(head: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: String = cells.map(|cell| format!(" {cell} |")).collect();
    format!("| {head} |{cells}\n")
}

/// Why tests were skipped, and how many for each reason.
fn skipped(outcomes: &[Outcome]) -> String {
    let mut text = String::from("\n## Skipped\n\n");
    for outcome in outcomes {
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, reason) in &outcome.skips {
            *reasons.entry(reason).or_default() += 1;
        }
        let reasons: Vec<String> = reasons.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let reasons = if reasons.is_empty() { "none".to_owned() } else { reasons.join("; ") };
        text += &format!("- {}: {reasons}\n", outcome.lane.name);
    }
    text
}
