//! Reports as text for people: a head, a line for each check, and below it what does not hold.

use crate::audit::Report;
use crate::finding::{Check, Finding, Verdict};
use crate::grade::Grade;
use crate::profile::{Conformance, Outcome};

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Below each check what does not hold.
    Weak,
    /// Every finding.
    Everything,
}

/// A report as text.
#[must_use]
pub fn text(report: &Report, detail: Detail) -> String {
    let mut lines = vec![head(report), grade(&report.grade)];
    for check in &report.checks {
        let (id, verdict) = (&check.id, check.verdict.text());
        lines.push(format!("{:>2} {id:<18} {verdict:<18} {}", check.number, summary(check)).trim_end().to_owned());
        let told = |finding: &&Finding| finding.verdict != Verdict::Holds || detail == Detail::Everything;
        lines.extend(check.findings.iter().filter(told).map(|finding| format!("     {}", line(finding))));
    }
    lines.join("\n") + "\n"
}

/// Who was audited.
fn head(report: &Report) -> String {
    let asked = match &report.asked_by {
        Some(origin) => format!("asked for by {origin}"),
        None => "what was asked for is not known".to_owned(),
    };
    format!("{} (pid {}, {}), {asked}", report.name, report.pid, report.command)
}

fn grade(grade: &Grade) -> String {
    let text = format!("exposure {}, {} points: {}", grade.letter, grade.points, grade.meaning);
    if grade.heaviest.is_empty() { text } else { format!("{text}; most of it {}", grade.heaviest.join(", ")) }
}

/// A check in a few words: what is in force if there is one finding, and else how many hold.
fn summary(check: &Check) -> String {
    match check.findings.as_slice() {
        [one] if one.verdict == Verdict::Holds => one.in_force.clone().unwrap_or_default(),
        [_] => check.title.clone(),
        many => {
            let holding = many.iter().filter(|finding| finding.verdict == Verdict::Holds).count();
            format!("{holding} of {} hold: {}", many.len(), check.title)
        }
    }
}

/// A finding in one line.
fn line(finding: &Finding) -> String {
    let mut text = format!("{}: {}", finding.part, finding.verdict.text());
    let mut told = Vec::new();
    if finding.verdict == Verdict::WeakerThanAsked {
        told.extend(finding.asked.as_ref().map(|asked| format!("asked for {asked}")));
    }
    told.extend(finding.in_force.as_ref().map(|found| format!("in force {found}")));
    told.extend(finding.why.clone());
    if !told.is_empty() {
        text = format!("{text}: {}", told.join("; "));
    }
    if !finding.exposes.is_empty() && finding.verdict != Verdict::Holds {
        text = format!("{text} [{}]", finding.exposes.join(", "));
    }
    text
}

/// A conformance as text.
#[must_use]
pub fn conformance(judged: &Conformance) -> String {
    let word = if judged.conforms { "conforms to" } else { "does not conform to" };
    let mut lines = vec![format!("{} {word} {}", judged.name, judged.profile)];
    for control in &judged.controls {
        let outcome = match control.outcome {
            Outcome::Passes => "passes",
            Outcome::Fails => "fails",
            Outcome::CannotBeChecked => "cannot be checked",
        };
        lines.push(format!("{:<21} {outcome:<18} {}", control.control, control.title));
        lines.extend(control.reasons.iter().map(|reason| format!("     {reason}")));
    }
    lines.join("\n") + "\n"
}
