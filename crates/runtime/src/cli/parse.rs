//! Reading flags as runc does: one dash or two, a value after `=` or as the next argument.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Flag, verbs};

/// A command line that can not be understood.
#[derive(Debug, thiserror::Error)]
pub(super) enum UsageError {
    /// An argument that is no text.
    #[error("the argument {0:?} is not UTF-8")]
    NotText(OsString),
    /// A flag that does not exist.
    #[error("unknown flag {given}{}", nearest.map(|name| format!(", did you mean --{name}?")).unwrap_or_default())]
    UnknownFlag {
        /// As it was given.
        given: String,
        /// The flag of the most similar name.
        nearest: Option<&'static str>,
    },
    /// A verb that does not exist.
    #[error("unknown command {given:?}{}", nearest.map(|name| format!(", did you mean {name}?")).unwrap_or_default())]
    UnknownVerb {
        /// As it was given.
        given: String,
        /// The verb of the most similar name.
        nearest: Option<&'static str>,
    },
    /// A flag without its value.
    #[error("the flag --{0} needs a value")]
    NoValue(&'static str),
    /// A flag with a value that it does not have.
    #[error("the flag --{flag} is {given:?}, must be {allowed}")]
    Value {
        /// The flag.
        flag: &'static str,
        /// What was given.
        given: String,
        /// What could be.
        allowed: String,
    },
    /// An argument that is not what it must be.
    #[error("{0}")]
    Argument(String),
}

impl UsageError {
    /// A value that a flag can not have.
    pub(super) fn value(flag: &'static str, given: &str, allowed: impl Into<String>) -> Self {
        Self::Value { flag, given: given.to_owned(), allowed: allowed.into() }
    }
}

/// Where flags end, besides at `--`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Before anything: nothing is looked at.
    BeforeAll,
    /// At the first argument that is none: what follows belongs to another program.
    AtArgument,
    /// Never: they may come after arguments.
    AtEnd,
}

/// What was given.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    flags: Vec<(&'static str, String)>,
    /// The other arguments.
    pub(super) arguments: Vec<String>,
}

impl Parsed {
    /// Whether the flag was given, and not as `=false`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value != "false")
    }

    /// The flag's value, an empty one being none: engines give flags that they have nothing to say with.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !value.is_empty())
    }

    /// The same as a path.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// The flag's value; the last one counts.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.flags.iter().rev().find(|(flag, _)| *flag == name).map(|(_, value)| value.as_str())
    }

    /// All values of the flag.
    pub(super) fn values(&self, name: &str) -> Vec<String> {
        self.flags.iter().filter(|(flag, _)| *flag == name).map(|(_, value)| value.clone()).collect()
    }
}

/// The arguments as text.
pub(super) fn texts(arguments: Vec<OsString>) -> Result<Vec<String>, UsageError> {
    arguments.into_iter().map(|argument| argument.into_string().map_err(UsageError::NotText)).collect()
}

/// Takes the flags of `table` out of `arguments`; the rest is returned in order.
pub(super) fn parse(
    table: &'static [Flag],
    arguments: &[String],
    stop: Stop,
) -> Result<(Parsed, Vec<String>), UsageError> {
    let mut parsed = Parsed::default();
    let mut rest = Vec::new();
    if stop == Stop::BeforeAll {
        return Ok((parsed, arguments.to_vec()));
    }
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            rest.extend(arguments.cloned());
            break;
        }
        // A dash alone is an argument: standard input.
        let Some(text) = argument.strip_prefix('-').filter(|text| !text.is_empty()) else {
            rest.push(argument.clone());
            if stop == Stop::AtArgument {
                rest.extend(arguments.cloned());
                break;
            }
            continue;
        };
        let text = text.strip_prefix('-').unwrap_or(text);
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.to_owned())));
        let flag = table.iter().find(|flag| flag.name == name || flag.short == Some(name));
        let flag = flag.ok_or_else(|| unknown_flag(table, argument, name))?;
        let value = match (flag.value, value) {
            (Some(_), None) => arguments.next().cloned().ok_or(UsageError::NoValue(flag.name))?,
            (None, None) => "true".to_owned(),
            (None, Some(value)) => switch(flag.name, &value)?.to_owned(),
            (Some(_), Some(value)) => value,
        };
        parsed.flags.push((flag.name, value));
    }
    Ok((parsed, rest))
}

/// A switch's value in the spellings of Go's `ParseBool`, which engines write.
fn switch(flag: &'static str, value: &str) -> Result<&'static str, UsageError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok("true"),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok("false"),
        _ => Err(UsageError::value(flag, value, "true or false")),
    }
}

fn unknown_flag(table: &'static [Flag], given: &str, name: &str) -> UsageError {
    UsageError::UnknownFlag { given: given.to_owned(), nearest: nearest(name, table.iter().map(|flag| flag.name)) }
}

/// The error for a verb that does not exist.
pub(super) fn unknown_verb(given: &str) -> UsageError {
    let nearest = nearest(given, verbs::ALL.iter().map(|verb| verb.name));
    UsageError::UnknownVerb { given: given.to_owned(), nearest }
}

/// The name that takes the fewest changed letters, if those are few.
fn nearest(given: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let best = names.map(|name| (distance(given, name), name)).min()?;
    (best.0 <= 2).then_some(best.1)
}

/// How many letters have to be added, left out or changed.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    // A text that is much longer than every name is near to none.
    for (index, letter) in left.chars().take(64).enumerate() {
        let mut diagonal = index;
        row[0] = index + 1;
        for (at, other) in right.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Flag] = &[
        Flag { name: "force", short: Some("f"), value: None, help: "" },
        Flag { name: "bundle", short: Some("b"), value: Some("DIR"), help: "" },
    ];

    fn read(arguments: &[&str], stop: Stop) -> Result<(Parsed, Vec<String>), String> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        parse(TABLE, &arguments, stop).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_in_all_their_forms() {
        for form in [&["-b", "x", "-f"][..], &["--bundle=x", "--force"], &["-bundle", "x", "-force=true"]] {
            let (parsed, rest) = read(form, Stop::AtEnd).unwrap();
            assert!(parsed.has("force") && rest.is_empty());
            assert_eq!(parsed.value("bundle"), Some("x"));
        }
        let (parsed, rest) = read(&["id", "-f", "-", "--", "-b"], Stop::AtEnd).unwrap();
        assert!(parsed.has("force"));
        assert_eq!(rest, ["id", "-", "-b"]);
        let (parsed, rest) = read(&["id", "-f"], Stop::AtArgument).unwrap();
        assert!(!parsed.has("force"));
        assert_eq!(rest, ["id", "-f"]);
        for (value, on) in [("false", false), ("0", false), ("F", false), ("1", true), ("TRUE", true)] {
            assert_eq!(read(&[&format!("--force={value}")], Stop::AtEnd).unwrap().0.has("force"), on, "{value}");
        }
        let (parsed, _) = read(&["--bundle=", "-b=x=y"], Stop::AtEnd).unwrap();
        assert_eq!((parsed.text("bundle"), parsed.values("bundle").len()), (Some("x=y"), 2));
        assert_eq!(read(&["--bundle", ""], Stop::AtEnd).unwrap().0.path("bundle"), None);
        assert_eq!(read(&["--forse", "id"], Stop::BeforeAll).unwrap().1, ["--forse", "id"]);
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |arguments: &[&str]| read(arguments, Stop::AtEnd).unwrap_err();
        assert_eq!(wrong(&["--forse"]), "unknown flag --forse, did you mean --force?");
        assert_eq!(wrong(&["--zzzzzz"]), "unknown flag --zzzzzz");
        assert_eq!(wrong(&["--bundle"]), "the flag --bundle needs a value");
        assert!(wrong(&["--force=maybe"]).contains("maybe"));
        assert!(unknown_verb("strat").to_string().contains("did you mean start?"));
    }
}
