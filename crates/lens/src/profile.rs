//! Profiles: what others demand of containers, as data over the findings of an audit.
//!
//! A control names findings, and the exposures that they must not have. It fails if one has, and it cannot be checked if one of its
//! findings cannot be. What of a profile a live process does not show (an image's age, who may log in) is not in it.

use std::str::FromStr;

use serde::Serialize;

use crate::audit::Report;
use crate::finding::Verdict;

mod data;

/// A profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// CIS Docker Benchmark 1.6, chapter 5.
    Cis,
    /// Pod Security Standards, baseline.
    PssBaseline,
    /// Pod Security Standards, restricted.
    PssRestricted,
    /// NIST SP 800-190, chapter 4.
    Nist800190,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cis, Self::PssBaseline, Self::PssRestricted, Self::Nist800190];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cis => "cis",
            Self::PssBaseline => "pss-baseline",
            Self::PssRestricted => "pss-restricted",
            Self::Nist800190 => "nist-800-190",
        }
    }

    fn controls(self) -> Vec<&'static Control> {
        match self {
            Self::Cis => data::CIS.iter().collect(),
            Self::PssBaseline => data::BASELINE.iter().collect(),
            Self::PssRestricted => data::BASELINE.iter().chain(data::RESTRICTED).collect(),
            Self::Nist800190 => data::NIST.iter().collect(),
        }
    }
}

/// A name that is no profile's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no profile {0:?}: the profiles are cis, pss-baseline, pss-restricted and nist-800-190")]
pub struct UnknownProfile(pub String);

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        Self::ALL.into_iter().find(|profile| profile.name() == name).ok_or_else(|| UnknownProfile(name.to_owned()))
    }
}

/// One demand.
#[derive(Debug)]
struct Control {
    /// Its number in the source.
    id: &'static str,
    title: &'static str,
    /// The checks whose findings it is about, with the parts of each; no part is all of them.
    about: &'static [(&'static str, &'static [&'static str])],
    /// What no such finding may expose; `*` is anything at all, and a `cap-*` any capability.
    forbids: &'static [&'static str],
    /// Exceptions to what `forbids` means.
    but: &'static [&'static str],
}

/// What became of a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is met.
    Passes,
    /// It is not.
    Fails,
    /// The kernel does not tell.
    CannotBeChecked,
}

/// A control, judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// Its number in the source.
    pub control: &'static str,
    /// What it demands.
    pub title: &'static str,
    /// What became of it.
    pub outcome: Outcome,
    /// Why: the findings that break it, or that cannot be checked.
    pub reasons: Vec<String>,
}

/// A report held against a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conformance {
    /// The container's name.
    pub name: String,
    /// The profile's name.
    pub profile: &'static str,
    /// Whether every control is met. One that cannot be checked is not.
    pub conforms: bool,
    /// The controls.
    pub controls: Vec<Judged>,
}

impl Conformance {
    /// Holds `report` against `profile`.
    #[must_use]
    pub fn of(report: &Report, profile: Profile) -> Self {
        let controls: Vec<Judged> = profile.controls().into_iter().map(|control| judge(report, control)).collect();
        let conforms = controls.iter().all(|control| control.outcome == Outcome::Passes);
        Self { name: report.name.clone(), profile: profile.name(), conforms, controls }
    }
}

fn judge(report: &Report, control: &Control) -> Judged {
    let (mut broken, mut unknown) = (Vec::new(), Vec::new());
    for (id, parts) in control.about {
        let findings = report.checks.iter().filter(|check| check.id == *id).flat_map(|check| &check.findings);
        let mut seen = false;
        for finding in findings.filter(|finding| parts.is_empty() || parts.contains(&finding.part.as_str())) {
            seen = true;
            let named = |text: &str| format!("{id}: {}: {text}", finding.part);
            if finding.verdict == Verdict::CannotBeChecked {
                unknown.push(named(finding.why.as_deref().unwrap_or("cannot be checked")));
            }
            let exposed: Vec<&str> =
                finding.exposes.iter().map(String::as_str).filter(|exposure| forbidden(control, exposure)).collect();
            if !exposed.is_empty() {
                broken.push(named(&exposed.join(", ")));
            }
        }
        // A check that says nothing of a part it always has could not look at it.
        if !seen && !parts.is_empty() {
            unknown.push(format!("{id}: {}: nothing is told of it", parts.join(", ")));
        }
    }
    let (outcome, reasons) = match (broken.is_empty(), unknown.is_empty()) {
        (false, _) => (Outcome::Fails, broken),
        (true, false) => (Outcome::CannotBeChecked, unknown),
        (true, true) => (Outcome::Passes, Vec::new()),
    };
    Judged { control: control.id, title: control.title, outcome, reasons }
}

/// Whether the control forbids this exposure.
fn forbidden(control: &Control, exposure: &str) -> bool {
    let matches = |list: &[&str]| {
        list.iter().any(|one| match one.strip_suffix('*') {
            Some(beginning) => exposure.starts_with(beginning),
            None => exposure == *one,
        })
    };
    matches(control.forbids) && !matches(control.but)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposure;
    use std::collections::BTreeSet;

    #[test]
    fn controls_name_checks_and_exposures_that_there_are() {
        let checks: BTreeSet<&str> = crate::checks().map(|(_, id, _)| id).collect();
        for profile in Profile::ALL {
            let mut ids = BTreeSet::new();
            for control in profile.controls() {
                assert!(ids.insert(control.id), "{} twice", control.id);
                assert!(!control.about.is_empty() && !control.forbids.is_empty(), "{}", control.id);
                assert!(control.about.iter().all(|(check, _)| checks.contains(check)), "{}", control.id);
                for one in control.forbids.iter().chain(control.but).filter(|one| !one.ends_with('*')) {
                    assert!(exposure::by_id(one).is_some(), "{}: {one}", control.id);
                }
            }
            assert_eq!(profile.name().parse(), Ok(profile));
        }
        assert!("cis-2".parse::<Profile>().is_err());
    }
}
