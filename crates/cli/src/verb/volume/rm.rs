//! `volume rm`: removes volumes.

use clap::Args;
use stockade_engine::volume::{self, Missing};
use stockade_kernel::chain::chain;

use super::Name;
use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::say;

/// Remove one or more volumes that no container has
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// One that is not there is no failure
    #[arg(long, short)]
    force: bool,
    /// Names
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<Name>,
}

impl Rm {
    /// Removes each, whatever became of those before it.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        let missing = if self.force { Missing::Ignore } else { Missing::Refuse };
        let mut code = SUCCESS;
        for Name(name) in &self.volumes {
            match volume::remove(&engine, name, missing) {
                Ok(()) => say::line(name.as_str())?,
                Err(error) => {
                    say::error(&chain(&error));
                    code = FAILED;
                }
            }
        }
        Ok(code)
    }
}
