//! `--filter`: which containers are listed.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use stockade_engine::images::Reference;
use stockade_engine::{ContainerId, Engine, FindError, Summary};

use crate::grammar::pflag::boolean;
use crate::grammar::{Invalid, expose, filter, invalid};

const FLAG: &str = "--filter";

/// The states that Docker knows. Those that no container of ours is ever in find nothing.
const STATES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];

/// What Docker knows of health; the last is that of a container without a check.
const HEALTHS: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];

/// One `--filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// A part of the name, or with `^` and `$` its beginning and end.
    Name(String),
    /// The beginning of the id.
    Id(String),
    /// The state.
    Status(String),
    /// The exit code.
    Exited(u8),
    /// A label, and perhaps its value.
    Label(String, Option<String>),
    /// The image's name, with or without its tag, or its id, or the beginning of that.
    Ancestor(String),
    /// That it was made before this one.
    Before(String),
    /// That it was made after this one.
    Since(String),
    /// The name of what is mounted, or where that is on the host or in the container.
    Volume(String),
    /// A network by its name, or the beginning of its id.
    Network(String),
    /// One of these ports was to be published.
    Publish(BTreeSet<String>),
    /// One of these ports was named.
    Expose(BTreeSet<String>),
    /// What its health check says.
    Health(String),
    /// Whether it belongs to a cluster's task.
    IsTask(bool),
}

impl FromStr for Condition {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = text.split_once('=').ok_or_else(|| invalid(FLAG, text, "not of the form KEY=VALUE"))?;
        let owned = value.to_owned();
        Ok(match key {
            "name" => Self::Name(owned),
            "id" => Self::Id(owned),
            "status" if STATES.contains(&value) => Self::Status(owned),
            "status" => return Err(invalid(FLAG, text, format!("one of {}", STATES.join(", ")))),
            "exited" => {
                Self::Exited(value.parse().map_err(|_overflow| invalid(FLAG, text, "an exit code from 0 to 255"))?)
            }
            "label" if value.is_empty() => return Err(invalid(FLAG, text, "label=KEY or label=KEY=VALUE")),
            "label" => {
                let (key, value) = filter::label(value);
                Self::Label(key, value)
            }
            "ancestor" => Self::Ancestor(owned),
            "before" => Self::Before(owned),
            "since" => Self::Since(owned),
            "volume" => Self::Volume(owned),
            "network" => Self::Network(owned),
            "publish" => Self::Publish(ports(text, value)?),
            "expose" => Self::Expose(ports(text, value)?),
            "health" if HEALTHS.contains(&value) => Self::Health(owned),
            "health" => return Err(invalid(FLAG, text, format!("one of {}", HEALTHS.join(", ")))),
            "is-task" => Self::IsTask(boolean(value).map_err(|error| invalid(FLAG, text, error.to_string()))?),
            _ => {
                return Err(invalid(
                    FLAG,
                    text,
                    "unknown key: ancestor, before, exited, expose, health, id, is-task, label, name, network, publish, \
                     since, status and volume are supported",
                ));
            }
        })
    }
}

/// The ports that `value` names.
fn ports(text: &str, value: &str) -> Result<BTreeSet<String>, Invalid> {
    let ports = expose::ports(value);
    let ports =
        ports.map_err(|_other| invalid(FLAG, text, "a port, or FIRST-LAST, and perhaps /tcp, /udp or /sctp"))?;
    Ok(ports.each().collect())
}

/// When a container was made, with its id: the order of the list.
type Age = (String, ContainerId);

fn age(one: &Summary) -> Age {
    (one.created.clone(), one.id.clone())
}

impl Condition {
    /// Whether it holds for `one`; `ages` has those that conditions name.
    fn holds(&self, one: &Summary, ages: &BTreeMap<String, Age>) -> bool {
        match self {
            Self::Name(pattern) => name_matches(pattern, one.name.as_str()),
            Self::Id(beginning) => one.id.as_str().starts_with(beginning.as_str()),
            Self::Status(status) => super::state(one) == status,
            Self::Exited(code) => one.state == stockade_engine::State::Exited && one.exit_code == Some(*code),
            Self::Label(key, value) => filter::has(&one.labels, key, value.as_deref()),
            Self::Ancestor(image) => is_of(image, one),
            Self::Before(other) => ages.get(other).is_some_and(|other| age(one) < *other),
            Self::Since(other) => ages.get(other).is_some_and(|other| age(one) > *other),
            Self::Volume(text) => one.mounts.iter().any(|mount| {
                let name = if mount.name.is_empty() { &mount.source } else { &mount.name };
                name == text || mount.destination == *text
            }),
            Self::Network(text) => one
                .networks
                .iter()
                .any(|network| network.name == *text || !text.is_empty() && network.id.starts_with(text.as_str())),
            Self::Publish(ports) => !ports.is_disjoint(&one.published),
            Self::Expose(ports) => !ports.is_disjoint(&one.exposed),
            Self::Health(health) => one.health.map_or_else(|| "none".to_owned(), |known| known.to_string()) == *health,
            Self::IsTask(task) => !task,
        }
    }
}

/// Whether the container was made from the image that `text` means.
fn is_of(text: &str, one: &Summary) -> bool {
    let name = |text: &str| match Reference::parse(text) {
        Ok(Reference::Named(name)) => Some(name.tag_or_latest()),
        _ => None,
    };
    let bare = text.strip_prefix("sha256:").unwrap_or(text);
    let id = one.image_id.as_deref().and_then(|id| id.strip_prefix("sha256:"));
    one.image == text
        || one.image.rsplit_once(':').is_some_and(|(untagged, _)| untagged == text)
        || name(text).is_some_and(|wanted| name(&one.image) == Some(wanted))
        || !bare.is_empty() && id.is_some_and(|id| id.starts_with(bare))
}

/// Docker's names have a slash before them, which patterns may begin with.
fn name_matches(pattern: &str, name: &str) -> bool {
    let (begins, pattern) = pattern.strip_prefix('^').map_or((false, pattern), |pattern| (true, pattern));
    let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
    let (ends, pattern) = pattern.strip_suffix('$').map_or((false, pattern), |pattern| (true, pattern));
    match (begins, ends) {
        (true, true) => name == pattern,
        (true, false) => name.starts_with(pattern),
        (false, true) => name.ends_with(pattern),
        (false, false) => name.contains(pattern),
    }
}

/// All `--filter`s: of those with one key one must hold, but every `label`.
pub(super) struct Filters {
    conditions: Vec<Condition>,
    ages: BTreeMap<String, Age>,
}

impl Filters {
    pub(super) fn new(conditions: Vec<Condition>) -> Self {
        Self { conditions, ages: BTreeMap::new() }
    }

    /// Whether they ask for states, and so for containers that do not run.
    pub(super) fn name_states(&self) -> bool {
        self.conditions.iter().any(|condition| matches!(condition, Condition::Status(_) | Condition::Exited(_)))
    }

    /// Looks for the containers that they name among `all`.
    ///
    /// # Errors
    /// If one is not there.
    pub(super) fn resolve(mut self, engine: &Engine, all: &[Summary]) -> Result<Self, FindError> {
        for condition in &self.conditions {
            let (Condition::Before(name) | Condition::Since(name)) = condition else { continue };
            let id = engine.find(name)?;
            let found = all.iter().find(|one| one.id == id).ok_or_else(|| FindError::Missing(name.clone()))?;
            self.ages.insert(name.clone(), age(found));
        }
        Ok(self)
    }

    /// Whether `one` is listed.
    pub(super) fn take(&self, one: &Summary) -> bool {
        let alone = |condition: &Condition| matches!(condition, Condition::Label(..));
        filter::all_hold(&self.conditions, alone, |condition| condition.holds(one, &self.ages))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::container;
    use super::*;
    use stockade_engine::State;

    #[test]
    fn images_are_told_by_name_and_by_id() {
        let of = |image: &str, text: &str| {
            let id = Some(format!("sha256:{}", "0123456789abcdef".repeat(4)));
            is_of(text, &Summary { image: image.to_owned(), image_id: id, ..container("web-1", State::Exited) })
        };
        for text in ["alpine", "alpine:latest", "docker.io/library/alpine", "0123456789ab", "sha256:0123"] {
            assert!(of("alpine", text), "{text}");
        }
        for text in ["alpine:3", "library", "sha256:", "", "123", "localhost/alpine"] {
            assert!(!of("alpine", text), "{text}");
        }
        assert!(of("alpine:3.20", "alpine") && of("localhost:5000/a:1", "localhost:5000/a"));
    }

    fn taken(filters: &[&str]) -> bool {
        let conditions = filters.iter().map(|text| text.parse().unwrap()).collect();
        let old = |digit: &str| ("2025-12-31T00:00:00Z".to_owned(), digit.repeat(64).try_into().unwrap());
        let ages = BTreeMap::from([
            ("old".to_owned(), old("0")),
            ("web-1".to_owned(), age(&container("web-1", State::Exited))),
            ("new".to_owned(), ("2026-01-01T00:00:00Z".to_owned(), "f".repeat(64).try_into().unwrap())),
        ]);
        Filters { conditions, ages }.take(&container("web-1", State::Exited))
    }

    #[test]
    fn what_holds() {
        for filters in [
            &[][..],
            &["name=web"],
            &["name=^web-1$"],
            &["name=^/web"],
            &["name=nope", "name=1$"],
            &["id=0123"],
            &["status=exited"],
            &["status=running", "status=exited"],
            &["exited=137"],
            &["label=a"],
            &["ancestor=oci:/images/busybox"],
            &["ancestor=oci:/images/busybox:latest", "name=web"],
            &["before=new"],
            &["since=old", "before=new"],
            &["volume=cache"],
            &["volume=/data"],
            &["volume=/srv/a/long/way/down"],
            &["network=front"],
            &["network=feedfe"],
            &["publish=80"],
            &["publish=80/tcp", "expose=50-60/udp"],
            &["health=none"],
            &["is-task=false"],
        ] {
            assert!(taken(filters), "{filters:?}");
        }
        for filters in [
            &["name=webb"][..],
            &["name=^eb"],
            &["name=web$"],
            &["id=123"],
            &["status=running"],
            &["exited=0"],
            &["label=b"],
            &["label=a=c"],
            &["label=a", "label=b"],
            &["ancestor=busybox"],
            &["name=web", "status=created"],
            &["before=old"],
            &["before=web-1"],
            &["since=web-1"],
            &["since=new"],
            &["volume=/var/lib/stockade/volumes/cache/_data"],
            &["volume=cach"],
            &["network=fron"],
            &["network="],
            &["publish=53/udp"],
            &["expose=53"],
            &["health=healthy"],
            &["is-task=1"],
        ] {
            assert!(!taken(filters), "{filters:?}");
        }
        for text in [
            "",
            "name",
            "status=up",
            "exited=x",
            "exited=256",
            "label=",
            "publish=8080:80",
            "expose=x",
            "health=ill",
            "is-task=x",
            "isolation=x",
        ] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }
}
