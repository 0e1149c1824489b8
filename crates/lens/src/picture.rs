//! The walls of one container in a line, and the difference between two.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::audit::Report;
use crate::exposure;
use crate::finding::{Check, Finding, Verdict};

/// The walls of one container, short enough for a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Picture {
    /// The letter and the points of the grade.
    pub grade: String,
    /// The namespaces of its own, or `none`.
    pub namespaces: String,
    /// How many capabilities it can come by.
    pub capabilities: String,
    /// `no` if programs cannot raise its rights.
    pub new_privileges: String,
    /// How its system calls are filtered.
    pub seccomp: String,
    /// Mandatory access control.
    pub label: String,
    /// `read-only` or `writable`.
    pub root: String,
    /// Which of memory, processes and processor time are bounded.
    pub limits: String,
    /// What is weaker than asked, by the checks' names.
    pub weaker: String,
}

impl Picture {
    /// Of a report.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let told = |check: &str, part: &str| find(report, check, part).and_then(|found| found.in_force.clone());
        let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
        let list = |all: Vec<String>| if all.is_empty() { "none".to_owned() } else { all.join(",") };
        let holding = |check: &str| {
            let findings = report.checks.iter().filter(|one| one.id == check).flat_map(|one| &one.findings);
            let holds = findings.filter(|finding| finding.verdict == Verdict::Holds && finding.part != "met");
            list(holds.map(|finding| finding.part.clone()).collect())
        };
        let reach =
            if told("no-new-privileges", "no_new_privs").as_deref() == Some("set") { "permitted" } else { "bounding" };
        let count = |text: String| if text == "none" { 0 } else { text.split(',').count() };
        Self {
            grade: format!("{} {}", report.grade.letter, report.grade.points),
            namespaces: holding("namespaces"),
            capabilities: or_unknown(told("capabilities", reach).map(|text| count(text).to_string())),
            new_privileges: match told("no-new-privileges", "no_new_privs").as_deref() {
                Some("set") => "no",
                Some(_) => "yes",
                None => "?",
            }
            .to_owned(),
            seccomp: or_unknown(told("seccomp", "mode")),
            label: match find(report, "label", "apparmor").map(|finding| (finding.verdict, finding.in_force.clone())) {
                Some((Verdict::Holds, found)) => or_unknown(found),
                Some(_) => "none".to_owned(),
                None => or_unknown(told("label", "selinux")),
            },
            root: or_unknown(told("root", "read-only")),
            limits: holding("bounds"),
            weaker: list(weaker(&report.checks)),
        }
    }
}

/// The names of the checks in which something is weaker than asked.
fn weaker(checks: &[Check]) -> Vec<String> {
    checks.iter().filter(|check| check.verdict == Verdict::WeakerThanAsked).map(|check| check.id.clone()).collect()
}

fn find<'a>(report: &'a Report, check: &str, part: &str) -> Option<&'a Finding> {
    let findings = report.checks.iter().filter(|one| one.id == check).flat_map(|one| &one.findings);
    findings.into_iter().find(|finding| finding.part == part)
}

/// Which of two is weaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weaker {
    /// The first exposes more.
    First,
    /// The second exposes more.
    Second,
    /// They differ, and neither exposes more.
    Neither,
}

/// Something in which two differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The check's name.
    pub check: String,
    /// What of it.
    pub part: String,
    /// What is in force for the first.
    pub first: String,
    /// What is in force for the second.
    pub second: String,
    /// Which is weaker.
    pub weaker: Weaker,
}

/// What is another for each container and says nothing of its walls: the check, and the part, `*` being all.
const PARTICULAR: &[(&str, &str)] = &[
    ("limits", "group"),
    ("limits", "limits"),
    ("bounds", "met"),
    ("abstract-sockets", "*"),
    ("drift", "*"),
    ("user-maps", "users"),
    ("user-maps", "groups"),
];

/// In what the walls of two differ, in the order of the checks. Of checks with a finding for each thing that is wrong, such as the mounts,
/// what only one of them tells of counts as a difference too.
#[must_use]
pub fn differences(first: &Report, second: &Report) -> Vec<Difference> {
    let particular =
        |check: &str, part: &str| PARTICULAR.iter().any(|(one, of)| *one == check && (*of == "*" || *of == part));
    let mut all: BTreeMap<(u8, &str, &str), [Option<&Finding>; 2]> = BTreeMap::new();
    for (place, report) in [first, second].into_iter().enumerate() {
        for check in &report.checks {
            for finding in check.findings.iter().filter(|finding| !particular(&check.id, &finding.part)) {
                all.entry((check.number, &check.id, &finding.part)).or_default()[place] = Some(finding);
            }
        }
    }
    let told = |finding: Option<&Finding>| match finding {
        None => "nothing told".to_owned(),
        Some(found) => found.in_force.clone().unwrap_or_else(|| found.verdict.text().to_owned()),
    };
    let points = |finding: Option<&Finding>| -> u32 {
        let ids = finding.map(|found| found.exposes.as_slice()).unwrap_or_default();
        ids.iter().filter_map(|id| exposure::by_id(id)).map(|exposure| exposure.points).sum()
    };
    let differing = all.into_iter().filter_map(|((_, check, part), [one, other])| {
        let (left, right) = (told(one), told(other));
        if left == right && points(one) == points(other) {
            return None;
        }
        let weaker = match points(one).cmp(&points(other)) {
            std::cmp::Ordering::Greater => Weaker::First,
            std::cmp::Ordering::Less => Weaker::Second,
            std::cmp::Ordering::Equal => Weaker::Neither,
        };
        Some(Difference { check: check.to_owned(), part: part.to_owned(), first: left, second: right, weaker })
    });
    differing.collect()
}

/// What a default says nothing of: who a container is, and what is mounted for it.
const NOBODYS_DEFAULT: &[(&str, &str)] = &[
    ("identity", "*"),
    ("mounts", "*"),
    ("host-paths", "*"),
    ("environment", "*"),
    ("resource-limits", "*"),
    ("root", "root"),
    ("device-nodes", "*"),
];

/// What of `report`, whose container was held against a default, is another than that, as differences between that
/// configuration and the container. Findings of what that configuration says nothing of are left out.
#[must_use]
pub fn against_asked(report: &Report) -> Vec<Difference> {
    let findings = report.checks.iter().flat_map(|check| check.findings.iter().map(move |finding| (check, finding)));
    let differing = findings.filter_map(|(check, finding)| {
        let (asked, found) = (finding.asked.clone()?, finding.in_force.clone()?);
        let weaker = if finding.verdict == Verdict::WeakerThanAsked { Weaker::Second } else { Weaker::Neither };
        let of = |(one, part): &(&str, &str)| *one == check.id && (*part == "*" || *part == finding.part);
        if asked == found || PARTICULAR.iter().chain(NOBODYS_DEFAULT).any(of) {
            return None;
        }
        Some(Difference { check: check.id.clone(), part: finding.part.clone(), first: asked, second: found, weaker })
    });
    differing.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grade::Grade;

    fn report(findings: &[(&str, &str, Option<&str>, &[&str])]) -> Report {
        let checks = findings
            .iter()
            .enumerate()
            .map(|(number, (check, part, found, exposes))| Check {
                number: number as u8 + 1,
                id: (*check).to_owned(),
                title: String::new(),
                verdict: Verdict::Holds,
                findings: vec![Finding {
                    part: (*part).to_owned(),
                    asked: Some("own".to_owned()),
                    in_force: found.map(str::to_owned),
                    verdict: Verdict::Holds,
                    why: None,
                    exposes: exposes.iter().map(|one| (*one).to_owned()).collect(),
                }],
            })
            .collect::<Vec<_>>();
        Report {
            version: 1,
            name: "a".to_owned(),
            id: None,
            pid: 1,
            command: String::new(),
            asked_by: None,
            verdict: Verdict::Holds,
            grade: Grade::of(&checks),
            checks,
        }
    }

    #[test]
    fn differences_say_who_is_weaker() {
        let one = report(&[("namespaces", "net", Some("own"), &[]), ("limits", "group", Some("/a"), &[])]);
        let other = report(&[
            ("namespaces", "net", Some("the host's"), &["host-network"]),
            ("limits", "group", Some("/b"), &[]),
        ]);
        assert_eq!(differences(&one, &one), []);
        let found = differences(&one, &other);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].part.as_str(), found[0].weaker), ("net", Weaker::Second));
        assert_eq!(differences(&other, &one)[0].weaker, Weaker::First);
        assert_eq!(against_asked(&other).len(), 1);
        assert_eq!(against_asked(&one), []);
    }

    #[test]
    fn a_picture_has_what_holds() {
        let of = report(&[
            ("namespaces", "net", Some("own"), &[]),
            ("no-new-privileges", "no_new_privs", Some("set"), &[]),
            ("capabilities", "permitted", Some("CAP_KILL,CAP_CHOWN"), &[]),
        ]);
        let picture = Picture::of(&of);
        assert_eq!((picture.namespaces.as_str(), picture.capabilities.as_str()), ("net", "2"));
        assert_eq!((picture.new_privileges.as_str(), picture.root.as_str()), ("no", "?"));
    }
}
