//! An entry of a log: a JSON object of Docker's `json-file` format, `{"log":"text\n","stream":"stdout","time":"RFC 3339"}`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

/// Which stream a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Stream {
    /// Standard output, or the terminal.
    #[serde(rename = "stdout")]
    Output,
    /// Standard error.
    #[serde(rename = "stderr")]
    Error,
}

/// A line, or a part of one that was very long.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// Where it was written to.
    pub stream: Stream,
    /// When.
    #[serde(deserialize_with = "time")]
    pub time: Timestamp,
    /// The text with its line end, if it has one.
    #[serde(rename = "log", default)]
    pub text: String,
    /// What `--log-opt` has put to it.
    #[serde(rename = "attrs", default)]
    pub attributes: BTreeMap<String, String>,
}

fn time<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
    text.parse().map_err(serde::de::Error::custom)
}

impl Entry {
    /// Reads a line of the file.
    pub(super) fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_dockers() {
        let entry =
            Entry::parse(br#"{"log":"a\u2028\n","stream":"stderr","attrs":{"a":"b"},"time":"2026-01-01T00:00:00.5Z"}"#);
        let expected = Entry {
            stream: Stream::Error,
            time: "2026-01-01T00:00:00.5Z".parse().unwrap(),
            text: "a\u{2028}\n".into(),
            attributes: BTreeMap::from([("a".into(), "b".into())]),
        };
        assert_eq!(entry.unwrap(), expected);
        for wrong in [
            "",
            "{}",
            r#"{"log":"a","stream":"stdlog","time":"2026-01-01T00:00:00Z"}"#,
            r#"{"log":1,"stream":"stdout","time":"2026-01-01T00:00:00Z"}"#,
            r#"{"log":"a","stream":"stdout","time":""}"#,
        ] {
            assert!(Entry::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
