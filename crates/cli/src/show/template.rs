//! `--format`: Go's templates, as far as Docker's users need them.
//!
//! Text with actions in double braces: a path (`{{.State.Status}}`), `json PATH`, `len PATH`, `upper PATH`, `lower PATH`,
//! `index PATH KEY...`, a method with arguments (`{{.Label "key"}}`), and a pipe into one of these (`{{.State | json}}`).
//! `\t` and `\n` in the text are a tab and a line end. Everything else of Go's language is refused by name.

use std::collections::BTreeMap;

use serde_json::Value;

/// What a template cannot be made of or filled with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// An action that does not end.
    #[error("invalid --format: an action begins with {{{{ and does not end with }}}}")]
    Unclosed,
    /// An action that is not supported.
    #[error(
        "invalid --format: {{{{{0}}}}} is not supported: .Path, json, len, upper, lower, index, and | between them are"
    )]
    Unsupported(String),
    /// A field that is not there.
    #[error("invalid --format: there is no field {field}; there are {known}")]
    NoField {
        /// What was asked for.
        field: String,
        /// What could be.
        known: String,
    },
}

/// A template that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Stages of a pipe, the first of which has a path.
    Action(Vec<Stage>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stage {
    function: Function,
    path: Option<Vec<String>>,
    arguments: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Itself,
    Json,
    Len,
    Upper,
    Lower,
    Index,
}

/// What a template is filled with.
pub(crate) struct Filling {
    /// The fields.
    pub(crate) fields: Value,
    /// Fields that only take arguments, such as `.Label "key"`, with their answers.
    pub(crate) methods: BTreeMap<&'static str, Value>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// See [`TemplateError`].
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (action, after) = after.split_once("}}").ok_or(TemplateError::Unclosed)?;
            parts.push(Part::Text(unescape(before)));
            let unsupported = || TemplateError::Unsupported(action.to_owned());
            let words = words(action).ok_or_else(unsupported)?;
            parts.push(Part::Action(stages(&words).ok_or_else(unsupported)?));
            rest = after;
        }
        parts.push(Part::Text(unescape(rest)));
        Ok(Self(parts))
    }

    /// The names of the paths, in their order: what Docker writes over columns.
    pub(crate) fn columns(&self) -> Vec<String> {
        let actions = self.0.iter().filter_map(|part| match part {
            Part::Action(stages) => stages.first(),
            Part::Text(_) => None,
        });
        actions.map(|stage| stage.path.clone().unwrap_or_default().join(".")).collect()
    }

    /// The same template with the actions replaced by `cells`, one for each.
    pub(crate) fn with_cells(&self, cells: &[String]) -> String {
        let mut cells = cells.iter();
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Action(_) => cells.next().map_or("", String::as_str),
        });
        parts.collect()
    }

    /// The text with every action replaced by what it says of `filling`.
    ///
    /// # Errors
    /// [`TemplateError::NoField`], or an unsupported operation on a value.
    pub(crate) fn fill(&self, filling: &Filling) -> Result<String, TemplateError> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Action(stages) => {
                    let mut value = Value::Null;
                    for stage in stages {
                        value = stage.value(filling, value)?;
                    }
                    text.push_str(&printed(&value));
                }
            }
        }
        Ok(text)
    }
}

impl Stage {
    /// What this stage makes of the fields, or of what the stage before it made.
    fn value(&self, filling: &Filling, piped: Value) -> Result<Value, TemplateError> {
        let mut value = match &self.path {
            Some(path) => look_up(filling, path, &self.arguments)?,
            None => piped,
        };
        let refused = |what: &str, value: &Value| TemplateError::Unsupported(format!("{what} of {}", printed(value)));
        Ok(match self.function {
            Function::Itself => value,
            Function::Json => Value::String(value.to_string()),
            Function::Len => match &value {
                Value::String(text) => text.len().into(),
                Value::Array(items) => items.len().into(),
                Value::Object(fields) => fields.len().into(),
                Value::Null => 0.into(),
                Value::Bool(_) | Value::Number(_) => return Err(refused("len", &value)),
            },
            Function::Upper => printed(&value).to_uppercase().into(),
            Function::Lower => printed(&value).to_lowercase().into(),
            Function::Index => {
                for key in &self.arguments {
                    value = match &value {
                        // What a map does not have is its type's zero value in Go, and so nothing in a map of texts.
                        Value::Object(fields) => fields.get(key).cloned().unwrap_or_else(|| "".into()),
                        Value::Array(items) => key
                            .parse()
                            .ok()
                            .and_then(|index: usize| items.get(index))
                            .cloned()
                            .ok_or_else(|| refused("index", &value))?,
                        _ => return Err(refused("index", &value)),
                    };
                }
                value
            }
        })
    }
}

/// The value at `path`, or a method's answer to `arguments`.
fn look_up(filling: &Filling, path: &[String], arguments: &[String]) -> Result<Value, TemplateError> {
    if let ([name], [argument]) = (path, arguments)
        && let Some(answers) = filling.methods.get(name.as_str())
    {
        return Ok(answers.get(argument).cloned().unwrap_or_else(|| "".into()));
    }
    let mut value = &filling.fields;
    for name in path {
        // Docker takes `.ID` and `.Id` for the same field.
        let fields = value.as_object();
        let same = |fields: &'_ serde_json::Map<String, Value>| {
            fields.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned()
        };
        let key = fields.and_then(|fields| if fields.contains_key(name) { Some(name.clone()) } else { same(fields) });
        value = key.and_then(|key| value.get(&key)).ok_or_else(|| TemplateError::NoField {
            field: format!(".{}", path.join(".")),
            known: fields.map_or_else(
                || "none".to_owned(),
                |fields| fields.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
            ),
        })?;
    }
    Ok(value.clone())
}

/// A value as Go prints it.
fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(printed).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let pairs: Vec<String> = fields.iter().map(|(key, value)| format!("{key}:{}", printed(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

/// The words of an action: separated by spaces, quoted ones without their quotes but marked; `None` if a quote does not end.
fn words(action: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = action.trim();
    while !rest.is_empty() {
        if let Some(quote) = rest.chars().next().filter(|sign| matches!(sign, '"' | '`')) {
            let (text, after) = rest[1..].split_once(quote)?;
            words.push(Word::Quoted(text.to_owned()));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('|') {
            words.push(Word::Pipe);
            rest = after;
        } else {
            let end = rest.find(|sign: char| sign.is_whitespace() || sign == '|').unwrap_or(rest.len());
            words.push(Word::Plain(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Some(words)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Plain(String),
    Quoted(String),
    Pipe,
}

/// The stages of a pipe; `None` if it is not of the supported kind.
fn stages(words: &[Word]) -> Option<Vec<Stage>> {
    words.split(|word| *word == Word::Pipe).enumerate().map(|(index, words)| stage(index == 0, words)).collect()
}

fn stage(first: bool, words: &[Word]) -> Option<Stage> {
    let (head, rest) = words.split_first()?;
    let Word::Plain(head) = head else { return None };
    let function = match head.as_str() {
        "json" => Function::Json,
        "len" => Function::Len,
        "upper" => Function::Upper,
        "lower" => Function::Lower,
        "index" => Function::Index,
        _ => Function::Itself,
    };
    let (path, arguments) = match (function, first) {
        (Function::Itself, true) => (Some(path(head)?), rest),
        (Function::Itself, false) => return None,
        (_, true) => match rest.split_first()? {
            (Word::Plain(name), arguments) => (Some(path(name)?), arguments),
            _ => return None,
        },
        (_, false) => (None, rest),
    };
    let argument = |word: &Word| match word {
        Word::Quoted(text) => Some(text.clone()),
        Word::Plain(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => Some(number.clone()),
        Word::Plain(_) | Word::Pipe => None,
    };
    let arguments: Vec<String> = arguments.iter().map(argument).collect::<Option<_>>()?;
    let takes_some = matches!(function, Function::Index | Function::Itself);
    (takes_some || arguments.is_empty()).then_some(Stage { function, path, arguments })
}

/// The names of `.A.B`; none for `.`.
fn path(text: &str) -> Option<Vec<String>> {
    let names = text.strip_prefix('.')?;
    if names.is_empty() {
        return Some(Vec::new());
    }
    let good = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    names.split('.').map(|name| good(name).then(|| name.to_owned())).collect()
}

#[cfg(test)]
mod tests;
