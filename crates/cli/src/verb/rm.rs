//! `rm`: removes containers.

use clap::Args;
use stockade_engine::{FindError, Force, OwnVolumes};
use stockade_kernel::chain::chain;

use super::each::{each, then_say};
use crate::exit::{Failure, SUCCESS};
use crate::global::Global;
use crate::say;

/// Remove one or more containers
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Kill those that run
    #[arg(long, short)]
    force: bool,
    /// Remove volumes too that nobody gave a name and no other container has
    #[arg(long, short)]
    volumes: bool,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Rm {
    /// Removes each. As in Docker, one that is not there is no failure with `--force`.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        let own = if self.volumes { OwnVolumes::Remove } else { OwnVolumes::Keep };
        let force = if self.force { Force::Kill } else { Force::Refuse };
        let mut code = SUCCESS;
        for name in self.containers {
            match engine.find(&name) {
                Err(error @ FindError::Missing(_)) if self.force => say::error(&chain(&error)),
                _ => {
                    let removed = each(&engine, &[name], |id, name| {
                        then_say(stockade_engine::remove(&engine, id, force, own), name)
                    });
                    code = code.max(removed);
                }
            }
        }
        Ok(code)
    }
}
