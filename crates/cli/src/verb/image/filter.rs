//! `--filter` of commands about images.

use std::str::FromStr;

use jiff::Timestamp;
use stockade_engine::{Engine, ImageSummary};

use super::parted;
use crate::exit::Failure;
use crate::grammar::pflag::boolean;
use crate::grammar::until::until;
use crate::grammar::{Invalid, filter, invalid};

const FLAG: &str = "--filter";

/// One `--filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Whether it has no name.
    Dangling(bool),
    /// A label, and perhaps its value.
    Label(String, Option<String>),
    /// No such label, or another value.
    NoLabel(String, Option<String>),
    /// Made before this image.
    Before(String),
    /// Made after this image.
    Since(String),
    /// Made before this time.
    Until(String),
    /// A name that matches this pattern.
    Reference(String),
}

impl FromStr for Condition {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = text.split_once('=').ok_or_else(|| invalid(FLAG, text, "not of the form KEY=VALUE"))?;
        let owned = value.to_owned();
        // `label!=KEY` is split at its equals sign, too.
        Ok(match key {
            _ if value.is_empty() => return Err(invalid(FLAG, text, "nothing stands after =")),
            "dangling" => Self::Dangling(boolean(value).map_err(|error| invalid(FLAG, text, error.to_string()))?),
            "label" => {
                let (key, value) = filter::label(value);
                Self::Label(key, value)
            }
            "label!" => {
                let (key, value) = filter::label(value);
                Self::NoLabel(key, value)
            }
            "before" => Self::Before(owned),
            "since" => Self::Since(owned),
            "until" => {
                until(FLAG, value, Timestamp::now())?;
                Self::Until(owned)
            }
            "reference" => Self::Reference(owned),
            _ => {
                return Err(invalid(
                    FLAG,
                    text,
                    "unknown key: dangling, label, label!, before, since, until and reference are supported",
                ));
            }
        })
    }
}

/// A condition whose images and times were looked up.
enum Settled {
    Is(Condition),
    Earlier(Timestamp),
    Later(Timestamp),
}

/// All `--filter`s: of several `reference`s one must hold, of the others each.
pub(crate) struct Filters(Vec<Settled>);

impl Filters {
    /// Looks up what the conditions name.
    ///
    /// # Errors
    /// If an image that one names is not there.
    pub(crate) fn new(conditions: Vec<Condition>, engine: &Engine, now: Timestamp) -> Result<Self, Failure> {
        let settled = conditions.into_iter().map(|condition| {
            let made = |name: &str| -> Result<Timestamp, Failure> {
                let found = stockade_engine::find_image(engine, name).map_err(|error| Failure::failed(&error))?;
                // As Docker has it, an image without a date is older than all others.
                Ok(found.created.parse().unwrap_or(Timestamp::MIN))
            };
            Ok(match &condition {
                Condition::Before(name) => Settled::Earlier(made(name)?),
                Condition::Since(name) => Settled::Later(made(name)?),
                Condition::Until(time) => {
                    Settled::Earlier(until(FLAG, time, now).map_err(|error| Failure::failed(&error))?)
                }
                _ => Settled::Is(condition),
            })
        });
        settled.collect::<Result<_, Failure>>().map(Self)
    }

    /// What is asked of dangling images, if something is.
    pub(crate) fn dangling(&self) -> Option<bool> {
        self.0.iter().find_map(|one| match one {
            Settled::Is(Condition::Dangling(wanted)) => Some(*wanted),
            _ => None,
        })
    }

    /// Takes the names away that no `reference` matches, if there is one.
    pub(crate) fn narrow(&self, one: &mut ImageSummary) {
        let patterns: Vec<&String> = self.references().collect();
        if !patterns.is_empty() {
            let wanted = |name: &String| patterns.iter().any(|pattern| name_matches(name, pattern));
            one.tags.retain(wanted);
            one.digests.retain(wanted);
        }
    }

    fn references(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter_map(|settled| match settled {
            Settled::Is(Condition::Reference(pattern)) => Some(pattern),
            _ => None,
        })
    }

    /// Whether `one` is taken if what is asked of dangling images does not count.
    pub(crate) fn take_but_dangling(&self, one: &ImageSummary) -> bool {
        self.holds(one, |condition| matches!(condition, Condition::Dangling(_)) || holds(condition, one))
    }

    /// Whether `one` is taken.
    pub(crate) fn take(&self, one: &ImageSummary) -> bool {
        self.holds(one, |condition| holds(condition, one))
    }

    fn holds(&self, one: &ImageSummary, each: impl Fn(&Condition) -> bool) -> bool {
        let made = one.created.parse::<Timestamp>().unwrap_or(Timestamp::MIN);
        let named = |pattern: &String| one.tags.iter().chain(&one.digests).any(|name| name_matches(name, pattern));
        let by_name = self.references().next().is_none() || self.references().any(named);
        by_name
            && self.0.iter().all(|settled| match settled {
                Settled::Earlier(time) => made < *time,
                Settled::Later(time) => made > *time,
                Settled::Is(condition) => each(condition),
            })
    }
}

fn holds(condition: &Condition, one: &ImageSummary) -> bool {
    let has = |key: &str, value: &Option<String>| filter::has(&one.labels, key, value.as_deref());
    match condition {
        Condition::Dangling(wanted) => (one.tags.is_empty() && one.digests.is_empty()) == *wanted,
        Condition::Label(key, value) => has(key, value),
        Condition::NoLabel(key, value) => !has(key, value),
        Condition::Reference(_) | Condition::Before(_) | Condition::Since(_) | Condition::Until(_) => true,
    }
}

/// Whether a name matches, with or without its tag.
fn name_matches(name: &str, pattern: &str) -> bool {
    // What Docker leaves out of names may be written.
    let pattern = pattern.strip_prefix("docker.io/").unwrap_or(pattern);
    let pattern = pattern.strip_prefix("library/").unwrap_or(pattern);
    let (repository, _) = parted(name);
    matches(pattern.as_bytes(), name.as_bytes()) || matches(pattern.as_bytes(), repository.as_bytes())
}

/// Go's `path.Match` without classes of characters: `*` and `?` stand for what is no slash, `\` takes the next as it is.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // Where the last star was, and how much of the text it stands for.
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
                continue;
            }
            Some(b'?') if text.get(place).is_some_and(|byte| *byte != b'/') => {
                (at, place) = (at + 1, place + 1);
                continue;
            }
            Some(b'\\') if pattern.get(at + 1).is_some() && pattern.get(at + 1) == text.get(place) => {
                (at, place) = (at + 2, place + 1);
                continue;
            }
            Some(byte) if !matches!(byte, b'?' | b'\\') && text.get(place) == Some(byte) => {
                (at, place) = (at + 1, place + 1);
                continue;
            }
            None if place == text.len() => return true,
            _ => {}
        }
        // The last star takes one more.
        match star {
            Some((back, from)) if text.get(from).is_some_and(|byte| *byte != b'/') => {
                star = Some((back, from + 1));
                (at, place) = (back + 1, from + 1);
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ls::tests::image;
    use super::*;

    #[test]
    fn patterns_match_as_gos() {
        for (pattern, text) in [
            ("alpine", "alpine"),
            ("*", "alpine:3"),
            ("al*ne", "alpine"),
            ("alpine:3.*", "alpine:3.20"),
            ("*/b", "a/b"),
            ("h?st:5000/*/*:1", "host:5000/a/b:1"),
            ("\\*", "*"),
            ("**", "a"),
        ] {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in
            [("*", "a/b"), ("a?", "a"), ("a", "ab"), ("", "a"), ("a*b", "ac"), ("?", "/"), ("\\", "\\")]
        {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        // No pattern takes long.
        assert!(!matches("*a".repeat(1000).as_bytes(), "a".repeat(999).as_bytes()));
    }

    #[test]
    fn what_holds() {
        let taken = |filters: &[&str]| {
            let conditions = filters.iter().map(|text| text.parse::<Condition>().unwrap());
            Filters(conditions.map(Settled::Is).collect()).take(&image(&["alpine:3.20"], &[]))
        };
        for filters in [
            &[][..],
            &["dangling=false"],
            &["label=a"],
            &["label=a=b", "label!=c"],
            &["reference=alpine"],
            &["reference=docker.io/library/alpine:*"],
            &["reference=nope", "reference=alp*"],
        ] {
            assert!(taken(filters), "{filters:?}");
        }
        for filters in
            [&["dangling=true"][..], &["label=b"], &["label=a", "label=a=c"], &["label!=a"], &["reference=alp"]]
        {
            assert!(!taken(filters), "{filters:?}");
        }
        let between = Filters(vec![
            Settled::Later("2025-01-01T00:00:00Z".parse().unwrap()),
            Settled::Earlier("2026-01-01T00:00:01Z".parse().unwrap()),
        ]);
        assert!(between.take(&image(&[], &[])));
        assert!(!Filters(vec![Settled::Earlier(Timestamp::UNIX_EPOCH)]).take(&image(&[], &[])));
        for text in ["", "dangling", "dangling=x", "label=", "until=x", "nope=x", "reference="] {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
    }
}
