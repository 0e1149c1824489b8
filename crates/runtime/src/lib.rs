//! `stake`, the OCI runtime: plan first, apply second.

pub mod rootfs;
