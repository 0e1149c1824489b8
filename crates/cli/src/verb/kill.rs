//! `kill`: sends a signal to containers.

use clap::Args;
use stockade_engine::parse_signal;

use super::each::{each, then_say};
use crate::exit::Failure;
use crate::global::Global;

/// Send a signal to one or more containers
#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// The signal, by name or number
    #[arg(long, short, value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Kill {
    /// Signals each.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let signal = parse_signal(&self.signal).map_err(|error| Failure::failed(&error))?;
        let engine = global.engine()?;
        Ok(each(&engine, &self.containers, |id, name| then_say(stockade_engine::kill(&engine, id, signal), name)))
    }
}
