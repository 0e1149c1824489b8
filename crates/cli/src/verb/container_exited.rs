//! `container-exited`: what a monitor has us do once its container has ended.

use clap::Args;

use crate::exit::Failure;
use crate::global::Global;

/// For monitors only: finish a container that has ended
#[derive(Debug, Args)]
pub(crate) struct ContainerExited {
    /// The whole id
    #[arg(value_name = "ID")]
    id: String,
}

impl ContainerExited {
    /// Removes the container if it was made with `--rm`. One that is gone already is as good as finished.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let id = stockade_engine::ContainerId::try_from(self.id).map_err(|error| Failure::failed(&error))?;
        stockade_engine::finish(&global.engine()?, &id).map_err(|error| Failure::failed(&error))?;
        Ok(crate::exit::SUCCESS)
    }
}
