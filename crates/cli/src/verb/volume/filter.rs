//! `--filter` of `volume ls` and `volume prune`.

use std::str::FromStr;

use stockade_engine::volume::{DRIVER, VolumeSummary};

use crate::grammar::pflag::boolean;
use crate::grammar::{Invalid, filter, invalid};

const FLAG: &str = "--filter";

/// One `--filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Whether no container has it.
    Dangling(bool),
    /// A part of the name.
    Name(String),
    /// The driver.
    Driver(String),
    /// A label, and perhaps its value.
    Label(String, Option<String>),
    /// No such label, or another value.
    NoLabel(String, Option<String>),
    /// Whether volumes that have a name are removed, too (`prune` only).
    All(bool),
}

impl FromStr for Condition {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = text.split_once('=').ok_or_else(|| invalid(FLAG, text, "not of the form KEY=VALUE"))?;
        let truth = || boolean(value).map_err(|error| invalid(FLAG, text, error.to_string()));
        let (label, wanted) = filter::label(value);
        match key {
            _ if value.is_empty() => Err(invalid(FLAG, text, "nothing stands after =")),
            "dangling" => truth().map(Self::Dangling),
            "name" => Ok(Self::Name(value.to_owned())),
            "driver" => Ok(Self::Driver(value.to_owned())),
            "label" => Ok(Self::Label(label, wanted)),
            "label!" => Ok(Self::NoLabel(label, wanted)),
            "all" => truth().map(Self::All),
            _ => Err(invalid(FLAG, text, "unknown key: dangling, name, driver and label are supported")),
        }
    }
}

impl Condition {
    /// Whether it holds for `one`.
    fn holds(&self, one: &VolumeSummary) -> bool {
        match self {
            Self::Dangling(dangling) => one.users.is_empty() == *dangling,
            Self::Name(part) => one.name.as_str().contains(part),
            Self::Driver(driver) => driver == DRIVER,
            Self::Label(key, value) => filter::has(&one.labels, key, value.as_deref()),
            Self::NoLabel(key, value) => !filter::has(&one.labels, key, value.as_deref()),
            Self::All(_) => true,
        }
    }

    /// A condition of `volume ls`.
    pub(crate) fn of_list(text: &str) -> Result<Self, Invalid> {
        match text.parse()? {
            Self::All(_) | Self::NoLabel(..) => {
                Err(invalid(FLAG, text, "unknown key: dangling, name, driver and label are supported"))
            }
            condition => Ok(condition),
        }
    }

    /// A condition of `volume prune`.
    pub(crate) fn of_prune(text: &str) -> Result<Self, Invalid> {
        let wrong = || invalid(FLAG, text, "unknown key: label, label! and all are supported");
        match text.parse() {
            Ok(condition @ (Self::All(_) | Self::Label(..) | Self::NoLabel(..))) => Ok(condition),
            _ => Err(wrong()),
        }
    }
}

/// All `--filter`s: of those with one key one must hold, but every one about labels.
pub(crate) struct Filters(pub(crate) Vec<Condition>);

impl Filters {
    /// Whether `one` is taken.
    pub(crate) fn take(&self, one: &VolumeSummary) -> bool {
        let alone = |condition: &Condition| matches!(condition, Condition::Label(..) | Condition::NoLabel(..));
        filter::all_hold(&self.0, alone, |condition| condition.holds(one))
    }

    /// Whether one says that volumes that have a name are meant, too.
    pub(crate) fn name_all(&self) -> bool {
        self.0.iter().any(|condition| matches!(condition, Condition::All(true)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    pub(crate) fn volume(name: &str, used: bool) -> VolumeSummary {
        let user = "0123456789abcdef".repeat(4).try_into().unwrap();
        VolumeSummary {
            name: name.parse().unwrap(),
            mountpoint: format!("/data/volumes/{name}/_data"),
            labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            anonymous: false,
            created: "2026-01-01T00:00:00Z".to_owned(),
            users: if used { vec![user] } else { Vec::new() },
        }
    }

    #[test]
    fn what_holds() {
        let taken = |filters: &[&str]| {
            let conditions = filters.iter().map(|text| text.parse().unwrap()).collect();
            Filters(conditions).take(&volume("web-data", true))
        };
        for filters in [
            &[][..],
            &["dangling=false"],
            &["dangling=true", "dangling=0"],
            &["name=data"],
            &["name=x", "name=web"],
            &["driver=local"],
            &["label=a"],
            &["label=a=b", "name=web"],
            &["label!=c"],
            &["label!=a=c"],
        ] {
            assert!(taken(filters), "{filters:?}");
        }
        for filters in
            [&["dangling=true"][..], &["name=x"], &["driver=nfs"], &["label=b"], &["label=a", "label=c"], &["label!=a"]]
        {
            assert!(!taken(filters), "{filters:?}");
        }
        for text in ["", "name", "name=", "dangling=perhaps", "size=1"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
        assert!(Condition::of_list("all=true").is_err() && Condition::of_list("label!=x").is_err());
        assert!(Condition::of_prune("name=x").is_err() && Condition::of_prune("label!=x").is_ok());
    }
}
