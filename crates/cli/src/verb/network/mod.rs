//! `network COMMAND`: networks of containers, and who is on them.

pub(crate) mod connect;
pub(crate) mod create;
pub(crate) mod disconnect;
pub(crate) mod filter;
pub(crate) mod inspect;
pub(crate) mod ls;
pub(crate) mod prune;
pub(crate) mod reload;
pub(crate) mod rm;
