//! How containers are called: by id, by name, or by the beginning of an id.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// 64 lower-case hexadecimal digits, drawn at random: a folder's and a cgroup's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// A text that is no container's id or name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Not an id.
    #[error("{0:?} is not a container's id: 64 lower-case hexadecimal digits")]
    Id(String),
    /// Not a name.
    #[error(
        "{0:?} is not a container's name: letters, digits, _ . and -, at least two, beginning with a letter or digit"
    )]
    Name(String),
}

impl ContainerId {
    /// A new one (`getrandom(2)`).
    ///
    /// # Errors
    /// As `getrandom(2)`.
    pub fn random() -> io::Result<Self> {
        stockade_kernel::random::id().map(Self)
    }

    /// All 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The twelve digits that people are shown.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl TryFrom<String> for ContainerId {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(digit) { Ok(Self(text)) } else { Err(InvalidName::Id(text)) }
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

/// A name in Docker's grammar, `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

impl ContainerName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for ContainerName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if first && (2..=255).contains(&text.len()) && text.bytes().all(good) {
            Ok(Self(text))
        } else {
            Err(InvalidName::Name(text))
        }
    }
}

impl From<ContainerName> for String {
    fn from(name: ContainerName) -> Self {
        name.0
    }
}

impl From<ContainerId> for ContainerName {
    fn from(id: ContainerId) -> Self {
        Self(id.0)
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_random_and_read_back() {
        let id = ContainerId::random().unwrap();
        assert_ne!(id, ContainerId::random().unwrap());
        assert_eq!(ContainerId::try_from(id.to_string()), Ok(id.clone()));
        assert_eq!(id.short().len(), 12);
        for text in ["", "abc", &"A".repeat(64), &"../".repeat(22)[..64]] {
            assert!(ContainerId::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_dockers() {
        for text in ["ab", "A1", "web-1_x.y"] {
            assert!(text.parse::<ContainerName>().is_ok(), "{text}");
        }
        for text in ["", "a", "-ab", ".ab", "a/b", "a b", "ä1", &"a".repeat(256)] {
            assert!(text.parse::<ContainerName>().is_err(), "{text}");
        }
    }
}
