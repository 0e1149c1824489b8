//! Control groups: what a container may use, and the handle by which all its processes are found, frozen and killed.
//!
//! The kernel has two interfaces. In cgroup v1 each controller (or a few) has a hierarchy of its own; in cgroup v2 there
//! is one for all; on a hybrid machine both exist side by side. This room hides the difference behind one type:
//!
//! 1. [`Layout::detect`] reads what is mounted.
//! 2. [`plan()`] decides, without touching anything, what to make and write for [`model::Limits`]; what the machine
//!    can not express is a [`PlanError`], or a [`Degradation`] to show.
//! 3. [`Group::create`] makes the group and writes. A child joins v1 by [`join_from`] and is cloned into v2 through
//!    [`Group::clone_into`].
//! 4. [`Group::verify`] reads every file back; the container does not start on a difference.
//! 5. [`Group::kill_all`] and [`remove`] end it, from the [`Place`]s that a state file kept.
//!
//! ```no_run
//! use stockade_cgroups::{Group, GroupPath, Layout, model, plan, remove};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let limits = model::Limits { pids: Some(model::Max::At(6)), ..Default::default() };
//! let plan = plan(&Layout::detect()?, &GroupPath::parse("/stockade/example")?, &limits)?;
//! let group = Group::create(plan)?;
//! assert!(group.verify()?.is_empty());
//! group.kill_all()?;
//! remove(&group.places(), group.made())?;
//! # Ok(())
//! # }
//! ```
//!
//! Promises: a limit that was asked is in force, or the call is an error, or the degradation is listed. Files are
//! reached through descriptors of the group's own directory, without links. Failure of `create` leaves nothing.
//!
//! A group is made directly, also beside systemd, or by systemd, in which case [`systemd`] asks for it and step 3 takes it over.
//!
//! References: `cgroups(7)`, the kernel's `admin-guide/cgroup-v2.rst` and `admin-guide/cgroup-v1/`.

mod controller;
mod controllers;
mod device_filter;
mod device_program;
pub mod events;
mod files;
mod group;
mod layout;
mod membership;
pub mod model;
pub mod observe;
mod path;
mod place;
mod plan;
pub mod stats;
pub mod support;
pub mod systemd;
mod write;

pub use controller::Controllers;
pub use device_filter::DeviceFilter;
pub use files::FileError;
pub use group::{
    CreateError, Difference, FreezeError, Group, KillError, LimitsError, Removal, RemoveError, Told, Unused,
    UpdateError, join_from, remove,
};
pub use layout::{Hierarchy, Kind, Layout, LayoutError, Version};
pub use membership::Membership;
pub use path::{GroupPath, PathError};
pub use place::Place;
pub use plan::{CALLERS, Degradation, Origin, Plan, PlanError, PlannedGroup, plan};
pub use write::{Expect, Missing, Write};
