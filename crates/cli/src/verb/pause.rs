//! `pause`: processes that stand still.

use clap::Args;

use super::each::{each, then_say};
use crate::exit::Failure;
use crate::global::Global;

/// Pause all processes of one or more containers
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Pause {
    /// Does so to each.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        Ok(each(&engine, &self.containers, |id, name| then_say(stockade_engine::pause(&engine, id), name)))
    }
}
