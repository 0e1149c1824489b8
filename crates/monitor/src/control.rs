//! What the engine and the monitor say to each other while a container is being made, and at its end; one JSON text per packet.
//!
//! The monitor says [`Report::Created`]; the engine answers [`Command::Start`] or [`Command::StartAndFinish`], or has said so beforehand;
//! the monitor says [`Report::Started`] and closes its end after the first. At any time instead: [`Report::Failed`], after which the monitor ends and
//! nothing of the container runs. If the engine ends before it said `Start`, the monitor deletes the container and ends.
//!
//! An engine that said [`Command::StartAndFinish`] is told [`Report::Ended`] where otherwise [`crate::order::Order::on_exit`] would be
//! executed, and answers [`Command::Finished`]. If it has gone away, or takes too long, the program is executed as ever: so the engine
//! spares its execution, and nothing depends on the engine.

use serde::{Deserialize, Serialize};

/// The longest [`Report::Failed::message`], in bytes; what is longer is cut.
pub const LONGEST_MESSAGE: usize = 4 << 10;

/// The longest packet: such a message with every byte escaped, and what is around it.
pub const LONGEST: usize = 32 << 10;

/// What the monitor says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The runtime made the container, which is confined and waits for its start.
    Created {
        /// The host's id of the container's first process.
        pid: i32,
    },
    /// The container's program was executed.
    Started,
    /// The container has ended, which is recorded, and is deleted: the engine is to do what follows from that.
    Ended,
    /// There is no container, or it did not start.
    Failed {
        /// Docker's exit code for it: 125, 126 (not executable) or 127 (not found).
        code: u8,
        /// What the runtime or the monitor said.
        message: String,
    },
}

/// What the engine says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Execute the container's program.
    Start,
    /// The same, by an engine that waits for the end and then does itself what `on_exit` is for.
    StartAndFinish,
    /// That is done.
    Finished,
}
