//! `--filter KEY=VALUE`: what Docker's lists have in common.

use std::collections::BTreeMap;
use std::mem::discriminant;

/// The value of `label`: a key, and perhaps the value that it must have.
pub(crate) fn label(value: &str) -> (String, Option<String>) {
    match value.split_once('=') {
        Some((key, wanted)) => (key.to_owned(), Some(wanted.to_owned())),
        None => (value.to_owned(), None),
    }
}

/// Whether there is such a label.
pub(crate) fn has(labels: &BTreeMap<String, String>, key: &str, value: Option<&str>) -> bool {
    labels.get(key).is_some_and(|found| value.is_none_or(|value| found == value))
}

/// Whether all of `conditions` hold: of those with one key one must, but each of those that `alone` names.
pub(crate) fn all_hold<C>(conditions: &[C], alone: impl Fn(&C) -> bool, holds: impl Fn(&C) -> bool) -> bool {
    conditions.iter().all(|condition| {
        let same = |other: &&C| discriminant(*other) == discriminant(condition);
        if alone(condition) { holds(condition) } else { conditions.iter().filter(same).any(&holds) }
    })
}
