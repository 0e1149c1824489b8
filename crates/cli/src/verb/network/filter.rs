//! `--filter` of `network ls` and `network prune`.

use stockade_engine::network::list::NetworkSummary;

use crate::grammar::pflag::boolean;
use crate::grammar::{Invalid, filter, invalid};

const FLAG: &str = "--filter";

/// One `--filter` of `network ls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Whether no container is on it.
    Dangling(bool),
    /// The driver.
    Driver(String),
    /// A part of the id.
    Id(String),
    /// A label, and perhaps its value.
    Label(String, Option<String>),
    /// A part of the name.
    Name(String),
    /// `local`.
    Scope(String),
    /// Whether it is always there.
    Predefined(bool),
}

impl std::str::FromStr for Condition {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = text.split_once('=').ok_or_else(|| invalid(FLAG, text, "not of the form KEY=VALUE"))?;
        match key {
            _ if value.is_empty() => Err(invalid(FLAG, text, "nothing stands after =")),
            "dangling" => boolean(value).map(Self::Dangling).map_err(|error| invalid(FLAG, text, error.to_string())),
            "driver" => Ok(Self::Driver(value.to_owned())),
            "id" => Ok(Self::Id(value.to_owned())),
            "label" => {
                let (key, value) = filter::label(value);
                Ok(Self::Label(key, value))
            }
            "name" => Ok(Self::Name(value.to_owned())),
            "scope" => Ok(Self::Scope(value.to_owned())),
            "type" => match value {
                "builtin" => Ok(Self::Predefined(true)),
                "custom" => Ok(Self::Predefined(false)),
                _ => Err(invalid(FLAG, text, "the types are builtin and custom")),
            },
            _ => {
                Err(invalid(FLAG, text, "unknown key: dangling, driver, id, label, name, scope and type are supported"))
            }
        }
    }
}

impl Condition {
    fn holds(&self, one: &NetworkSummary) -> bool {
        match self {
            Self::Dangling(dangling) => (!one.used && !one.predefined) == *dangling,
            Self::Driver(driver) => one.driver == *driver,
            Self::Id(part) => one.id.contains(part),
            Self::Label(key, value) => filter::has(&one.labels, key, value.as_deref()),
            Self::Name(part) => one.name.contains(part),
            Self::Scope(scope) => scope == "local",
            Self::Predefined(predefined) => one.predefined == *predefined,
        }
    }
}

/// Whether all hold: of those with one key one must, but every one about labels.
pub(crate) fn take(conditions: &[Condition], one: &NetworkSummary) -> bool {
    let alone = |condition: &Condition| matches!(condition, Condition::Label(..));
    filter::all_hold(conditions, alone, |condition| condition.holds(one))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    pub(crate) fn network(name: &str, used: bool) -> NetworkSummary {
        NetworkSummary {
            id: "0123456789abcdef".repeat(4),
            name: name.to_owned(),
            driver: "bridge".to_owned(),
            ipv4: true,
            ipv6: false,
            internal: false,
            labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            created: "2026-01-01T00:00:00.000000000Z".to_owned(),
            predefined: false,
            used,
        }
    }

    #[test]
    fn what_holds() {
        let taken = |filters: &[&str]| {
            let conditions: Vec<Condition> = filters.iter().map(|text| text.parse().unwrap()).collect();
            take(&conditions, &network("web-net", true))
        };
        for filters in [
            &[][..],
            &["dangling=false"],
            &["name=net"],
            &["name=x", "name=web"],
            &["driver=bridge", "scope=local"],
            &["id=cdef0", "type=custom"],
            &["label=a", "label=a=b"],
        ] {
            assert!(taken(filters), "{filters:?}");
        }
        for filters in [&["dangling=true"][..], &["name=x"], &["driver=host"], &["type=builtin"], &["label=a=c"]] {
            assert!(!taken(filters), "{filters:?}");
        }
        for text in ["", "name", "name=", "dangling=perhaps", "type=x", "size=1"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }
}
