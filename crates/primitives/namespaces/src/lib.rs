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
//! Limits: maps are written directly, which needs the privileges of `user_namespaces(7)`; `newuidmap` is not used yet.

mod apply;
mod maps;
mod observe;
mod plan;

pub use apply::{ApplyError, write_maps, write_time_offsets};
pub use maps::{IdMap, IdRange, MapError};
pub use observe::{KINDS, Observed, observe};
pub use plan::{Clock, IdMaps, Plan, PlanError, Request, TimeOffsets};
