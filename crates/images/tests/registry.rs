//! The registry client against real registries, and against servers that mean no good.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "registry/hostile.rs"]
mod hostile;
#[path = "registry/real.rs"]
mod real;
#[path = "registry/tls.rs"]
mod tls;
#[path = "registry/web.rs"]
mod web;
