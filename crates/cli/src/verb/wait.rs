//! `wait`: the exit codes of containers.

use clap::Args;

use super::attach::tell_why;
use super::each::{Step, each};
use crate::exit::Failure;
use crate::global::Global;
use crate::say;

/// Wait until one or more containers have ended, and print their exit codes
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Wait {
    /// Waits for one after the other, as Docker does.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        Ok(each(&engine, &self.containers, |id, _name| {
            let code = stockade_engine::wait(&engine, id).map_err(Step::Act)?;
            tell_why(&engine, id, code);
            say::line(&code.to_string()).map_err(Step::Say)
        }))
    }
}
