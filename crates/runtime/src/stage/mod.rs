//! The stages of a container's start, as processes: what runs on the host, and what runs in the container until `execve`.
//!
//! The runtime's process ([`launch()`]) makes one child with all namespaces (`clone3(2)`). The child (`init`) walks the order
//! of confinement, reports that it is ready, and waits. Nothing before that has executed anything of the image. At `start`
//! it walks the rest (`finish`): identity, capabilities, filter, and, last of all, a look at what the kernel says of it
//! (`verify`); only if that is what was planned it executes the payload. `exec` ([`join()`]) makes a child that enters an
//! existing container and ends with the same last stage.
//!
//! A child dies with the runtime (PR_SET_PDEATHSIG, and end of file on the socket pair) until the container is recorded, so
//! that a runtime that is killed leaves no process that nobody knows of. Its mounts go with its mount namespace.

mod cgroup_mounts;
mod channel;
mod console;
mod environment;
mod failure;
mod filter;
mod finish;
mod holder;
mod init;
mod join;
mod launch;
mod lookup;
mod outside;
mod prepare;
mod start_socket;
mod stdio;
mod sysctls;
mod verify;

use std::io;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

pub use console::{Console, ConsoleError};
pub use failure::Failure;
pub use holder::Holder;
pub use join::{JoinError, Joining, join};
pub use launch::{LaunchError, Launched, Witness, launch};
pub use prepare::{Keyring, Payload, PrepareError, Prepared, Sharing};
pub(crate) use start_socket::is_waited_at;
pub use start_socket::{StartError, StartSocket, start};

/// Hides the calling process, and those that it makes, from whoever shares its pid namespace: it can not be traced, and its
/// descriptors, environment and program not be opened, until it executes the payload (CVE-2016-9962). Through a descriptor of a
/// cgroup folder the container would be in the host's file systems (CVE-2024-21626).
///
/// The kernel then takes the host's root for the owner of the process' files in procfs (`proc_pid(5)`).
fn hide() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
