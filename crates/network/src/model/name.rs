//! How networks and their interfaces are called.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// 64 lower-case hexadecimal digits, drawn at random.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkId(String);

/// A name in Docker's grammar, `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkName(String);

/// A name that an interface can have (`dev_valid_name` of the kernel, and no `%`, which it expands).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InterfaceName(String);

/// A text that is no network's id or name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetworkName {
    /// Not an id.
    #[error("{0:?} is not a network's id: 64 lower-case hexadecimal digits")]
    Id(String),
    /// Not a name.
    #[error("{0:?} is not a network's name: letters, digits, _ . and -, beginning with a letter or digit")]
    Name(String),
}

/// A text that no interface can be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of an interface: 1 to 15 bytes without blanks, /, : and %, not . or ..")]
pub struct InvalidInterface(pub String);

/// The longest name, as long as a file's.
const LONGEST: usize = 200;
/// `IFNAMSIZ` without the zero.
const LONGEST_INTERFACE: usize = 15;

impl NetworkId {
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

impl NetworkName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl InterfaceName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NetworkId {
    type Error = InvalidNetworkName;

    fn try_from(text: String) -> Result<Self, InvalidNetworkName> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(digit) { Ok(Self(text)) } else { Err(InvalidNetworkName::Id(text)) }
    }
}

impl TryFrom<String> for NetworkName {
    type Error = InvalidNetworkName;

    fn try_from(text: String) -> Result<Self, InvalidNetworkName> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if begins && text.len() <= LONGEST && text.bytes().all(good) {
            Ok(Self(text))
        } else {
            Err(InvalidNetworkName::Name(text))
        }
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = InvalidInterface;

    fn try_from(text: String) -> Result<Self, InvalidInterface> {
        let bad = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0b || b"/:%\0".contains(&byte);
        if text.is_empty() || text.len() > LONGEST_INTERFACE || text.bytes().any(bad) || text == "." || text == ".." {
            return Err(InvalidInterface(text));
        }
        Ok(Self(text))
    }
}

macro_rules! text {
    ($name:ident, $error:ident) => {
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                text.to_owned().try_into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    };
}

text!(NetworkId, InvalidNetworkName);
text!(NetworkName, InvalidNetworkName);
text!(InterfaceName, InvalidInterface);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_dockers_grammar() {
        for good in ["a", "0", "web", "my_net.1-x"] {
            assert!(good.parse::<NetworkName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "_a", "a b", "a/b", "é", &"a".repeat(201)] {
            assert!(bad.parse::<NetworkName>().is_err(), "{bad}");
        }
        let id = NetworkId::random().unwrap();
        assert_eq!((id.as_str().len(), id.short().len()), (64, 12));
        assert!("0".repeat(63).parse::<NetworkId>().is_err() && "A".repeat(64).parse::<NetworkId>().is_err());
    }

    #[test]
    fn names_of_interfaces() {
        for good in ["eth0", "br-0123456789ab", "a.b", "docker0"] {
            assert!(good.parse::<InterfaceName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "a:b", "eth%d", "0123456789abcdef", "a\nb"] {
            assert!(bad.parse::<InterfaceName>().is_err(), "{bad}");
        }
    }
}
