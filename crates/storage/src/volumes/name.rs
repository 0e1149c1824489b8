//! How volumes are called.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name in Docker's grammar, `[a-zA-Z0-9][a-zA-Z0-9_.-]+`: the name of a folder, and never one that leads out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeName(String);

/// A text that is no volume's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVolumeName {
    /// One letter, or none.
    #[error("volume name {0:?} is too short: names should be at least two alphanumeric characters")]
    Short(String),
    /// A folder of the host, perhaps.
    #[error(
        "{0:?} includes invalid characters for a local volume name: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed; if you \
         mean a folder of the host, give an absolute path"
    )]
    Characters(String),
    /// Longer than a folder's name can be.
    #[error("volume name {0:?} is longer than 255 characters")]
    Long(String),
}

impl VolumeName {
    /// One for a volume that nobody named: 64 hexadecimal digits (`getrandom(2)`).
    ///
    /// # Errors
    /// As `getrandom(2)`.
    pub fn random() -> io::Result<Self> {
        stockade_kernel::random::id().map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for VolumeName {
    type Error = InvalidVolumeName;

    fn try_from(text: String) -> Result<Self, InvalidVolumeName> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        match text.len() {
            0 | 1 => Err(InvalidVolumeName::Short(text)),
            _ if !first || !text.bytes().all(good) => Err(InvalidVolumeName::Characters(text)),
            2..=255 => Ok(Self(text)),
            _ => Err(InvalidVolumeName::Long(text)),
        }
    }
}

impl FromStr for VolumeName {
    type Err = InvalidVolumeName;

    fn from_str(text: &str) -> Result<Self, InvalidVolumeName> {
        Self::try_from(text.to_owned())
    }
}

impl From<VolumeName> for String {
    fn from(name: VolumeName) -> Self {
        name.0
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dockers_and_lead_nowhere() {
        let longest = "a".repeat(255);
        for text in ["ab", "A1", "data-1_x.y", "0..", &longest] {
            assert!(text.parse::<VolumeName>().is_ok(), "{text}");
        }
        for text in ["", "a", "-ab", ".ab", "..", "../x", "a/b", "a b", "ä1", "a\0b", "a\nb", &"a".repeat(256)] {
            assert!(text.parse::<VolumeName>().is_err(), "{text}");
        }
        assert_ne!(VolumeName::random().unwrap(), VolumeName::random().unwrap());
    }
}
