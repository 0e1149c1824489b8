//! `network disconnect`: takes a container off a network.

use clap::Args;
use stockade_engine::network;
use stockade_engine::network::connect::Absent;

use crate::exit::{Failure, SUCCESS};
use crate::global::Global;

/// Take a container, running or not, off a network
#[derive(Debug, Args)]
pub(crate) struct Disconnect {
    /// One that is not on it is no failure
    #[arg(long, short)]
    force: bool,
    /// The network
    #[arg(value_name = "NETWORK")]
    network: String,
    /// The container
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Disconnect {
    /// Takes it off; says nothing.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        let container = engine.find(&self.container).map_err(|error| Failure::failed(&error))?;
        let absent = if self.force { Absent::Ignore } else { Absent::Refuse };
        network::disconnect(&engine, &container, &self.network, absent).map_err(|error| Failure::failed(&error))?;
        Ok(SUCCESS)
    }
}
