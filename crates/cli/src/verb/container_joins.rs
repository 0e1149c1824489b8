//! `container-joins`: what a monitor has us do before it makes a container again that joins another's namespaces.

use clap::Args;

use crate::exit::Failure;
use crate::global::Global;

/// For monitors only: find the namespaces anew that a container joins
#[derive(Debug, Args)]
pub(crate) struct ContainerJoins {
    /// The whole id
    #[arg(value_name = "ID")]
    id: String,
}

impl ContainerJoins {
    /// Writes them into the container's configuration.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let id = stockade_engine::ContainerId::try_from(self.id).map_err(|error| Failure::failed(&error))?;
        stockade_engine::start::join_again(&global.engine()?, &id)?;
        Ok(crate::exit::SUCCESS)
    }
}
