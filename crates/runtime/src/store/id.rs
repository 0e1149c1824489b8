//! A container's id.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An id in runc's grammar: letters, digits, `_`, `+`, `-` and `.`, at most 255 bytes, not beginning with a dot, so that it
/// is the name of a folder and of a cgroup and never leads elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// A text that can not be an id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid container id {0:?}: it has letters, digits, _ + - and ., at most 255, and no dot at its beginning")]
pub struct InvalidId(String);

impl ContainerId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let good = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '+' | '-' | '.');
        if text.is_empty() || text.len() > 255 || text.starts_with('.') || !text.chars().all(good) {
            return Err(InvalidId(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ContainerId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
