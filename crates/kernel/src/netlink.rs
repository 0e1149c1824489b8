//! Interfaces of a network namespace over rtnetlink (`rtnetlink(7)`): the loopback comes up, an interface moves.
//!
//! The socket is connected to the kernel, so that nobody else can send to it: a process that is root in a network
//! namespace which is joined could otherwise answer in the kernel's place. Answers are taken apart with every length
//! checked, and the kernel's own words about a failure (extended acknowledgement, Linux 4.12) are part of the error.

use std::io;

mod address;
mod link;
pub mod message;
pub mod socket;

pub use link::{inside, loopback_up, move_link};
pub use socket::Protocol;

/// Why an interface is not as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No socket.
    #[error("cannot open a rtnetlink socket")]
    Open(#[source] io::Error),
    /// The kernel refused, or its answer did not come or has another form.
    #[error("cannot {action}{}", said.as_ref().map(|text| format!(" (the kernel says: {text})")).unwrap_or_default())]
    Request {
        /// What was attempted, on which interface.
        action: String,
        /// The kernel's explanation.
        said: Option<String>,
        /// The errno.
        source: io::Error,
    },
    /// A name that no interface can have, or one that the kernel would expand (`eth%d`).
    #[error("{0:?} is no name of an interface: 1 to 15 bytes without blanks, /, : and %, not . or ..")]
    Name(String),
    /// There is no such interface here.
    #[error("there is no interface {0:?} in the runtime's network namespace")]
    Missing(String),
    /// It belongs to a bridge, a bond or another interface, which would lose it without a word.
    #[error("the interface {name:?} is in use: it is a port of the interface with the index {master}")]
    InUse {
        /// The interface.
        name: String,
        /// Whose port it is.
        master: u32,
    },
    /// The name is taken where the interface is to go.
    #[error("the container's network namespace has an interface {0:?} already")]
    Taken(String),
    /// The move changed what it must keep.
    #[error("the interface {name:?} has another {what} after its move")]
    Changed {
        /// The interface, by its new name.
        name: String,
        /// What is different.
        what: &'static str,
    },
    /// The network namespace that an interface goes to could not be entered; nothing has changed.
    #[error("cannot enter the container's network namespace")]
    Enter(#[source] io::Error),
    /// The calling process is still in the container's network namespace and should end.
    #[error("cannot return to the runtime's network namespace")]
    Stranded(#[source] io::Error),
}
