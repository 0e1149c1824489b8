//! What `exec` and a container's monitor say to each other at `exec.sock`; one JSON text per packet.
//!
//! A caller connects, sends [`Ask::Run`] with the process and its streams, and hears [`Report::Started`] or
//! [`Report::Failed`]. The process is a child of the monitor, which tells its end ([`Report::Exited`]) and lets go of the connection.
//! Who holds what: the caller keeps the outer ends of the pipes, or gets the terminal's outer end from the runtime, so that nothing
//! that is written goes by way of the monitor. If the caller is gone (killed, too), the process goes on with streams that have
//! hung up; a caller who wants to leave a terminal behind gives it to the monitor ([`Ask::Keep`]), which reads it to nowhere. A
//! process that has not been executed yet ends with its caller.
//!
//! While the process runs, [`FOLDER`] in the container's folder has the file `ID.pid` with the host's id of it.

use serde::{Deserialize, Serialize};

/// Name of the socket (`SOCK_SEQPACKET`) in the container's folder. It is there while the container runs.
pub const SOCKET: &str = "exec.sock";
/// Name of the folder in the container's folder with a file per process.
pub const FOLDER: &str = "execs";
/// What the file's name has after the id.
pub const SUFFIX: &str = ".pid";
/// The longest packet.
pub const LONGEST: usize = crate::control::LONGEST;

/// What the caller says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Run a process; the first packet, and only that. Descriptors that come along: a file with the process in OCI's form, and then
    /// its standard input, output and error, or for a terminal the console socket's file (`O_PATH`).
    Run {
        /// The id of the process: 64 hexadecimal digits.
        id: String,
        /// Whether it has a terminal.
        terminal: bool,
    },
    /// Send it a signal. Before it was executed any signal ends it.
    Signal(i32),
    /// Keep the terminal, whose outer end comes along, open and read until the process has ended.
    Keep,
}

/// What the monitor says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// It was executed.
    Started {
        /// The host's id of it.
        pid: i32,
    },
    /// It was not, and nothing of it is left. The last packet.
    Failed {
        /// Docker's exit code: 126, or 127 if the program was not found.
        code: u8,
        /// What the runtime or the monitor said.
        message: String,
    },
    /// It has ended: as shells say it. The last packet.
    Exited {
        /// 128 and the signal's number for one that a signal ended.
        code: u8,
    },
}

/// Whether `id` is one: it becomes part of a file's name.
#[must_use]
pub fn is_id(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
