//! AppArmor: rules about files, mounts, signals, tracing and sockets that hold for root too.
//!
//! A profile is text, compiled by the host's `apparmor_parser`, loaded into the kernel under a name, and put on a
//! process at its next exec. The room promises that a profile that was asked for is in force, or that there is an
//! error; only the default that nobody asked for degrades, where the kernel has no AppArmor, and [`plan`] says so.
//!
//! ```no_run
//! use stockade_apparmor::{Plan, Selection, Support, apply, load, plan};
//!
//! let support = Support::probe()?;
//! match plan(&Selection::Default, &support, false)? {
//!     Plan::Unconfined(degradation) => println!("{degradation:?}"),
//!     Plan::Profile { load } => {
//!         let name = load::ensure(&load, &support, "/run/stockade".as_ref())?;
//!         apply::on_exec(&stockade_kernel::procfs::Procfs::host()?, &name)?;
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Limits: no stacks of profiles and no policy namespaces. Whether somebody replaced Stockade's own profile by another one of the
//! same name is not noticed, only whether it is loaded and enforced.
//!
//! References: `apparmor(7)`, `apparmor.d(5)`, `apparmor_parser(8)`, `security/apparmor/`.

pub mod apply;
pub mod load;
pub mod model;
pub mod observe;
pub mod plan;
pub mod profile;
pub mod support;

pub use apply::ApplyError;
pub use load::LoadError;
pub use model::{Confinement, DEFAULT_PROFILE, InvalidName, Mode, ProfileName, Selection};
pub use plan::{Degradation, Load, Plan, PlanError, plan};
pub use support::Support;
