//! `stake`, the OCI runtime: plan first, apply second.
//!
//! [`plan`] decides what a container is, purely; [`rootfs`] puts its root file system together by descriptors.

pub mod plan;
pub mod rootfs;
