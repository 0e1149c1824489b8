//! `network reload`: makes bridges and rules anew.

use clap::Args;
use stockade_engine::network;

use crate::exit::{Failure, SUCCESS};
use crate::global::Global;

/// Make bridges and rules anew, as after somebody has flushed all rules of the machine; the next command that starts a container does so, too
#[derive(Debug, Args)]
pub(crate) struct Reload {}

impl Reload {
    /// Makes them; says nothing.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        network::reload(&global.engine()?).map_err(|error| Failure::failed(&error))?;
        Ok(SUCCESS)
    }
}
