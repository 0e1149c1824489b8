//! `--pid --ipc --uts --userns --cgroupns --network`: which namespaces are new, the host's, or another container's.

use std::str::FromStr;

use crate::error::{PolicyError, invalid};

/// Where a namespace comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A new one.
    #[default]
    Private,
    /// The host's.
    Host,
    /// That of the container with this name or id.
    Container(String),
}

/// `--pid`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PidMode(pub Mode);

/// `--uts`: private or the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UtsMode {
    /// A new one.
    #[default]
    Private,
    /// The host's.
    Host,
}

/// `--userns`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserMode {
    /// The host's.
    #[default]
    Host,
    /// A new one, with the id mappings of the options.
    Private,
}

/// `--cgroupns`; unset depends on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupMode {
    /// A new one.
    Private,
    /// The host's.
    Host,
}

/// `--ipc`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IpcMode {
    /// A new one.
    #[default]
    Private,
    /// A new one that others may join.
    Shareable,
    /// A new one without `/dev/shm`.
    None,
    /// The host's.
    Host,
    /// That of the container with this name or id.
    Container(String),
}

/// `--network`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NetworkMode {
    /// A new one with only the loopback interface.
    #[default]
    None,
    /// A new one, attached to the default bridge.
    Bridge,
    /// The host's.
    Host,
    /// That of the container with this name or id.
    Container(String),
}

/// The name after `container:`.
fn container(flag: &'static str, value: &str) -> Result<String, PolicyError> {
    match value.strip_prefix("container:") {
        Some("") => Err(invalid(flag, value, "needs a container's name or id")),
        Some(name) if name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) => Ok(name.to_owned()),
        Some(_) => Err(invalid(flag, value, "not a container's name or id")),
        None => Err(invalid(flag, value, "unknown mode")),
    }
}

impl FromStr for PidMode {
    type Err = PolicyError;

    fn from_str(value: &str) -> Result<Self, PolicyError> {
        Ok(Self(match value {
            "" | "private" => Mode::Private,
            "host" => Mode::Host,
            other => Mode::Container(container("--pid", other)?),
        }))
    }
}

impl FromStr for UtsMode {
    type Err = PolicyError;

    fn from_str(value: &str) -> Result<Self, PolicyError> {
        match value {
            "" | "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => Err(invalid("--uts", value, "unknown mode")),
        }
    }
}

impl FromStr for UserMode {
    type Err = PolicyError;

    fn from_str(value: &str) -> Result<Self, PolicyError> {
        match value {
            "" | "host" => Ok(Self::Host),
            "private" => Ok(Self::Private),
            _ => Err(invalid("--userns", value, "unknown mode")),
        }
    }
}

impl FromStr for CgroupMode {
    type Err = PolicyError;

    fn from_str(value: &str) -> Result<Self, PolicyError> {
        match value {
            "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => Err(invalid("--cgroupns", value, "unknown mode")),
        }
    }
}

impl FromStr for IpcMode {
    type Err = PolicyError;

    fn from_str(value: &str) -> Result<Self, PolicyError> {
        Ok(match value {
            "" | "private" => Self::Private,
            "shareable" => Self::Shareable,
            "none" => Self::None,
            "host" => Self::Host,
            other => Self::Container(container("--ipc", other)?),
        })
    }
}

impl FromStr for NetworkMode {
    type Err = PolicyError;

    fn from_str(value: &str) -> Result<Self, PolicyError> {
        Ok(match value {
            "none" => Self::None,
            "bridge" | "default" => Self::Bridge,
            "host" => Self::Host,
            other => Self::Container(container("--network", other)?),
        })
    }
}
