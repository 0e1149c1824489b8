//! What users of an OCI runtime rely on, as runc behaves: the suite judges `stake`, or any other runtime that
//! `STOCKADE_TEST_RUNTIME` names, which is how the suite itself is judged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod exec;
mod lifecycle;
mod limits;
mod notify;
mod process;
mod refusals;
mod stdio;
mod walls;
