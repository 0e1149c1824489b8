//! `rmi`: takes names from images and removes images.

use clap::Args;
use stockade_engine::rmi::{ForceImage, Gone};
use stockade_kernel::chain::chain;

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::say;

/// Remove one or more images
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Remove images that stopped containers were made from, and images with several names
    #[arg(long, short)]
    force: bool,
    /// Accepted for Docker's sake (there are no untagged parents)
    #[arg(long)]
    no_prune: bool,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Rm {
    /// Removes each, whatever became of those before it. As in Docker, one that is not there is no failure with `--force`.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        let force = if self.force { ForceImage::Yes } else { ForceImage::No };
        let mut code = SUCCESS;
        for image in &self.images {
            match stockade_engine::remove_image(&engine, image, force) {
                Ok(gone) => {
                    for one in gone {
                        say::line(&line(&one))?;
                    }
                }
                Err(error) => {
                    say::error(&chain(&error));
                    if !(self.force && error.is_missing()) {
                        code = FAILED;
                    }
                }
            }
        }
        Ok(code)
    }
}

/// What Docker says of it.
fn line(gone: &Gone) -> String {
    match gone {
        Gone::Untagged(name) => format!("Untagged: {name}"),
        Gone::Deleted(id) => format!("Deleted: {id}"),
    }
}
