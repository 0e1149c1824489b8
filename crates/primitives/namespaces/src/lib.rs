//! Namespaces: what of the machine a container has for itself (`namespaces(7)`).
//!
//! Eight kinds: mount, pid, network, UTS, IPC, user, cgroup and time. A [`Plan`] says which are new, which are joined by
//! path and which stay the runtime's, and holds the maps of a new user namespace ([`IdMap`]) and the offsets of a new time
//! namespace. It is pure: a plan that exists is consistent. [`Plan::clone_flags`] are made by the single `clone3(2)` that
//! starts the container; [`Plan::unshared_by_child`] and [`Plan::unshared_by_parent`] say what that call can not make:
//! a cgroup namespace is rooted where its maker is, so the child makes it after it joined its cgroups; a time namespace
//! takes its offsets before its first process, so the parent makes it for its children.
//!
//! [`observe`](observe()) reads from the kernel which namespaces a process is in, in the same vocabulary.
//!
//! ```
//! use stockade_kernel::namespace::Namespaces;
//! use stockade_namespaces::{IdMaps, Plan, Request};
//!
//! let requests = [Namespaces::PID, Namespaces::CGROUP].map(|kind| Request { kind, path: None });
//! let plan = Plan::new(requests, IdMaps::default(), None)?;
//! assert_eq!(plan.clone_flags(), Namespaces::PID);
//! assert_eq!(plan.unshared_by_child(), Namespaces::CGROUP);
//! # Ok::<(), stockade_namespaces::PlanError>(())
//! ```
//!
//! Maps are written directly ([`write_maps`]), which needs the privileges of `user_namespaces(7)`, or, by a user without
//! them, with the help of `newuidmap(1)` ([`write_maps_delegated`]). [`user_namespace_with`] makes a user namespace for id-mapped
//! mounts; [`table`](table()) is what `lsns(8)` shows; [`support`](support()) says what this machine can do.
//!
//! Limits: nested user namespaces' maps are those that the reader's namespace shows.

mod apply;
mod delegated;
mod holder;
mod maps;
mod observe;
mod plan;
mod support;
mod table;

pub use apply::{ApplyError, write_maps, write_time_offsets};
pub use delegated::{DelegateError, write_maps_delegated};
pub use holder::{HolderError, user_namespace_with};
pub use maps::{IdMap, IdRange, MapError};
pub use observe::{KINDS, Observed, differing, inodes, observe, setgroups};
pub use plan::{Clock, IdMaps, Plan, PlanError, Request, TimeOffsets};
pub use support::{Support, support};
pub use table::{Row, Table, table};
