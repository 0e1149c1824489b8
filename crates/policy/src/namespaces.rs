//! `--pid --ipc --uts --userns --cgroupns --network`: which namespaces are new, the host's, or another container's.

use std::str::FromStr;

use stockade_spec::IdMapping;

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum UserMode {
    /// Not said: the engine decides, and says one of the others.
    #[default]
    Unset,
    /// The host's.
    Host,
    /// A new one, with ids that all such containers share.
    Private,
    /// A new one, with ids of the container's own.
    Auto(AutoIds),
    /// A new one in which every id is what it is outside.
    KeepId,
    /// That of the container with this name or id.
    Container(String),
}

impl UserMode {
    /// The flag for messages.
    #[must_use]
    pub fn flag(&self) -> &'static str {
        match self {
            Self::Unset => "--userns",
            Self::Host => "--userns host",
            Self::Private => "--userns private",
            Self::Auto(_) => "--userns auto",
            Self::KeepId => "--userns keep-id",
            Self::Container(_) => "--userns container",
        }
    }

    /// Whether a new namespace is made.
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(self, Self::Private | Self::Auto(_) | Self::KeepId)
    }

    /// Whether it is another one than the host's.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.is_new() || matches!(self, Self::Container(_))
    }
}

/// What follows `auto:`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AutoIds {
    /// `size`: how many ids the container has; otherwise 65536.
    pub size: Option<u32>,
    /// `uidmapping`: ids of the container that stand for these of the host, whosever they are.
    pub uids: Vec<IdMapping>,
    /// `gidmapping`: the same for groups.
    pub gids: Vec<IdMapping>,
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

    /// Podman's modes, as they are for root.
    fn from_str(value: &str) -> Result<Self, PolicyError> {
        let wrong = |reason| invalid("--userns", value, reason);
        match value.split_once(':') {
            None => match value {
                "" => Ok(Self::Unset),
                "host" => Ok(Self::Host),
                "private" => Ok(Self::Private),
                "auto" => Ok(Self::Auto(AutoIds::default())),
                "keep-id" => Ok(Self::KeepId),
                "nomap" => Err(wrong("only a user other than root can be left out of the map")),
                _ => Err(wrong("unknown mode")),
            },
            Some(("auto", options)) => auto(options).map(Self::Auto).ok_or_else(|| {
                wrong("the options are size=COUNT, uidmapping=CONTAINER:HOST:COUNT and gidmapping=CONTAINER:HOST:COUNT")
            }),
            Some(("keep-id", _)) => Err(wrong("the options choose what a user other than root is mapped to")),
            Some(_) => Ok(Self::Container(container("--userns", value)?)),
        }
    }
}

/// The options of `auto`; `None` if one is none.
fn auto(options: &str) -> Option<AutoIds> {
    let mut ids = AutoIds::default();
    for option in options.split(',') {
        match option.split_once('=')? {
            ("size", count) => ids.size = Some(count.parse().ok().filter(|count| *count > 0)?),
            ("uidmapping", mapping) => ids.uids.push(id_mapping(mapping)?),
            ("gidmapping", mapping) => ids.gids.push(id_mapping(mapping)?),
            _ => return None,
        }
    }
    Some(ids)
}

/// `CONTAINER:HOST:COUNT`, of ids that there are.
fn id_mapping(text: &str) -> Option<IdMapping> {
    let numbers: Vec<u32> = text.split(':').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    let [container_id, host_id, size] = numbers[..] else { return None };
    let whole = size > 0 && container_id.checked_add(size).is_some() && host_id.checked_add(size).is_some();
    whole.then_some(IdMapping { container_id, host_id, size })
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
