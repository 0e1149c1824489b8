//! `container prune`: removes containers that do not run. Its filters are also `system prune`'s.

use std::collections::BTreeMap;
use std::str::FromStr;

use clap::Args;
use jiff::Timestamp;
use stockade_engine::prune::{self, PrunedContainers};

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::grammar::until::until;
use crate::grammar::{Invalid, filter, invalid};
use crate::say;
use crate::show::size;

const FLAG: &str = "--filter";

/// Remove all containers that do not run
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Do not ask
    #[arg(long, short)]
    force: bool,
    /// Remove only some: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Condition>,
}

impl Prune {
    /// Asks, removes, and says what was.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let filters = Filters::new(self.filter, Timestamp::now())?;
        let engine = global.engine()?;
        if !self.force && !say::confirmed("WARNING! This will remove all stopped containers.")? {
            return Err(Failure::new(FAILED, "container prune has been cancelled"));
        }
        let pruned = prune::prune_containers(&engine, |one| filters.take(&one.created, &one.labels));
        let pruned = pruned.map_err(|error| Failure::failed(&error))?;
        say_containers(&pruned)?;
        say::line(&format!("Total reclaimed space: {}", size::exact(pruned.bytes)))?;
        Ok(SUCCESS)
    }
}

/// What Docker says of containers that are gone; nothing if none is.
pub(crate) fn say_containers(pruned: &PrunedContainers) -> Result<(), Failure> {
    if pruned.ids.is_empty() {
        return Ok(());
    }
    say::line("Deleted Containers:")?;
    for id in &pruned.ids {
        say::line(id.as_str())?;
    }
    Ok(say::line("")?)
}

/// One `--filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Made before this time.
    Until(String),
    /// A label, and perhaps its value.
    Label(String, Option<String>),
    /// No such label, or another value.
    NoLabel(String, Option<String>),
}

impl FromStr for Condition {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = text.split_once('=').ok_or_else(|| invalid(FLAG, text, "not of the form KEY=VALUE"))?;
        let (label, wanted) = filter::label(value);
        match key {
            _ if value.is_empty() => Err(invalid(FLAG, text, "nothing stands after =")),
            "until" => until(FLAG, value, Timestamp::now()).map(|_| Self::Until(value.to_owned())),
            "label" => Ok(Self::Label(label, wanted)),
            "label!" => Ok(Self::NoLabel(label, wanted)),
            _ => Err(invalid(FLAG, text, "unknown key: until, label and label! are supported")),
        }
    }
}

/// All `--filter`s, each of which must hold.
pub(crate) struct Filters {
    conditions: Vec<Condition>,
    before: Option<Timestamp>,
}

impl Filters {
    /// Looks at the clock.
    ///
    /// # Errors
    /// For a time that is none.
    pub(crate) fn new(conditions: Vec<Condition>, now: Timestamp) -> Result<Self, Failure> {
        let times = conditions.iter().filter_map(|condition| match condition {
            Condition::Until(time) => Some(until(FLAG, time, now)),
            Condition::Label(..) | Condition::NoLabel(..) => None,
        });
        let times = times.collect::<Result<Vec<_>, _>>().map_err(|error| Failure::failed(&error))?;
        Ok(Self { conditions, before: times.into_iter().min() })
    }

    /// Whether one of them is about time.
    pub(crate) fn name_a_time(&self) -> bool {
        self.before.is_some()
    }

    /// Whether what was made at `created` with these labels is taken.
    pub(crate) fn take(&self, created: &str, labels: &BTreeMap<String, String>) -> bool {
        let made = created.parse::<Timestamp>().unwrap_or(Timestamp::MIN);
        let has = |key: &str, value: &Option<String>| filter::has(labels, key, value.as_deref());
        self.before.is_none_or(|before| made < before)
            && self.conditions.iter().all(|condition| match condition {
                Condition::Until(_) => true,
                Condition::Label(key, value) => has(key, value),
                Condition::NoLabel(key, value) => !has(key, value),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken() {
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let taken = |filters: &[&str]| {
            let conditions = filters.iter().map(|text| text.parse().unwrap()).collect();
            let filters = Filters::new(conditions, "2026-01-02T00:00:00Z".parse().unwrap()).unwrap();
            filters.take("2026-01-01T00:00:00Z", &labels)
        };
        assert!(taken(&[]) && taken(&["until=1h", "label=a", "label=a=b", "label!=c"]));
        assert!(
            !taken(&["until=48h"])
                && !taken(&["label!=a"])
                && !taken(&["label=a=c"])
                && !taken(&["until=1h", "until=48h"])
        );
        for text in ["", "until=x", "label=", "dangling=true"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }
}
