//! Networks as users see them. The "host" is a network namespace of the test's own in which `stockade` is run, "outside" another that is connected
//! to it; nothing is done in the machine's own network namespace.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attacks;
mod chaos;
mod defaults;
mod denials;
mod firewalld;
mod frames;
mod lasting;
mod lists;
mod matrix;
mod names;
mod nginx;
mod place;
mod ports;
mod reach;
mod resolver;
mod verbs;
