//! The kernel's interfaces that the rest of Stockade needs and `rustix` lacks, typed and safe to call.
//!
//! This is the only crate of the project in which `unsafe` may stand. Each module is one small family of system
//! calls; its functions say what the kernel does, since which version, and what is left behind on failure. What
//! `rustix` already offers is used from there and not wrapped again.
//!
//! Errors are [`std::io::Error`] carrying the kernel's errno: the caller knows the object and says it.
#![allow(unsafe_code)]

pub mod bpf;
pub mod chain;
pub mod clock;
pub mod clone;
pub mod enclose;
pub mod exec;
pub mod fdpass;
pub mod inherit;
pub mod keyring;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod perf;
pub mod procfs;
pub mod random;
pub mod resolve;
pub mod sched;
pub mod sealed;
pub mod seccomp;
pub mod signal;
pub mod spawn;
mod sys;
pub mod terminal;
