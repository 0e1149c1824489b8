//! Recording: from one run of a container to the least confinement that it needs.
//!
//! A [`Recorder`] watches the container's processes from its program's `execve(2)` on, so that nothing of the runtime's is in what it finds
//! ([`Record`]): which system calls were made and, where that tells programs apart, with which arguments ([`calls`] is that list as data),
//! which capabilities were needed, which programs were executed, devices opened, ports listened at, and how much memory and how many processes
//! there were at most. What it wrote is what is in its writable layer afterwards, which misses nothing and is not asked of a process.
//!
//! [`seccomp`](fn@seccomp) and [`Confinement`] are pure: a filter, and the flags of `run`. Records of several runs are one ([`Record::merge`]),
//! because everything in one is a set or a greatest number. [`Baseline`] is for running again: what is denied now, and was not when it was
//! recorded.
//!
//! Promises: an event that was lost, or a record that makes no sense, is an error and never a smaller profile. A filter lets nothing through
//! that the filter of the recorded run did not.
//!
//! Limits: what `exec` brings in is not recorded. Calls that the C library makes without the kernel (`clock_gettime(2)`) are not seen.

mod apparmor;
mod baseline;
pub mod calls;
mod confinement;
mod facts;
mod merge;
mod places;
mod probes;
mod recorder;
mod resources;
mod seccomp;
mod sights;
mod stages;

pub use apparmor::apparmor;
pub use baseline::Baseline;
pub use confinement::{Confinement, devices};
pub use facts::{Call, Flag, Listener, Network, Peaks, Phase, Record, Request, Seen, VERSION, Walls};
pub use merge::MergeError;
pub use places::{Place, places};
pub use recorder::{RecordError, Recorder};
pub use seccomp::seccomp;
