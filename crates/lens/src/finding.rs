//! What an audit says: each check's findings, with what was asked for, what is in force, and the verdict.

use serde::{Deserialize, Serialize};

use crate::exposure::Exposure;

/// What became of a wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is in force, at least as strong as it was asked for.
    Holds,
    /// It is not there, and nobody is known to have asked for it.
    NotAsked,
    /// The kernel does not tell; the finding says why.
    CannotBeChecked,
    /// It was asked for, and what is in force is weaker.
    WeakerThanAsked,
}

impl Verdict {
    /// As it is shown.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::NotAsked => "not asked",
            Self::CannotBeChecked => "cannot be checked",
            Self::WeakerThanAsked => "weaker than asked",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Finding {
    /// What of the check's subject it is about, such as `network` or `/proc/kcore`; unique within the check.
    pub part: String,
    /// What was asked for; `None` if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// What is in force; `None` if that cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<String>,
    /// What became of it.
    pub verdict: Verdict,
    /// Why it cannot be checked, or what is remarkable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What it exposes, whether that was asked for or not: ids of [`Exposure`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposes: Vec<String>,
}

/// The findings of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Check {
    /// Its number, 1 to 31.
    pub number: u8,
    /// Its name, such as `namespaces`.
    pub id: String,
    /// What it looks at, in a few words.
    pub title: String,
    /// The worst of its findings: weaker than asked before cannot be checked before not asked.
    pub verdict: Verdict,
    /// The findings.
    pub findings: Vec<Finding>,
}

/// Collects the findings of one check.
#[derive(Debug, Default)]
pub(crate) struct Sheet(pub(crate) Vec<Finding>);

impl Sheet {
    /// A wall that is as strong as it was asked for, or stronger.
    pub(crate) fn holds(
        &mut self,
        part: impl Into<String>,
        asked: Option<String>,
        found: impl Into<String>,
    ) -> &mut Finding {
        self.add(part, asked, Some(found.into()), Verdict::Holds)
    }

    /// A wall that was asked for and is not in force.
    pub(crate) fn weaker(
        &mut self,
        part: impl Into<String>,
        asked: impl Into<String>,
        found: impl Into<String>,
    ) -> &mut Finding {
        self.add(part, Some(asked.into()), Some(found.into()), Verdict::WeakerThanAsked)
    }

    /// A wall that nobody is known to have asked for, and that is not there.
    pub(crate) fn absent(
        &mut self,
        part: impl Into<String>,
        asked: Option<String>,
        found: impl Into<String>,
    ) -> &mut Finding {
        self.add(part, asked, Some(found.into()), Verdict::NotAsked)
    }

    /// What the kernel does not tell.
    pub(crate) fn unchecked(&mut self, part: impl Into<String>, asked: Option<String>, why: impl Into<String>) {
        self.add(part, asked, None, Verdict::CannotBeChecked).why = Some(why.into());
    }

    /// Whether a wall stands: holds if it does, and else weaker or not asked, by whether it was wanted. What `wanted` says is not known
    /// where nothing is known of what was asked for.
    pub(crate) fn judge(&mut self, part: impl Into<String>, wall: Wall) -> &mut Finding {
        let Wall { wanted, asked, found, stands } = wall;
        match (stands, wanted) {
            (true, _) => self.holds(part, asked, found),
            (false, Some(true)) => self.add(part, asked, Some(found), Verdict::WeakerThanAsked),
            (false, _) => self.absent(part, asked, found),
        }
    }

    fn add(
        &mut self,
        part: impl Into<String>,
        asked: Option<String>,
        in_force: Option<String>,
        verdict: Verdict,
    ) -> &mut Finding {
        let finding = Finding { part: part.into(), asked, in_force, verdict, why: None, exposes: Vec::new() };
        self.0.push(finding);
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}

/// A wall that stands or does not.
#[derive(Debug)]
pub(crate) struct Wall {
    /// Whether it was asked for; `None` if that is not known.
    pub(crate) wanted: Option<bool>,
    /// What was asked for.
    pub(crate) asked: Option<String>,
    /// What is in force.
    pub(crate) found: String,
    /// Whether that is the wall.
    pub(crate) stands: bool,
}

impl Finding {
    /// Adds what it exposes.
    pub(crate) fn exposing(&mut self, exposures: impl IntoIterator<Item = &'static Exposure>) -> &mut Self {
        self.exposes.extend(exposures.into_iter().map(|exposure| exposure.id.to_owned()));
        self
    }

    /// Adds a remark.
    pub(crate) fn because(&mut self, why: impl Into<String>) -> &mut Self {
        self.why = Some(why.into());
        self
    }
}

/// The worst verdict, or that it holds where there is none.
pub(crate) fn worst(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Holds)
}
