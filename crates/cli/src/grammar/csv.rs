//! One record of comma separated values (RFC 4180, as Go's `encoding/csv` reads it): what `--mount` takes.

/// Why a text is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRecord {
    /// A quote in a field that does not begin with one.
    #[error("a quote stands inside a field: quote the whole field, and write a quote in it twice")]
    BareQuote,
    /// The end comes within quotes, or something follows them.
    #[error("a quoted field does not end, or something follows its closing quote")]
    Unclosed,
}

/// The fields of `text`.
///
/// # Errors
/// See [`NoRecord`].
pub(crate) fn fields(text: &str) -> Result<Vec<String>, NoRecord> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_field(quoted)?
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (field, after) = rest.split_at(end);
            if field.contains('"') {
                return Err(NoRecord::BareQuote);
            }
            (field.to_owned(), after)
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err(NoRecord::Unclosed),
        }
    }
}

/// The field whose opening quote was just taken, and what follows its closing one.
fn quoted_field(text: &str) -> Result<(String, &str), NoRecord> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"').ok_or(NoRecord::Unclosed)?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(_) => field.push('"'),
            None => return Ok((field, after)),
        }
        rest = &after[1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_quotes() {
        for (text, expected) in [
            ("", &[""][..]),
            ("a", &["a"]),
            ("a,b=c", &["a", "b=c"]),
            ("\"a,b\",c", &["a,b", "c"]),
            ("\"say \"\"x\"\"\"", &["say \"x\""]),
            ("\"\",", &["", ""]),
            ("ä,\"ö\"", &["ä", "ö"]),
        ] {
            assert_eq!(fields(text).unwrap(), expected, "{text}");
        }
        assert_eq!(fields("a\"b"), Err(NoRecord::BareQuote));
        for text in ["\"", "\"a", "\"a\"b", "\"a\"\"", "x,\"y\" "] {
            assert_eq!(fields(text), Err(NoRecord::Unclosed), "{text}");
        }
    }
}
