//! `rename`: another name for a container.

use clap::Args;
use stockade_engine::ContainerName;

use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::grammar::invalid;

/// Rename a container
#[derive(Debug, Args)]
pub(crate) struct Rename {
    /// Its name, id, or the beginning of its id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// The new name
    #[arg(value_name = "NEW_NAME")]
    name: String,
}

impl Rename {
    /// Renames it.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        // Docker takes a leading slash away, which is how its API writes names.
        let bare = self.name.strip_prefix('/').unwrap_or(&self.name);
        let reason = "letters, digits, _ . and -, at least two, beginning with a letter or digit";
        let name: ContainerName =
            bare.parse().map_err(|_other_words| Failure::of(REFUSED, &invalid("NEW_NAME", &self.name, reason)))?;
        let engine = global.engine()?;
        let id = engine.find(&self.container).map_err(|error| Failure::failed(&error))?;
        stockade_engine::rename(&engine, &id, &name).map_err(|error| Failure::failed(&error))?;
        Ok(SUCCESS)
    }
}
