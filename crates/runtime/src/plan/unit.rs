//! `org.systemd.property.NAME`: annotations by which engines give a container's scope properties, as runc takes them
//! (`docs/systemd.md` there). The values are in GVariant's text form.
//!
//! Only properties are taken that bear on how the unit is stopped, ordered and shown. An annotation may come from whoever may describe a pod,
//! and others are limits, which `linux.resources` has, or weaken what systemd keeps of the container (CVE-2024-3154).

use std::collections::BTreeMap;

use stockade_cgroups::systemd::{Property, Value};

use super::PlanError;

const PREFIX: &str = "org.systemd.property.";

/// The forms of values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Flag,
    Text,
    Texts,
    Micros,
}

const KNOWN: [(&str, Form); 10] = [
    ("After", Form::Texts),
    ("Before", Form::Texts),
    ("CollectMode", Form::Text),
    ("DefaultDependencies", Form::Flag),
    ("Description", Form::Text),
    ("Documentation", Form::Texts),
    ("RuntimeMaxUSec", Form::Micros),
    ("SendSIGHUP", Form::Flag),
    ("TimeoutStartUSec", Form::Micros),
    ("TimeoutStopUSec", Form::Micros),
];

/// The properties that `annotations` ask for.
///
/// # Errors
/// [`PlanError::Unsupported`] for a property that is not taken, and [`PlanError::Invalid`] for a value of another form.
pub fn unit_properties(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>, PlanError> {
    let mut properties: Vec<Property> = Vec::new();
    for (key, text) in annotations {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        let path = || format!("annotations[{key:?}]");
        // Times in seconds, as runc takes them.
        let seconds = name.strip_suffix("Sec").filter(|stem| !stem.ends_with('U')).map(|stem| format!("{stem}USec"));
        let wanted = seconds.as_deref().unwrap_or(name);
        let Some((known, form)) = KNOWN.iter().find(|(known, _)| *known == wanted) else {
            let why = "of a container's scope, only properties can be given that bear on how it is stopped, ordered and shown";
            return Err(PlanError::unsupported(path(), text, why));
        };
        let (value, allowed) = match form {
            Form::Flag => (flag(text), "true or false"),
            Form::Text => (quoted(text).map(Value::Text), "a text in quotes"),
            Form::Texts => (texts(text), "a list like ['a', 'b']"),
            Form::Micros if seconds.is_some() => (micros(text, 1_000_000), "a number of seconds"),
            Form::Micros => (micros(text, 1), "a number of microseconds, like uint64 5"),
        };
        let value = value.ok_or_else(|| PlanError::invalid(path(), text, allowed))?;
        if properties.iter().any(|(other, _)| other == known) {
            return Err(PlanError::conflict(path(), text, format!("{PREFIX}{known}"), "both are the same property"));
        }
        properties.push(((*known).to_owned(), value));
    }
    Ok(properties)
}

fn flag(text: &str) -> Option<Value> {
    match text {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        _ => None,
    }
}

/// A number with or without its type, in units of so many microseconds.
fn micros(text: &str, unit: u64) -> Option<Value> {
    let types = ["uint64 ", "uint32 ", "int64 ", "int32 "];
    let number = types.iter().find_map(|name| text.strip_prefix(name)).unwrap_or(text);
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u64>().ok().filter(|_| digits)?.checked_mul(unit).map(Value::Long)
}

/// What stands between quotes, without an escape.
fn quoted(text: &str) -> Option<String> {
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    let inner = inner('\'').or_else(|| inner('"'))?;
    (!inner.contains(['\'', '"', '\\', '\0', '\n'])).then(|| inner.to_owned())
}

fn texts(text: &str) -> Option<Value> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    if inner.is_empty() {
        return Some(Value::Texts(Vec::new()));
    }
    inner.split(',').map(|part| quoted(part.trim())).collect::<Option<_>>().map(Value::Texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Result<Vec<Property>, PlanError> {
        unit_properties(&BTreeMap::from([(format!("{PREFIX}{name}"), text.to_owned())]))
    }

    #[test]
    fn every_form() {
        let one = |name: &str, value| vec![(name.to_owned(), value)];
        assert_eq!(of("TimeoutStopUSec", "uint64 123").unwrap(), one("TimeoutStopUSec", Value::Long(123)));
        assert_eq!(of("TimeoutStopSec", "5").unwrap(), one("TimeoutStopUSec", Value::Long(5_000_000)));
        assert_eq!(of("CollectMode", "'inactive'").unwrap(), one("CollectMode", Value::Text("inactive".to_owned())));
        assert_eq!(of("DefaultDependencies", "true").unwrap(), one("DefaultDependencies", Value::Bool(true)));
        let texts = Value::Texts(vec!["a.service".to_owned(), "b.service".to_owned()]);
        assert_eq!(of("After", "['a.service', \"b.service\"]").unwrap(), one("After", texts));
        assert_eq!(unit_properties(&BTreeMap::from([("other".to_owned(), "x".to_owned())])).unwrap(), []);
    }

    #[test]
    fn what_is_not_taken() {
        for (name, text) in [
            ("MemoryMax", "uint64 5"),
            ("DeviceAllow", "[]"),
            ("DevicePolicy", "'auto'"),
            ("Delegate", "false"),
            ("Slice", "'x.slice'"),
            ("PIDs", "[1]"),
            ("Wants", "['rescue.service']"),
            ("", "1"),
            ("TimeoutStopUSec", "-1"),
            ("TimeoutStopUSec", "uint64"),
            ("TimeoutStopSec", "99999999999999999999"),
            ("CollectMode", "inactive"),
            ("CollectMode", "'a\\'b'"),
            ("DefaultDependencies", "1"),
            ("After", "['a"),
            ("After", "a"),
        ] {
            assert!(of(name, text).is_err(), "{name} {text}");
        }
        let twice = ["TimeoutStopSec", "TimeoutStopUSec"].map(|name| (format!("{PREFIX}{name}"), "1".to_owned()));
        assert!(unit_properties(&BTreeMap::from(twice)).is_err());
    }
}
