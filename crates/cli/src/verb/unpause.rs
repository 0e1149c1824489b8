//! `unpause`: processes that go on.

use clap::Args;

use super::each::{each, then_say};
use crate::exit::Failure;
use crate::global::Global;

/// Let all processes of one or more paused containers go on
#[derive(Debug, Args)]
pub(crate) struct Unpause {
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Unpause {
    /// Does so to each.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        Ok(each(&engine, &self.containers, |id, name| then_say(stockade_engine::unpause(&engine, id), name)))
    }
}
