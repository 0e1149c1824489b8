//! The grade: what a container exposes, weighed and put into one letter.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::exposure::{self, Exposure};
use crate::finding::Check;

/// The letters: up to how many points, and what it means.
const BANDS: &[(u32, &str, &str)] = &[
    (9, "A", "little beyond its own program and the kernel's filtered interface"),
    (29, "B", "as a container with users of its own and the usual defaults"),
    (59, "C", "as a container of Docker's defaults, whose root is the host's"),
    (99, "D", "one wall less than Docker's defaults"),
    (199, "E", "one known step from the host"),
    (u32::MAX, "F", "as good as no walls"),
];

/// How exposed a container is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Grade {
    /// `A` to `F`.
    pub letter: String,
    /// The sum of the weights of all that is exposed.
    pub points: u32,
    /// What the letter means.
    pub meaning: String,
    /// What weighs most, at most three ids, the heaviest first.
    pub heaviest: Vec<String>,
}

impl Grade {
    /// Adds up what the findings expose; each thing counts once. Capabilities hold for what belongs to the user namespace, so that they
    /// weigh where the container's users are the host's only.
    pub(crate) fn of(checks: &[Check]) -> Self {
        let findings = checks.iter().flat_map(|check| &check.findings);
        let mut ids: BTreeSet<&str> = findings.flat_map(|finding| &finding.exposes).map(String::as_str).collect();
        if ![exposure::HOST_USERS, exposure::MAPPED_HOST_ROOT].iter().any(|one| ids.contains(one.id)) {
            ids.retain(|id| !id.starts_with("cap-"));
        }
        let mut found: Vec<&Exposure> = ids.into_iter().filter_map(exposure::by_id).collect();
        found.sort_by_key(|exposure| (std::cmp::Reverse(exposure.points), exposure.id));
        let points = found.iter().map(|exposure| exposure.points).sum();
        let (_, letter, meaning) = BANDS.iter().find(|(most, ..)| points <= *most).copied().unwrap_or((0, "F", ""));
        Self {
            letter: letter.to_owned(),
            points,
            meaning: meaning.to_owned(),
            heaviest: found.iter().take(3).map(|exposure| exposure.id.to_owned()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Finding, Verdict};

    fn exposing(ids: &[&str]) -> Vec<Check> {
        let finding = |id: &&str| Finding {
            part: (*id).to_owned(),
            asked: None,
            in_force: None,
            verdict: Verdict::NotAsked,
            why: None,
            exposes: vec![(*id).to_owned(), "host-uts".to_owned()],
        };
        let findings = ids.iter().map(finding).collect();
        vec![Check { number: 1, id: String::new(), title: String::new(), verdict: Verdict::NotAsked, findings }]
    }

    #[test]
    fn each_thing_counts_once_and_the_heaviest_comes_first() {
        let grade = Grade::of(&exposing(&["host-time", "memory-device", "host-network"]));
        assert_eq!((grade.points, grade.letter.as_str()), (2 + 1 + 90 + 20, "E"));
        assert_eq!(grade.heaviest, ["memory-device", "host-network", "host-uts"]);
        assert_eq!(Grade::of(&[]).letter, "A");
        assert_eq!(Grade::of(&exposing(&["cap-sys-admin"])).points, 2);
        assert_eq!(Grade::of(&exposing(&["cap-sys-admin", "host-users"])).points, 2 + 60 + 15);
    }

    #[test]
    fn the_bands_are_in_order_and_end() {
        assert!(BANDS.is_sorted_by_key(|(most, ..)| *most) && BANDS.last().is_some_and(|(most, ..)| *most == u32::MAX));
    }
}
