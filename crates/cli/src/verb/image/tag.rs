//! `tag`: another name for an image.

use clap::Args;

use crate::exit::{Failure, SUCCESS};
use crate::global::Global;

/// Give an image another name
#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// The image: a name, an id, or the beginning of an id
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    source: String,
    /// The name; an image that had it before loses it
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    target: String,
}

impl Tag {
    /// Gives the name.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        stockade_engine::tag_image(&engine, &self.source, &self.target).map_err(|error| Failure::failed(&error))?;
        Ok(SUCCESS)
    }
}
