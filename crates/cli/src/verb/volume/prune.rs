//! `volume prune`: removes volumes that no container has.

use clap::Args;
use stockade_engine::volume;

use super::filter::{Condition, Filters};
use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::show::size;

/// Remove volumes that nobody gave a name and no container has
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Those that have a name, too
    #[arg(long, short)]
    all: bool,
    /// Do not ask
    #[arg(long, short)]
    force: bool,
    /// Remove only some: label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "KEY=VALUE", value_parser = Condition::of_prune)]
    filter: Vec<Condition>,
}

impl Prune {
    /// Asks, removes, and says what was.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let filters = Filters(self.filter);
        let all = self.all || filters.name_all();
        let engine = global.engine()?;
        let which = if all { "all" } else { "anonymous" };
        let warning = format!("WARNING! This will remove {which} local volumes not used by at least one container.");
        if !self.force && !say::confirmed(&warning)? {
            return Err(Failure::new(FAILED, "volume prune has been cancelled"));
        }
        let pruned = volume::prune(&engine, |one| (all || one.anonymous) && filters.take(one));
        let pruned = pruned.map_err(|error| Failure::failed(&error))?;
        say_pruned(&pruned)?;
        say::line(&format!("Total reclaimed space: {}", size::exact(pruned.reclaimed)))?;
        Ok(SUCCESS)
    }
}

/// What Docker says of volumes that are gone; nothing if none is.
pub(crate) fn say_pruned(pruned: &volume::Pruned) -> Result<(), Failure> {
    if pruned.names.is_empty() {
        return Ok(());
    }
    say::line("Deleted Volumes:")?;
    for name in &pruned.names {
        say::line(name.as_str())?;
    }
    Ok(say::line("")?)
}
