//! `--filter`: which events are shown, by Docker's rules.

use std::str::FromStr;

use stockade_engine::events::{Event, Kind};

use crate::grammar::{Invalid, filter, invalid};

const FLAG: &str = "--filter";
/// What an event can be about. Nothing happens to a daemon that is not there, nor to what only Docker's swarm has.
const TYPES: [&str; 10] =
    ["builder", "config", "container", "daemon", "image", "network", "node", "plugin", "secret", "volume"];

/// One `--filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// What it is about.
    Type(String),
    /// What happened: with what follows a colon, or without.
    Event(String),
    /// To which container: the beginning of its id, or of its name.
    Container(String),
    /// To which image, or to a container of which one: with its tag, or without.
    Image(String),
    /// A label, or any other attribute, and perhaps its value.
    Label(String, Option<String>),
    /// To which volume.
    Volume(String),
    /// To which network.
    Network(String),
    /// To which daemon.
    Daemon(String),
    /// `local` or `swarm`.
    Scope(String),
}

impl FromStr for Condition {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = text.split_once('=').ok_or_else(|| invalid(FLAG, text, "not of the form KEY=VALUE"))?;
        let owned = value.to_owned();
        Ok(match key {
            "type" if TYPES.contains(&value) => Self::Type(owned),
            "type" => return Err(invalid(FLAG, text, format!("one of {}", TYPES.join(", ")))),
            "event" => Self::Event(owned),
            "container" => Self::Container(owned),
            "image" => Self::Image(owned),
            "label" if value.is_empty() => return Err(invalid(FLAG, text, "label=KEY or label=KEY=VALUE")),
            "label" => {
                let (key, value) = filter::label(value);
                Self::Label(key, value)
            }
            "volume" => Self::Volume(owned),
            "network" => Self::Network(owned),
            "daemon" => Self::Daemon(owned),
            "scope" if ["local", "swarm"].contains(&value) => Self::Scope(owned),
            "scope" => return Err(invalid(FLAG, text, "local or swarm")),
            _ => {
                let known = "type, event, container, image, label, volume, network, daemon and scope";
                return Err(invalid(FLAG, text, format!("unknown key: {known} are supported")));
            }
        })
    }
}

impl Condition {
    fn holds(&self, event: &Event) -> bool {
        match self {
            Self::Type(word) => event.kind.word() == word,
            Self::Event(action) => is_action(action, &event.action),
            Self::Container(text) => is_about(Kind::Container, text, event),
            Self::Volume(text) => is_about(Kind::Volume, text, event),
            Self::Network(text) => is_about(Kind::Network, text, event),
            Self::Image(text) => is_of(text, event),
            Self::Label(key, value) => filter::has(&event.actor.attributes, key, value.as_deref()),
            Self::Daemon(_) => false,
            Self::Scope(scope) => scope == "local",
        }
    }
}

/// `exec_create` also means `exec_create: ls`.
fn is_action(wanted: &str, action: &str) -> bool {
    action == wanted || action.split_once(": ").is_some_and(|(word, _)| word == wanted)
}

/// Whether it is about what has an id or a name that begins with `text`.
fn is_about(kind: Kind, text: &str, event: &Event) -> bool {
    let name = event.actor.attributes.get("name");
    event.kind == kind && (event.actor.id.starts_with(text) || name.is_some_and(|name| name.starts_with(text)))
}

/// Whether it is about the image `text` or a container of it.
fn is_of(text: &str, event: &Event) -> bool {
    let attribute = if event.kind == Kind::Image { "name" } else { "image" };
    let name = event.actor.attributes.get(attribute).map_or("", String::as_str);
    let untagged = |name: &str| match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository.to_owned(),
        _ => name.to_owned(),
    };
    [&event.actor.id, name].into_iter().any(|name| !name.is_empty() && (name == text || untagged(name) == text))
}

/// All `--filter`s: of those with one key one must hold, but every `label`.
pub(super) struct Filters(Vec<Condition>);

impl Filters {
    pub(super) fn new(conditions: Vec<Condition>) -> Self {
        Self(conditions)
    }

    /// Whether `event` is shown.
    pub(super) fn take(&self, event: &Event) -> bool {
        let alone = |condition: &Condition| matches!(condition, Condition::Label(..));
        filter::all_hold(&self.0, alone, |condition| condition.holds(event))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::event;
    use super::*;

    fn taken(event: &Event, filters: &[&str]) -> bool {
        Filters::new(filters.iter().map(|text| text.parse().unwrap()).collect()).take(event)
    }

    #[test]
    fn dockers_rules() {
        let exec = event(
            Kind::Container,
            "exec_create: ls",
            "0123",
            &[("name", "web"), ("image", "alpine:3"), ("tier", "front")],
        );
        for filters in [
            &[][..],
            &["type=container"],
            &["type=volume", "type=container"],
            &["event=exec_create"],
            &["event=exec_create: ls"],
            &["container=01"],
            &["container=web", "image=alpine"],
            &["image=alpine:3"],
            &["label=tier", "label=tier=front"],
            &["scope=local"],
        ] {
            assert!(taken(&exec, filters), "{filters:?}");
        }
        for filters in [
            &["type=image"][..],
            &["event=exec"],
            &["container=eb"],
            &["image=alpine:2"],
            &["volume=web"],
            &["network=web"],
            &["daemon=here"],
            &["label=tier", "label=tier=back"],
            &["scope=swarm"],
            &["type=container", "event=die"],
        ] {
            assert!(!taken(&exec, filters), "{filters:?}");
        }
        let pull = event(Kind::Image, "pull", "localhost:5000/a:1", &[("name", "localhost:5000/a")]);
        assert!(taken(&pull, &["image=localhost:5000/a"]) && !taken(&pull, &["image=localhost"]));
        for text in ["", "type", "type=thing", "label=", "scope=x", "until=1h"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }
}
