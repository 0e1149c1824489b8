//! `--filter`: which containers are listed.

use std::str::FromStr;

use stockade_engine::Summary;
use stockade_engine::images::Reference;

use crate::grammar::{Invalid, filter, invalid};

const FLAG: &str = "--filter";

/// The states that Docker knows. Those that no container of ours is ever in find nothing.
const STATES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];

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
            _ => {
                return Err(invalid(
                    FLAG,
                    text,
                    "unknown key: name, id, status, exited, label and ancestor are supported",
                ));
            }
        })
    }
}

impl Condition {
    /// Whether it holds for `one`.
    fn holds(&self, one: &Summary) -> bool {
        match self {
            Self::Name(pattern) => name_matches(pattern, one.name.as_str()),
            Self::Id(beginning) => one.id.as_str().starts_with(beginning.as_str()),
            Self::Status(status) => super::state(one) == status,
            Self::Exited(code) => one.state == stockade_engine::State::Exited && one.exit_code == Some(*code),
            Self::Label(key, value) => filter::has(&one.labels, key, value.as_deref()),
            Self::Ancestor(image) => is_of(image, one),
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
pub(super) struct Filters(Vec<Condition>);

impl Filters {
    pub(super) fn new(conditions: Vec<Condition>) -> Self {
        Self(conditions)
    }

    /// Whether they ask for states, and so for containers that do not run.
    pub(super) fn name_states(&self) -> bool {
        self.0.iter().any(|condition| matches!(condition, Condition::Status(_) | Condition::Exited(_)))
    }

    /// Whether `one` is listed.
    pub(super) fn take(&self, one: &Summary) -> bool {
        let alone = |condition: &Condition| matches!(condition, Condition::Label(..));
        filter::all_hold(&self.0, alone, |condition| condition.holds(one))
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
        Filters::new(conditions).take(&container("web-1", State::Exited))
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
        ] {
            assert!(!taken(filters), "{filters:?}");
        }
        for text in ["", "name", "status=up", "exited=x", "exited=256", "label=", "before=x", "volume=x"] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }
}
