//! seccomp: which system calls a process may make, with which arguments (`seccomp(2)`).
//!
//! A profile, in Docker's format or as OCI's `linux.seccomp`, is read ([`Profile::parse`]), resolved for the capabilities,
//! the kernel and the architecture it is for ([`Profile::resolve`]) into a [`model::Filter`], compiled to classic BPF
//! ([`compile::compile`]) and loaded ([`apply`]). [`load_or_compile`] does all but the last, and keeps compiled programs
//! in a folder, by content.
//!
//! The room promises: a comparison is made at the width that the kernel uses of an argument (a filter sees 64-bit
//! registers, of which the kernel often reads 32, so that an upper bit would step over a comparison); a call newer than the newest that
//! the profile names answers `ENOSYS`, so that programs fall back; `socketcall(2)` and `ipc(2)` are no way around a denied
//! call; what cannot be expressed is an error that names the place in the profile.
//!
//! ```
//! use stockade_seccomp::{Profile, Target, interpret};
//!
//! let text = br#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "chmod", "action": "SCMP_ACT_ERRNO"}]}"#;
//! let filter = Profile::parse(text)?.resolve(&Target::here(&[]))?;
//! let program = stockade_seccomp::compile::compile(&filter)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Limits: a filter cannot look behind a pointer (`clone3(2)`'s flags), and arguments of a call that is made through
//! `socketcall(2)` are out of sight: there a rule that denies some arguments denies them all.
//!
//! References: `seccomp(2)`, `kernel/seccomp.c`, OCI runtime-spec `config-linux.md` (Seccomp).

pub mod apply;
pub mod architecture;
mod cache;
pub mod compile;
pub mod decide;
mod errno;
pub mod interpret;
pub mod model;
mod multiplex;
pub mod observe;
pub mod oci;
mod profile;
#[cfg(test)]
mod random;
mod resolve;
pub mod support;
pub mod syscall;

pub use apply::apply;
pub use cache::{CompileError, Compiled, load_or_compile};
pub use profile::{Profile, ProfileError};
pub use resolve::Target;
