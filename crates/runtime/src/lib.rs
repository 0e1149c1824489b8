//! `stake`, the OCI runtime: plan first, apply second.
//!
//! [`plan`] decides what a container is, purely; [`rootfs`] puts its root file system together by descriptors.

pub mod cli;
pub mod facts;
pub mod foreground;
pub mod hook;
pub mod log;
pub mod plan;
pub mod rootfs;
pub mod stage;
pub mod status;
pub mod store;
pub mod terminal;
pub mod verb;
