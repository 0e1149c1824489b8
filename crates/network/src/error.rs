//! What the kernel refuses.

use std::io;
use std::path::PathBuf;

use stockade_kernel::netlink::NetlinkError;

use crate::model::InterfaceName;

/// Why interfaces, addresses, routes and rules are not as a network wants them.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A request.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The kernel's answer has another form.
    #[error("cannot understand what the kernel says of {0}")]
    Answer(&'static str),
    /// There is no such interface.
    #[error("there is no interface {0} on the host")]
    Missing(InterfaceName),
    /// The name of a bridge is another interface's.
    #[error("the interface {0} is there already, and is no bridge")]
    NoBridge(InterfaceName),
    /// Rules of another data folder are there.
    #[error(
        "the networks of this machine are those of the data folder {}, which has containers on them: use that one (--data-root), or --network none or host",
        .0.display()
    )]
    Owned(PathBuf),
    /// Rules cannot be kept from being changed by others at the same time.
    #[error("cannot lock the network namespace")]
    Lock(#[source] io::Error),
    /// A setting of an interface.
    #[error("cannot set {}", path.display())]
    Setting {
        /// The file below `/proc/sys`.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A port of the host cannot be looked at.
    #[error("cannot tell whether port {port} of the host is free")]
    Port {
        /// The port.
        port: u16,
        /// What the kernel said.
        source: io::Error,
    },
}
