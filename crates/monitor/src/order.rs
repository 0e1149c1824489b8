//! What the engine wants of a monitor: `monitor.json` in the container's folder.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// All that a monitor needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The container's id.
    pub id: String,
    /// The OCI runtime and its global options; `--log FILE --log-format json`, the verb and its own arguments are appended.
    pub runtime: Vec<String>,
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
    /// In this file, in Docker's `json-file` format; appended to, made with mode 0600, never a link. A path that is relative
    /// is taken from the container's folder. What can not be written (a full disk) is lost to the log, is said once in
    /// `monitor.log` of the container's folder, and does not stop the container.
    JsonFile(PathBuf),
}
