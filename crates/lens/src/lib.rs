//! The lens: what a container's walls really are, read back from the kernel.
//!
//! Engines show what was requested. [`audit`](fn@audit) shows what is in force: it looks at a live process from outside, by the rooms' own
//! `observe` functions, holds it against the OCI configuration that the container was made from, where that is known ([`Asked`]), and gives
//! each of 31 checks ([`checks`]) a [`Verdict`]. It works on the process of any engine, or of none.
//!
//! [`watch`] looks at a container while it runs, and says which wall denied it what ([`denial`]), with the flag that would allow it.
//!
//! [`record`] finds in one run what a container needs, and makes of it the walls that allow just that.
//!
//! [`exposure`] says what a missing wall exposes and how much that weighs, as data with reasons; the sum is the [`Grade`].
//!
//! [`selftest`] tries the field's escapes against a runtime.
//!
//! Promises: nothing is changed; a process stands still only for the instant in which its filters are read; what cannot be read is said
//! to be so, with the reason, and never counted as a wall. A hostile process decides about what is read of it: paths are opened below its
//! root without links, file systems that a program answers for are not entered, and text is shown without control characters.
//!
//! Limits: Landlock rules and session keyrings are told by no file of the kernel's; a v1 device list does not show exceptions.
//!
//! References: `proc(5)`, `ptrace(2)`, `namespaces(7)`, `cgroups(7)`, CIS Docker Benchmark, Kubernetes' Pod Security Standards, NIST
//! SP 800-190.

mod asked;
mod audit;
mod check;
pub mod denial;
pub mod doctor;
pub mod explain;
pub mod exposure;
pub mod filter;
mod finding;
mod grade;
mod ground;
pub mod html;
mod picture;
mod profile;
pub mod record;
mod reference;
pub mod sarif;
mod scene;
pub mod selftest;
mod show;
pub mod watch;

pub use asked::Asked;
pub use audit::{AuditError, Auditor, Report, Target, VERSION, audit};
pub use check::all as checks;
pub use finding::{Check, Finding, Verdict};
pub use grade::Grade;
pub use picture::{Difference, Picture, Weaker, against_asked, differences};
pub use profile::{Conformance, Judged, Outcome, Profile};
pub use reference::{ReferenceError, docker_default};
pub use show::{Detail, conformance, text};
