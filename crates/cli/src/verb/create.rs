//! `create`: makes a container that waits for its start.

use clap::Args;

use super::pull::Pulling;
use super::run::make;
use crate::exit::{FAILED, Failure, SUCCESS};
use crate::flags::{Asked, CreateFlags};
use crate::global::Global;
use crate::say;

/// Make a container from an image without starting it
#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    pub(super) flags: CreateFlags,
}

impl Create {
    /// Makes the container and prints its id.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let cidfile = self.flags.process.cidfile.clone();
        let Asked { request, notices, when, telling } = self.flags.request(&global.network()?)?;
        let engine = global.engine()?;
        // Docker: what is wrong with the flags is 125, and a container that cannot be made is 1.
        let failed = |failure: Failure| Failure { code: FAILED, ..failure };
        let pulling = Pulling { global, when, telling };
        let created = make(&engine, &request, pulling, &notices, cidfile.as_deref()).map_err(failed)?;
        say::line(created.id.as_str())?;
        Ok(SUCCESS)
    }
}
