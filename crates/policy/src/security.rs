//! `--security-opt`: Docker's grammar.

use std::fmt;
use std::path::PathBuf;

use stockade_apparmor::Selection;
use stockade_seccomp::Changes;

use crate::error::{PolicyError, invalid};
use crate::posture::Notice;

const FLAG: &str = "--security-opt";

/// Which system call filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seccomp {
    /// Stockade's own profile.
    Builtin,
    /// None.
    Unconfined,
    /// A profile in Docker's or OCI's format, in a file of the host.
    File(PathBuf),
    /// A profile given in place, as the API sends it.
    Inline(String),
    /// A profile of the folder of profiles ([`crate::seccomp::FOLDER`]), or, as with Docker, a file of the working folder.
    Named(String),
    /// Stockade's own profile, with calls added and taken away.
    Changed(Changes),
}

impl fmt::Display for Seccomp {
    /// As in `seccomp=`, but for one in place.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => out.write_str("builtin"),
            Self::Unconfined => out.write_str("unconfined"),
            Self::File(path) => write!(out, "{}", path.display()),
            Self::Inline(_) => out.write_str("inline"),
            Self::Named(name) => out.write_str(name),
            Self::Changed(changes) => write!(out, "default{changes}"),
        }
    }
}

/// What the `--security-opt` flags say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityOptions {
    /// `seccomp=`.
    pub seccomp: Option<Seccomp>,
    /// `apparmor=`.
    pub apparmor: Option<Selection>,
    /// `no-new-privileges`.
    pub no_new_privileges: bool,
    /// `writable-cgroups`.
    pub writable_cgroups: bool,
    /// `systempaths=unconfined`: nothing masked, nothing read-only.
    pub unmask: bool,
    /// Deprecated spellings that were used.
    pub notices: Vec<Notice>,
}

impl SecurityOptions {
    /// Parses the flags in their order; a later one of a key replaces an earlier one, as Docker does.
    ///
    /// # Errors
    /// An unknown key or value, or SELinux labels, which are not supported.
    pub fn parse<S: AsRef<str>>(options: impl IntoIterator<Item = S>) -> Result<Self, PolicyError> {
        let mut parsed = Self::default();
        for option in options {
            parsed.take(option.as_ref())?;
        }
        Ok(parsed)
    }

    /// Takes one flag.
    fn take(&mut self, option: &str) -> Result<(), PolicyError> {
        match option {
            "no-new-privileges" => self.no_new_privileges = true,
            "writable-cgroups" => self.writable_cgroups = true,
            "disable" => {}
            _ => {
                let (key, value) = self.split(option)?;
                return self.take_pair(option, key, value);
            }
        }
        Ok(())
    }

    /// Splits at `=`, or at `:` in the deprecated form.
    fn split<'a>(&mut self, option: &'a str) -> Result<(&'a str, &'a str), PolicyError> {
        if let Some(pair) = option.split_once('=') {
            return Ok(pair);
        }
        let pair = option.split_once(':').ok_or_else(|| invalid(FLAG, option, "not of the form key=value"))?;
        self.notices.push(Notice::Deprecated(format!("{FLAG} {option}: write {}={}", pair.0, pair.1)));
        Ok(pair)
    }

    /// Takes a key and its value.
    fn take_pair(&mut self, option: &str, key: &str, value: &str) -> Result<(), PolicyError> {
        match (key, value) {
            ("seccomp", value) => self.seccomp = Some(seccomp(option, value)?),
            ("apparmor", value) => {
                let selection =
                    value.parse().map_err(|_refused| invalid(FLAG, option, "not a profile's name or path"))?;
                self.apparmor = Some(selection);
            }
            ("no-new-privileges", value) => self.no_new_privileges = boolean(option, value)?,
            ("writable-cgroups", value) => self.writable_cgroups = boolean(option, value)?,
            ("systempaths", "unconfined") => self.unmask = true,
            ("label", "disable") => {}
            ("label", _) => return Err(PolicyError::SelinuxUnsupported(option.to_owned())),
            _ => return Err(invalid(FLAG, option, "unknown key or value")),
        }
        Ok(())
    }
}

/// The value of `seccomp=`. What has a slash or a dot in it is a path, as with Docker; any other word is a profile's name, and behind
/// `default` or `builtin` come `+CALL` and `-CALL`.
fn seccomp(option: &str, value: &str) -> Result<Seccomp, PolicyError> {
    match value {
        "" => return Err(invalid(FLAG, option, "needs builtin, unconfined, a name, or a file")),
        "unconfined" => return Ok(Seccomp::Unconfined),
        json if json.trim_start().starts_with('{') => return Ok(Seccomp::Inline(json.to_owned())),
        path if path.contains(['/', '.']) => return Ok(Seccomp::File(path.into())),
        _ => {}
    }
    let own = ["default", "builtin"].into_iter().find_map(|own| value.strip_prefix(own));
    match own {
        Some("") => Ok(Seccomp::Builtin),
        Some(changes) if changes.starts_with(['+', '-']) => match changes.parse() {
            Ok(changes) => Ok(Seccomp::Changed(changes)),
            Err(source) => Err(PolicyError::Calls { option: option.to_owned(), source }),
        },
        _ => Ok(Seccomp::Named(value.to_owned())),
    }
}

/// A truth value as Go's `strconv.ParseBool` takes it.
fn boolean(option: &str, value: &str) -> Result<bool, PolicyError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(invalid(FLAG, option, "neither true nor false")),
    }
}
