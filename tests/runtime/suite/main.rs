//! What users of an OCI runtime rely on, as runc behaves: the suite judges `stake`, or any other runtime that
//! `STOCKADE_TEST_RUNTIME` names, which is how the suite itself is judged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad_input;
mod command_line;
mod disk;
mod exec;
mod fields;
mod fuzz;
mod hooks;
mod killed;
mod lifecycle;
mod limits;
mod mounts;
mod notify;
mod process;
mod refusals;
mod stdio;
mod systemd;
mod terminal;
mod walls;
