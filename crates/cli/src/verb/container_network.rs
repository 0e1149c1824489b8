//! `container-network`: what a monitor has us do before it starts its container once more.

use clap::Args;

use crate::exit::Failure;
use crate::global::Global;

/// For monitors only: attach a container that is started again to its networks
#[derive(Debug, Args)]
pub(crate) struct ContainerNetwork {
    /// The whole id
    #[arg(value_name = "ID")]
    id: String,
    /// The host's id of its first process
    #[arg(value_name = "PID")]
    pid: i32,
}

impl ContainerNetwork {
    /// Attaches it.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let id = stockade_engine::ContainerId::try_from(self.id).map_err(|error| Failure::failed(&error))?;
        let attached = stockade_engine::network::reattach(&global.engine()?, &id, self.pid);
        attached.map_err(|error| Failure::failed(&error))?;
        Ok(crate::exit::SUCCESS)
    }
}
