//! The security record of the field as tests: each published hole that concerns a runtime, tried by a hostile bundle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cves;
mod filter;
