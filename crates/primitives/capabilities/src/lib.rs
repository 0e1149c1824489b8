//! Capabilities: root's power in parts, and a process that has only the parts it was given.
//!
//! Linux divides what user 0 may do into some forty capabilities (`capabilities(7)`). A thread has five sets of them:
//! the kernel checks the effective one, and the bounding one limits what any later exec can give.
//!
//! The room promises that after a [`Transition`] the thread has exactly the sets of its request, or that nothing was
//! changed and the error names the capabilities at fault. What the process itself lacks is refused or listed, as
//! the caller says; it is never dropped in silence.
//!
//! ```
//! use stockade_capabilities::{CapSet, Capability, Request, Sets, State, Transition, Unavailable, UserChange};
//!
//! let last = Capability::CHECKPOINT_RESTORE;
//! let all = CapSet::up_to(last);
//! let now = State { sets: Sets::of_root(all), ..State::default() };
//! let request = Request {
//!     sets: Sets::of_user(CapSet::parse(["chown", "CAP_KILL"], all)?),
//!     securebits: None,
//!     user: Some(UserChange { from: 0, to: 1000 }),
//!     unavailable: Unavailable::Refuse,
//!     hold_sys_admin: false,
//! };
//! let transition = Transition::plan(&now, &request, last)?;
//! assert_eq!(transition.expected.sets, request.sets);
//! // apply(&transition.before)?; setgroups, setgid, setuid; apply(&transition.after)?; verify(&transition.expected, last)?
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Limits: capabilities belong to a thread, so a process must be single-threaded when it changes them. Securebits can
//! be read of the calling thread only. File capabilities of version 1 (before Linux 2.6.25) are not read.
//!
//! References: `capabilities(7)`, `capset(2)`, `prctl(2)`, `user_namespaces(7)`, `security/commoncap.c`.

pub mod apply;
pub mod file;
pub mod model;
pub mod observe;
pub mod support;
pub mod transition;

pub use apply::{ApplyError, apply};
pub use model::{CapSet, Capability, Securebits, Sets, State, UnknownCapability, Which};
pub use observe::{VerifyError, verify};
pub use transition::{Missing, PlanError, Request, Step, Transition, Unavailable, UserChange};
