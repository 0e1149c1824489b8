//! What the command line can ask for: one file per verb.

pub mod create;
pub mod delete;
pub mod events;
pub mod exec;
pub mod features;
pub mod freeze;
pub mod group;
pub mod kill;
pub mod list;
pub mod ps;
pub mod run;
pub mod spec;
pub mod start;
pub mod state;
pub mod update;

use crate::log::Log;
use crate::store::Store;

/// What every verb works with.
#[derive(Debug)]
pub struct Context {
    /// The containers.
    pub store: Store,
    /// Where to say things.
    pub log: Log,
}
