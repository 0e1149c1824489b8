//! What is known of recorded runs: the file `record.json`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stockade_spec::{NamespaceType, Spec};

/// The version of the format. Another one is an error.
pub const VERSION: u32 = 1;

/// Recorded runs of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Record {
    /// [`VERSION`].
    pub version: u32,
    /// How many runs are in it.
    pub runs: u32,
    /// What was asked for.
    pub asked: Request,
    /// The walls that it had.
    pub walls: Walls,
    /// What was seen.
    pub seen: Seen,
    /// What it changed in its image's files, as `diff` tells it: a letter, a space, and the path.
    pub changed: BTreeSet<String>,
}

/// A command line of `run`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Request {
    /// What stood before `run`.
    pub global: Vec<Flag>,
    /// The flags of `run`, without those about recording.
    pub flags: Vec<Flag>,
    /// The image.
    pub image: String,
    /// The command with its arguments; empty for the image's own.
    pub command: Vec<String>,
}

/// A flag by its long name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Flag {
    /// Without the hyphens.
    pub name: String,
    /// `None` for a flag that is there or not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<String>,
}

impl Flag {
    /// A flag with a value.
    #[must_use]
    pub fn new(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: Some(value.into()) }
    }

    /// A flag that is there.
    #[must_use]
    pub fn alone(name: &str) -> Self {
        Self { name: name.to_owned(), value: None }
    }

    /// As one word of a command line.
    #[must_use]
    pub fn word(&self) -> String {
        match &self.value {
            Some(value) => format!("--{}={value}", self.name),
            None => format!("--{}", self.name),
        }
    }
}

/// The walls of a recorded run, as far as the result is held against them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Walls {
    /// OCI's `linux.seccomp`; `None` if there was no filter.
    pub seccomp: Option<serde_json::Value>,
    /// The bounding set, by OCI's names.
    pub capabilities: BTreeSet<String>,
    /// Whether the root was read-only.
    pub read_only: bool,
    /// `no_new_privs`.
    pub no_new_privileges: bool,
    /// Whether it had a user namespace of its own.
    pub own_users: bool,
    /// Whether it had a network namespace of its own.
    pub own_network: bool,
    /// The limit on processes.
    pub processes: Option<i64>,
    /// The limit on memory, in bytes.
    pub memory: Option<i64>,
}

impl Walls {
    /// Those of an OCI configuration.
    ///
    /// # Errors
    /// If its `linux.seccomp` is nothing that can be kept.
    pub fn of(spec: &Spec) -> Result<Self, serde_json::Error> {
        let linux = spec.linux.clone().unwrap_or_default();
        let process = spec.process.clone().unwrap_or_default();
        // A namespace of its own has no path; one that is joined is another's.
        let own = |kind| linux.namespaces.iter().any(|space| space.kind == kind && space.path.as_os_str().is_empty());
        let resources = linux.resources.as_ref();
        Ok(Self {
            seccomp: linux.seccomp.as_ref().map(serde_json::to_value).transpose()?,
            capabilities: process.capabilities.unwrap_or_default().bounding.into_iter().collect(),
            read_only: spec.root.as_ref().is_some_and(|root| root.readonly),
            no_new_privileges: process.no_new_privileges,
            own_users: linux.namespaces.iter().any(|space| space.kind == NamespaceType::User),
            own_network: own(NamespaceType::Network),
            processes: resources.and_then(|all| all.pids.as_ref()?.limit).filter(|most| *most > 0),
            memory: resources.and_then(|all| all.memory.as_ref()?.limit).filter(|most| *most > 0),
        })
    }
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Seen {
    /// The calls that were made, by name.
    pub calls: BTreeMap<String, Call>,
    /// Numbers of calls that no table here has: none of them does anything on the kernels that the tables know.
    pub unknown: BTreeSet<u32>,
    /// Whether programs of the older, 32-bit kind ran.
    pub compatible: bool,
    /// The capabilities that were needed, by OCI's names, with the calls for which; `None` if this kernel does not tell.
    pub capabilities: Option<BTreeMap<String, BTreeSet<String>>>,
    /// The programs that were executed, by path, and whether they change who executes them.
    pub programs: BTreeMap<String, bool>,
    /// Of the devices that it was given, those that were opened.
    pub devices: BTreeSet<String>,
    /// The network.
    pub network: Network,
    /// The most that there was of anything.
    pub peaks: Peaks,
}

/// When something was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the container's first process waited for somebody else for the first time, and for ten seconds at most.
    Startup,
    /// After it.
    Steady,
}

/// One system call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Call {
    /// Whether it was made while the container started.
    pub startup: bool,
    /// Whether it was made afterwards.
    pub steady: bool,
    /// The values of the arguments of [`super::calls::arguments`], where it has such.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub values: BTreeSet<Vec<u64>>,
}

/// What it did with the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Network {
    /// Where it listened.
    pub listens: BTreeSet<Listener>,
    /// Whether it made connections to others than itself.
    pub connects: bool,
    /// Whether it sent datagrams; `None` if its network was not its own, so that nobody counts them.
    pub datagrams: Option<bool>,
}

/// A port that it listened at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Listener {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The port.
    pub port: u16,
    /// Whether only the container itself reaches it.
    pub loopback: bool,
}

/// The most that there was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Peaks {
    /// Bytes of memory; `None` if nobody counted them.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

impl Record {
    /// Reads a `record.json`.
    ///
    /// # Errors
    /// If it is none, or of another version.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if record.version != VERSION {
            return Err(format!("it has version {}, and this program reads {VERSION}", record.version));
        }
        Ok(record)
    }
}
