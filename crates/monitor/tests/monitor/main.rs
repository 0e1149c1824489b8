//! The monitor as a black box: started as the engine starts it, with the real runtime and real containers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attach;
mod failures;
mod init;
mod input;
mod journal;
mod life;
mod log;
mod restarts;
mod scene;
mod terminal;
