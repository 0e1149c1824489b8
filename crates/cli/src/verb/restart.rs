//! `restart`: stops containers and starts them.

use clap::Args;

use super::each::{each, then_say};
use super::policy::prove::{ProofError, prove};
use super::stop::StopFlags;
use crate::exit::Failure;
use crate::global::Global;

/// Restart one or more containers
#[derive(Debug, Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    stop: StopFlags,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Restart {
    /// Restarts each.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let how = self.stop.how()?;
        let engine = global.engine()?;
        Ok(each(&engine, &self.containers, |id, name| {
            let outcome = stockade_engine::restart(&engine, id, how).map_err(ProofError::from);
            then_say(outcome.and_then(|()| prove(&engine, id)), name)
        }))
    }
}
