//! What can be asked for and what can be in force.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The name of a profile: 1 to 200 ASCII letters, digits and `._-+@~^/`, the first a letter, digit or underscore.
///
/// AppArmor itself allows more; blanks, `:` (policy namespaces) and `&` (stacks) are refused because the kernel reads them as
/// syntax in `attr/apparmor/exec`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProfileName(String);

/// The name of the profile that Stockade makes itself.
pub const DEFAULT_PROFILE: &str = "stockade-default";

/// A profile name or an `apparmor=` value that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be the name of an AppArmor profile")]
pub struct InvalidName(pub String);

impl ProfileName {
    /// The name of Stockade's own profile.
    #[must_use]
    pub fn stockade_default() -> Self {
        Self(DEFAULT_PROFILE.to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProfileName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let valid = name.len() <= 200
            && name.bytes().next().is_some_and(usual)
            && name.bytes().all(|byte| usual(byte) || b".-+@~^/".contains(&byte))
            && name != "unconfined";
        if valid { Ok(Self(name.to_owned())) } else { Err(InvalidName(name.to_owned())) }
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What the user chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Nothing: Stockade's own profile, where AppArmor is.
    Default,
    /// No profile.
    Unconfined,
    /// A profile that is loaded, or Stockade's own by its name.
    Name(ProfileName),
    /// A file with one profile, to be loaded.
    File(PathBuf),
}

impl FromStr for Selection {
    type Err = InvalidName;

    /// Parses the value of `apparmor=`: `unconfined`, a path that begins with `/`, `./` or `../`, or a name.
    fn from_str(value: &str) -> Result<Self, InvalidName> {
        let is_path = ["/", "./", "../"].iter().any(|start| value.starts_with(start));
        match value {
            "unconfined" => Ok(Self::Unconfined),
            path if is_path && !path.contains('\0') => Ok(Self::File(PathBuf::from(path))),
            name => name.parse().map(Self::Name),
        }
    }
}

/// What the kernel does with an access that the profile does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It fails.
    Enforce,
    /// It is allowed and logged.
    Complain,
    /// The process is killed.
    Kill,
    /// The profile allows everything (Linux 6.5: profiles with the flag `unconfined`).
    Unconfined,
    /// A program decides (Linux 6.6).
    User,
    /// The parts of a stack of profiles differ.
    Mixed,
}

impl Mode {
    /// The mode of this name, as the kernel prints it.
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "enforce" => Self::Enforce,
            "complain" => Self::Complain,
            "kill" => Self::Kill,
            "unconfined" => Self::Unconfined,
            "user" => Self::User,
            "mixed" => Self::Mixed,
            _ => return None,
        })
    }

    /// Whether what the profile does not allow cannot be done.
    #[must_use]
    pub const fn confines(self) -> bool {
        matches!(self, Self::Enforce | Self::Kill)
    }
}

/// A profile and its mode, as the kernel prints them: `name (mode)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// The profile; also a stack, or `unconfined`.
    pub profile: String,
    /// Its mode.
    pub mode: Mode,
}

impl Confinement {
    /// Parses one line; `unconfined` stands without a mode. `None` if it is neither.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.trim_end_matches(['\n', '\0']);
        if line == "unconfined" {
            return Some(Self { profile: line.to_owned(), mode: Mode::Unconfined });
        }
        let (profile, mode) = line.strip_suffix(')')?.rsplit_once(" (")?;
        let mode = Mode::parse(mode)?;
        (!profile.is_empty()).then(|| Self { profile: profile.to_owned(), mode })
    }
}

impl fmt::Display for Confinement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mode {
            Mode::Unconfined if self.profile == "unconfined" => out.write_str("unconfined"),
            mode => write!(out, "{} ({})", self.profile, format!("{mode:?}").to_ascii_lowercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections() {
        assert_eq!("unconfined".parse(), Ok(Selection::Unconfined));
        assert_eq!("/a/b".parse(), Ok(Selection::File("/a/b".into())));
        assert_eq!("./b".parse(), Ok(Selection::File("./b".into())));
        assert_eq!("docker-default".parse(), "docker-default".parse().map(Selection::Name));
        for wrong in ["", "a b", "a\n", ":ns:a", "a//&b", "-x", ".x", "a\0", "/a\0", "é", &"a".repeat(201)] {
            assert!(wrong.parse::<Selection>().is_err(), "{wrong:?}");
        }
        assert!("unconfined".parse::<ProfileName>().is_err());
    }

    #[test]
    fn confinements() {
        let parse = |line| Confinement::parse(line).map(|c| (c.profile, c.mode));
        assert_eq!(parse("stockade-default (enforce)\n"), Some(("stockade-default".into(), Mode::Enforce)));
        assert_eq!(parse("a (b) (complain)"), Some(("a (b)".into(), Mode::Complain)));
        assert_eq!(parse("unconfined\n"), Some(("unconfined".into(), Mode::Unconfined)));
        for wrong in ["", "x", "x (", "x ()", " (enforce)", "x (enforced)", "x (enforce) y"] {
            assert_eq!(Confinement::parse(wrong), None, "{wrong}");
        }
        for text in ["unconfined", "x (kill)", "steam (unconfined)"] {
            assert_eq!(Confinement::parse(text).unwrap().to_string(), text);
        }
    }
}
