//! What the engine wants of a monitor: `monitor.json` in the container's folder.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::events::Source;
use crate::health::Check;
use crate::restart::RestartPolicy;

/// All that a monitor needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The container's id.
    pub id: String,
    /// The OCI runtime and its global options; `--log FILE --log-format json`, the verb and its own arguments are appended.
    pub runtime: Vec<String>,
    /// What is known of it.
    #[serde(default)]
    pub kind: RuntimeKind,
    /// The folder with the OCI `config.json`; taken from the container's folder if it is relative.
    pub bundle: PathBuf,
    /// Whether the container has a terminal: what its `config.json` says too.
    pub terminal: bool,
    /// Whether standard input is open; otherwise the container reads end of file at once.
    pub stdin: Stdin,
    /// Where the output is kept.
    pub log: Log,
    /// A program of the host and its arguments, executed once the end is recorded and the runtime has deleted the container, with
    /// the monitor's lock released; empty for none. It runs in `/` with `PATH` alone and without streams, in the monitor's mount
    /// namespace. Clients are told of the end when it has ended, or after a minute. Also executed for a container that failed.
    pub on_exit: Vec<String>,
    /// Where it appends what happens to the container without a command, and what each such event says; `None` for nowhere.
    #[serde(default)]
    pub events: Option<Source>,
    /// Whether the container is started again when it has ended. Read again at each end: it may be changed meanwhile.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// A program executed like [`Self::on_exit`] before the runtime's `create` of each restart; empty for none. If it fails, the
    /// container is not started again.
    #[serde(default)]
    pub before_restart: Vec<String>,
    /// The same between the runtime's `create` and `start`, with the host's id of the new first process as one more argument.
    #[serde(default)]
    pub on_restart: Vec<String>,
    /// The health check, if there is one.
    #[serde(default)]
    pub health: Option<Check>,
}

/// What is known of a runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeKind {
    /// It has the verbs and options of runc.
    #[default]
    Oci,
    /// It is `stake` of the same version: it is executed sealed, and a container is made and started the first time by one `run`, which
    /// waits for its word between the two (`--start-fd`).
    Stake,
}

/// What becomes of standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stdin {
    /// `/dev/null`, or a terminal at which nobody types; what clients send is dropped.
    Closed,
    /// Open until the first client that sent some ends it or goes away (`docker run -i`). With a terminal only an explicit end
    /// counts, which is typed as control-D: who detached from a terminal comes back.
    UntilFirstClientEnds,
    /// Open as long as the container runs (`docker run -d -i`); nobody can end it.
    Open,
}

/// Where the output is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Log {
    /// Nowhere.
    None,
    /// In a file.
    JsonFile(JsonFile),
    /// In the host's journal.
    Journald(Journald),
}

/// A log in Docker's `json-file` format.
///
/// What can not be written (a full disk) is lost to the log and does not stop the container. It is said once in `monitor.log` of the
/// container's folder, and in the log itself as soon as there is room again, by an entry with the attribute [`LOST`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonFile {
    /// The file: appended to, made with mode 0600, never a link. A path that is relative is taken from the container's folder.
    pub path: PathBuf,
    /// Once it has so many bytes it gets the suffix `.1`, that one `.2` and so on, and a new file takes its place.
    pub max_size: Option<NonZeroU64>,
    /// How many files there are at most, together.
    pub max_file: NonZeroU32,
    /// What stands with each entry (`attrs`).
    pub attributes: BTreeMap<String, String>,
}

impl JsonFile {
    /// The file at `path`, which grows without a limit.
    #[must_use]
    pub fn unlimited(path: PathBuf) -> Self {
        Self { path, max_size: None, max_file: NonZeroU32::MIN, attributes: BTreeMap::new() }
    }
}

/// Key of the attribute of an entry that stands for what is lost: how many entries are.
pub const LOST: &str = "stockade.lost";

/// The host's journal, by journald's native protocol.
///
/// The container waits for a journal that does not take what it is sent. What one that is not there is sent is lost, which is told
/// as for [`JsonFile`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journald {
    /// The journal's socket.
    pub socket: PathBuf,
    /// Fields of each entry, besides the message, its priority and what tells of parts of a line. Names are journald's: at most 64
    /// of `A-Z`, `0-9` and `_`, and no digit or underscore first.
    pub fields: BTreeMap<String, String>,
}
