//! What users of `stockade` rely on, seen from outside: Docker's command line, the walls as the kernel has them, and a machine
//! that is as it was when a container is gone, whoever was killed at whatever instant.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod archives;
mod audit;
mod chaos;
mod commit;
mod cp;
mod crashes;
mod creation;
mod crowd;
mod events;
mod exec;
mod explain;
mod export;
mod filters;
mod health;
mod image_verbs;
mod images;
mod inspected;
mod journal;
mod lifecycle;
mod limits;
mod lists;
mod login;
mod logs;
mod machine;
mod monitors;
mod policy;
mod process;
mod pull;
mod pulls;
mod push;
mod recovery;
mod refusals;
mod registry;
mod restarts;
mod rootless;
mod storage;
mod streams;
mod stuck;
mod terminal;
mod tmux;
mod tree;
mod userns;
mod volumes;
mod walls;
