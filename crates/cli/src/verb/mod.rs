//! One file per command: its flags, and what it does with the engine.

pub(crate) mod attach;
pub(crate) mod container_exited;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod diff;
pub(crate) mod each;
pub(crate) mod export;
pub(crate) mod image;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod logs;
pub(crate) mod prune;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod system;
pub(crate) mod version;
pub(crate) mod volume;
pub(crate) mod wait;
