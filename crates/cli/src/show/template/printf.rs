//! `printf`: Go's format verbs, as far as they make sense for texts, numbers and truth values.

use serde_json::Value;

use super::value::printed;

/// The widest a value may be padded to.
pub(super) const WIDEST: usize = 4096;

/// `%[flags][width][.precision]verb`.
#[derive(Default)]
struct Verb {
    left: bool,
    zeros: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
    sign: char,
}

/// `format` with its verbs replaced by `values`; why that cannot be done.
pub(super) fn printf(format: &str, values: &[Value]) -> Result<String, String> {
    let mut text = String::new();
    let mut values = values.iter();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let (verb, after) = verb(after)?;
        rest = after;
        if verb.sign == '%' {
            text.push('%');
            continue;
        }
        let value = values.next().ok_or_else(|| format!("%{} has no value", verb.sign))?;
        let said = verb.say(value).ok_or_else(|| format!("%{} of {}", verb.sign, printed(value)))?;
        text.push_str(&verb.pad(&said, value));
    }
    if values.next().is_some() {
        return Err("there are more values than verbs".to_owned());
    }
    text.push_str(rest);
    Ok(text)
}

/// The verb that `text` begins with, and what follows it.
fn verb(text: &str) -> Result<(Verb, &str), String> {
    let mut verb = Verb::default();
    let flags = text.find(|sign| !matches!(sign, '-' | '0' | '+' | '#' | ' ')).unwrap_or(text.len());
    let (marks, rest) = text.split_at(flags);
    verb.left = marks.contains('-');
    verb.zeros = marks.contains('0') && !verb.left;
    verb.plus = marks.contains('+');
    let number = |text: &str| -> Result<usize, String> {
        let number = if text.is_empty() { 0 } else { text.parse().unwrap_or(usize::MAX) };
        if number > WIDEST { Err(format!("{WIDEST} is the widest")) } else { Ok(number) }
    };
    let digits = |text: &str| text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len());
    let (width, mut rest) = rest.split_at(digits(rest));
    verb.width = number(width)?;
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, after) = after.split_at(digits(after));
        verb.precision = Some(number(precision)?);
        rest = after;
    }
    let mut signs = rest.chars();
    verb.sign = signs.next().ok_or("the text ends after %")?;
    Ok((verb, signs.as_str()))
}

impl Verb {
    /// The value without its padding; `None` if the verb is not for it.
    fn say(&self, value: &Value) -> Option<String> {
        let whole = || value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
        let cut = |text: String| match self.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text,
        };
        let signed = |text: String| if self.plus && !text.starts_with('-') { format!("+{text}") } else { text };
        Some(match self.sign {
            's' if !value.is_number() && !value.is_boolean() => cut(printed(value)),
            'v' => printed(value),
            'q' => format!("{:?}", cut(value.as_str()?.to_owned())),
            't' => value.as_bool()?.to_string(),
            'd' => signed(whole()?.to_string()),
            'x' => match value {
                Value::String(text) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
                _ => format!("{:x}", whole()?),
            },
            'X' => format!("{:X}", whole()?),
            'o' => format!("{:o}", whole()?),
            'f' => signed(format!("{:.*}", self.precision.unwrap_or(6), value.as_f64()?)),
            'g' => signed(value.as_f64()?.to_string()),
            'T' => match value {
                Value::Null => "<nil>",
                Value::Bool(_) => "bool",
                Value::Number(number) if number.is_f64() => "float64",
                Value::Number(_) => "int",
                Value::String(_) => "string",
                Value::Array(_) => "[]interface {}",
                Value::Object(_) => "map[string]interface {}",
            }
            .to_owned(),
            _ => return None,
        })
    }

    fn pad(&self, said: &str, value: &Value) -> String {
        let missing = self.width.saturating_sub(said.chars().count());
        match said.strip_prefix(['-', '+']) {
            _ if self.left => format!("{said}{}", " ".repeat(missing)),
            Some(digits) if self.zeros && value.is_number() => format!("{}{}{digits}", &said[..1], "0".repeat(missing)),
            _ if self.zeros => format!("{}{said}", "0".repeat(missing)),
            _ => format!("{}{said}", " ".repeat(missing)),
        }
    }
}
