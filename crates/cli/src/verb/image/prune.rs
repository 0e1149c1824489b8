//! `image prune`: removes images that nobody needs.

use clap::Args;
use jiff::Timestamp;
use stockade_engine::prune::{Pruned, Unused};
use stockade_engine::rmi::Gone;

use super::filter::{Condition, Filters};
use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::show::size;

/// Remove images without a name
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Remove all images that no container was made from
    #[arg(long, short)]
    all: bool,
    /// Do not ask
    #[arg(long, short)]
    force: bool,
    /// Remove only some: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE], dangling=BOOL
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Condition>,
}

impl Prune {
    /// Asks, removes, and says what was.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        let filters = Filters::new(self.filter, &engine, Timestamp::now())?;
        let unused = if self.all || filters.dangling() == Some(false) { Unused::Any } else { Unused::Dangling };
        let what = match unused {
            Unused::Any => "images without at least one container associated to them",
            Unused::Dangling => "dangling images",
        };
        if !self.force && !say::confirmed(&format!("WARNING! This will remove all {what}."))? {
            return Err(Failure::new(FAILED, "image prune has been cancelled"));
        }
        // With `dangling=false` all that have no container go, whether they have a name or not.
        let take = |one: &stockade_engine::ImageSummary| filters.take_but_dangling(one);
        let pruned = stockade_engine::prune_images(&engine, unused, take).map_err(|error| Failure::failed(&error))?;
        say_pruned(&pruned)?;
        say::line(&format!("Total reclaimed space: {}", size::exact(pruned.bytes)))?;
        Ok(SUCCESS)
    }
}

/// What Docker says of images that are gone; nothing if none is.
pub(crate) fn say_pruned(pruned: &Pruned) -> Result<(), Failure> {
    if pruned.gone.is_empty() {
        return Ok(());
    }
    say::line("Deleted Images:")?;
    for one in &pruned.gone {
        say::line(&match one {
            Gone::Untagged(name) => format!("untagged: {name}"),
            Gone::Deleted(id) => format!("deleted: {id}"),
        })?;
    }
    Ok(say::line("")?)
}
