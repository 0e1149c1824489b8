//! `rm`: removes containers.

use clap::Args;
use stockade_engine::container::ContainerError;
use stockade_engine::{Engine, FindError, Force, OwnVolumes, RemoveError};
use stockade_kernel::chain::chain;

use super::each::{Step, then_say};
use crate::exit::{FAILED, Failure, SUCCESS};
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

/// Why one is not removed.
#[derive(Debug, thiserror::Error)]
enum NotRemoved {
    #[error(transparent)]
    Find(#[from] FindError),
    #[error(transparent)]
    Remove(#[from] RemoveError),
}

impl NotRemoved {
    /// Whether it is not there, or not any more.
    fn is_missing(&self) -> bool {
        matches!(
            self,
            Self::Find(FindError::Missing(_)) | Self::Remove(RemoveError::Container(ContainerError::Missing(_)))
        )
    }
}

impl Rm {
    /// Removes each. As in Docker, one that is not there is no failure with `--force`.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        let mut code = SUCCESS;
        for name in &self.containers {
            match then_say(self.remove(&engine, name), name) {
                Ok(()) => {}
                Err(Step::Act(error)) if self.force && error.is_missing() => say::error(&chain(&error)),
                Err(error) => {
                    say::error(&chain(&error));
                    code = FAILED;
                }
            }
        }
        Ok(code)
    }

    fn remove(&self, engine: &Engine, name: &str) -> Result<(), NotRemoved> {
        let own = if self.volumes { OwnVolumes::Remove } else { OwnVolumes::Keep };
        let force = if self.force { Force::Kill } else { Force::Refuse };
        Ok(stockade_engine::remove(engine, &engine.find(name)?, force, own)?)
    }
}
