//! `network rm`: removes networks.

use clap::Args;
use stockade_engine::network;
use stockade_kernel::chain::chain;

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::say;

/// Remove one or more networks that no running container is on
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// One that is not there is no failure
    #[arg(long, short)]
    force: bool,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

impl Rm {
    /// Removes each, whatever became of those before it.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        let mut code = SUCCESS;
        for name in &self.networks {
            match network::remove(&engine, name) {
                Ok(()) => say::line(name)?,
                Err(error) if self.force && error.is_missing() => {}
                Err(error) => {
                    say::error(&chain(&error));
                    code = FAILED;
                }
            }
        }
        Ok(code)
    }
}
