//! From a template's text to tokens.

use serde_json::Value;

use super::TemplateError;

/// A part of a template: text, or the words of an action.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Text(String),
    Action(Vec<Token>),
}

/// A word of an action.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name without a dot: a function or a keyword.
    Name(String),
    /// `.A`; adjacent ones make a path. The second says whether a space stands before it.
    Field(String, Space),
    /// A dot alone.
    Dot,
    /// `$` or `$name`.
    Variable(String),
    /// A text or a number.
    Constant(Value),
    /// `|`
    Pipe,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    /// `,`
    Comma,
}

/// Whether a token stands alone or belongs to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    Before,
    None,
}

/// Cuts a template into its parts.
pub(super) fn lex(text: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut rest = text;
    let mut trim = Trim::None;
    while let Some((before, after)) = rest.split_once("{{") {
        let (after, left) = match after.strip_prefix('-') {
            Some(marked) if marked.starts_with(char::is_whitespace) => (marked, Trim::White),
            _ => (after, Trim::None),
        };
        parts.push(Part::Text(plain(before, trim, left)));
        let (tokens, after, right) = action(after)?;
        if let Some(tokens) = tokens {
            parts.push(Part::Action(tokens));
        }
        (rest, trim) = (after, right);
    }
    parts.push(Part::Text(plain(rest, trim, Trim::None)));
    parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
    Ok(parts)
}

/// Whether the white space beside an action goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trim {
    None,
    White,
}

fn plain(text: &str, start: Trim, end: Trim) -> String {
    let text = if start == Trim::White { text.trim_start() } else { text };
    let text = if end == Trim::White { text.trim_end() } else { text };
    text.replace("\\t", "\t").replace("\\n", "\n")
}

/// The tokens of the action that `text` begins with (`None` for a comment), what follows it, and its right marker.
fn action(text: &str) -> Result<(Option<Vec<Token>>, &str, Trim), TemplateError> {
    if let Some(comment) = text.trim_start().strip_prefix("/*") {
        let (_, after) = comment.split_once("*/").ok_or(TemplateError::Unclosed("a comment"))?;
        let Some((after, trim)) = end(after) else {
            return Err(TemplateError::Unexpected { found: "*/".to_owned(), expected: "*/}}" });
        };
        return Ok((None, after, trim));
    }
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        if let Some((after, trim)) = end(rest) {
            return Ok((Some(tokens), after, trim));
        }
        let trimmed = rest.trim_start();
        let space = if trimmed.len() < rest.len() { Space::Before } else { Space::None };
        if trimmed.is_empty() {
            return Err(TemplateError::Unclosed("an action"));
        }
        let (token, after) = token(trimmed, space)?;
        tokens.push(token);
        rest = after;
    }
}

/// What follows the end of an action, if this is one.
fn end(text: &str) -> Option<(&str, Trim)> {
    let trimmed = text.trim_start();
    let marked = trimmed.strip_prefix("-}}").filter(|_| trimmed.len() < text.len());
    marked.map(|after| (after, Trim::White)).or_else(|| trimmed.strip_prefix("}}").map(|after| (after, Trim::None)))
}

fn token(text: &str, space: Space) -> Result<(Token, &str), TemplateError> {
    for (sign, token) in [
        (":=", Token::Declare),
        ("=", Token::Assign),
        ("|", Token::Pipe),
        ("(", Token::Open),
        (")", Token::Close),
        (",", Token::Comma),
    ] {
        if let Some(after) = text.strip_prefix(sign) {
            return Ok((token, after));
        }
    }
    if let Some(raw) = text.strip_prefix('`') {
        let (raw, after) = raw.split_once('`').ok_or(TemplateError::Unclosed("a quoted text"))?;
        return Ok((Token::Constant(raw.into()), after));
    }
    if let Some(quoted) = text.strip_prefix('"') {
        let (text, after) = interpreted(quoted)?;
        return Ok((Token::Constant(text.into()), after));
    }
    let unexpected = || {
        let found = text.chars().take(16).collect();
        TemplateError::Unexpected { found, expected: "a field, a function, a variable or a value" }
    };
    if let Some(rest) = text.strip_prefix('$') {
        let (name, after) = word(rest);
        return Ok((Token::Variable(format!("${name}")), after));
    }
    if let Some(rest) = text.strip_prefix('.').filter(|rest| !rest.starts_with(|sign: char| sign.is_ascii_digit())) {
        let (name, after) = word(rest);
        return match name {
            "" if after.starts_with('.') => Err(unexpected()),
            "" => Ok((Token::Dot, after)),
            name => Ok((Token::Field(name.to_owned(), space), after)),
        };
    }
    if text.starts_with(|sign: char| sign.is_ascii_digit() || matches!(sign, '-' | '+')) {
        return number(text).ok_or_else(unexpected);
    }
    match word(text) {
        ("", _) => Err(unexpected()),
        (name, after) => Ok((Token::Name(name.to_owned()), after)),
    }
}

/// The letters, digits and underscores at the beginning, and the rest.
fn word(text: &str) -> (&str, &str) {
    let end = text.find(|sign: char| !(sign.is_alphanumeric() || sign == '_')).unwrap_or(text.len());
    text.split_at(end)
}

fn number(text: &str) -> Option<(Token, &str)> {
    let end = text[1..].find(|sign: char| !(sign.is_ascii_alphanumeric() || matches!(sign, '.' | '_')));
    let (digits, after) = text.split_at(end.map_or(text.len(), |end| end + 1));
    let whole = digits.replace('_', "");
    let value = match whole.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok().map(Value::from),
        None => whole.parse::<i64>().map(Value::from).ok(),
    };
    let value = value.or_else(|| whole.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from));
    Some((Token::Constant(value?), after))
}

/// The text before the closing quote, with Go's escapes read, and what follows it.
fn interpreted(text: &str) -> Result<(String, &str), TemplateError> {
    let unclosed = TemplateError::Unclosed("a quoted text");
    let mut value = String::new();
    let mut signs = text.char_indices();
    while let Some((place, sign)) = signs.next() {
        match sign {
            '"' => return Ok((value, &text[place + 1..])),
            '\n' => return Err(unclosed),
            '\\' => {
                let (_, escape) = signs.next().ok_or_else(|| unclosed.clone())?;
                let digits = match escape {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    _ => 0,
                };
                let hex: String = signs.by_ref().take(digits).map(|(_, sign)| sign).collect();
                value.push(match escape {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    '"' | '\\' | '\'' => escape,
                    _ => {
                        let sign = u32::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == digits);
                        sign.and_then(char::from_u32).ok_or_else(|| TemplateError::Unexpected {
                            found: format!("\\{escape}{hex}"),
                            expected: "an escape of a quoted text",
                        })?
                    }
                });
            }
            sign => value.push(sign),
        }
    }
    Err(unclosed)
}
