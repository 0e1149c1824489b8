//! The functions of templates: Go's own and Docker's.

use serde_json::Value;

use super::TemplateError;
use super::printf::{WIDEST, printf};
use super::value::{is_true, ordered, place, printed, same};

/// All of them, for people who misspelt one. `and` and `or` are done by who evaluates arguments.
pub(super) const KNOWN: &[&str] = &[
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not", "or", "pad", "print",
    "printf", "println", "slice", "split", "title", "truncate", "upper",
];

/// What a template is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The fields.
    Values,
    /// The heads of columns, which functions that change a text leave as they are.
    Heads,
}

/// What `name` makes of its arguments.
pub(super) fn call(name: &'static str, arguments: &[Value], mode: Mode) -> Result<Value, TemplateError> {
    if mode == Mode::Heads && changes_a_text(name) {
        // The text is the last argument of a pipe, and the first one of `join` and its like.
        let head = arguments.iter().find(|argument| argument.is_string());
        return Ok(head.cloned().unwrap_or_default());
    }
    let refused = |reason: String| TemplateError::Operation { what: name.to_owned(), reason };
    let wrong = || {
        let given: Vec<String> = arguments.iter().map(printed).collect();
        refused(format!("it was given {}", if given.is_empty() { "nothing".to_owned() } else { given.join(", ") }))
    };
    Ok(match (name, arguments) {
        ("json", [value]) => value.to_string().into(),
        ("len", [value]) => length(value).ok_or_else(wrong)?.into(),
        ("upper", [value]) => printed(value).to_uppercase().into(),
        ("lower", [value]) => printed(value).to_lowercase().into(),
        ("title", [value]) => title(&printed(value)).into(),
        ("split", [Value::String(text), Value::String(by)]) => split(text, by),
        ("join", [Value::Array(items), Value::String(by)]) => {
            items.iter().map(printed).collect::<Vec<_>>().join(by).into()
        }
        ("join", [Value::Null, Value::String(_)]) => "".into(),
        ("pad", [Value::String(text), before, after]) => {
            let spaces = |count: &Value| place(count).filter(|count| *count <= WIDEST).map(|count| " ".repeat(count));
            let (before, after) = spaces(before).zip(spaces(after)).ok_or_else(wrong)?;
            if text.is_empty() { "".into() } else { format!("{before}{text}{after}").into() }
        }
        ("truncate", [Value::String(text), most]) => {
            text.chars().take(place(most).ok_or_else(wrong)?).collect::<String>().into()
        }
        ("not", [value]) => (!is_true(value)).into(),
        ("eq", [first, others @ ..]) if !others.is_empty() => {
            let found: Option<Vec<bool>> = others.iter().map(|other| same(first, other)).collect();
            found.ok_or_else(wrong)?.contains(&true).into()
        }
        ("ne", [one, other]) => (!same(one, other).ok_or_else(wrong)?).into(),
        ("lt", [one, other]) => ordered(one, other).ok_or_else(wrong)?.is_lt().into(),
        ("le", [one, other]) => ordered(one, other).ok_or_else(wrong)?.is_le().into(),
        ("gt", [one, other]) => ordered(one, other).ok_or_else(wrong)?.is_gt().into(),
        ("ge", [one, other]) => ordered(one, other).ok_or_else(wrong)?.is_ge().into(),
        ("index", [value, keys @ ..]) => index(value, keys).ok_or_else(wrong)?,
        ("slice", [value, places @ ..]) => slice(value, places).ok_or_else(wrong)?,
        ("print", values) => print(values).into(),
        ("println", values) => {
            let words: Vec<String> = values.iter().map(printed).collect();
            format!("{}\n", words.join(" ")).into()
        }
        ("printf", [Value::String(format), values @ ..]) => printf(format, values).map_err(refused)?.into(),
        _ => return Err(wrong()),
    })
}

fn changes_a_text(name: &str) -> bool {
    matches!(
        name,
        "json" | "upper" | "lower" | "title" | "split" | "join" | "truncate" | "pad" | "slice" | "index" | "len"
    )
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.len()),
        Value::Array(items) => Some(items.len()),
        Value::Object(fields) => Some(fields.len()),
        Value::Null => Some(0),
        Value::Bool(_) | Value::Number(_) => None,
    }
}

/// With the first letter of every word in upper case.
fn title(text: &str) -> String {
    let mut before = ' ';
    let mut titled = String::new();
    for sign in text.chars() {
        if before.is_alphanumeric() || matches!(before, '_' | '\'') {
            titled.push(sign);
        } else {
            titled.extend(sign.to_uppercase());
        }
        before = sign;
    }
    titled
}

/// As Go does: nothing between two signs where there is nothing to split at.
fn split(text: &str, by: &str) -> Value {
    if by.is_empty() { text.chars().map(String::from).collect() } else { text.split(by).collect() }
}

fn index(value: &Value, keys: &[Value]) -> Option<Value> {
    let mut value = value;
    let nothing = Value::from("");
    for key in keys {
        value = match value {
            // What a map does not have is its type's zero value in Go, and so nothing in a map of texts.
            Value::Object(fields) => fields.get(key.as_str()?).unwrap_or(&nothing),
            Value::Array(items) => items.get(place(key)?)?,
            Value::Null if key.is_string() => &nothing,
            _ => return None,
        };
    }
    Some(value.clone())
}

fn slice(value: &Value, places: &[Value]) -> Option<Value> {
    let (start, end) = match places {
        [] => (0, length(value)?),
        [start] => (place(start)?, length(value)?),
        [start, end] => (place(start)?, place(end)?),
        _ => return None,
    };
    match value {
        Value::String(text) => text.get(start..end).map(Value::from),
        Value::Array(items) => items.get(start..end).map(|items| items.to_vec().into()),
        _ => None,
    }
}

/// Go's `Sprint`: a space between two values neither of which is a text.
fn print(values: &[Value]) -> String {
    let mut text = String::new();
    for (index, value) in values.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| values.get(index));
        if before.is_some_and(|before| !before.is_string() && !value.is_string()) {
            text.push(' ');
        }
        text.push_str(&printed(value));
    }
    text
}
