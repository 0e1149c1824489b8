//! `network prune`: removes networks that no container is on.

use clap::Args;
use jiff::Timestamp;
use stockade_engine::network;

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::verb::prune::{Condition, Filters};

/// Remove networks that no container, running or not, is on
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Do not ask
    #[arg(long, short)]
    force: bool,
    /// Remove only some: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Condition>,
}

impl Prune {
    /// Asks, removes, and says what was.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let filters = Filters::new(self.filter, Timestamp::now())?;
        let engine = global.engine()?;
        let warning = "WARNING! This will remove all custom networks not used by at least one container.";
        if !self.force && !say::confirmed(warning)? {
            return Err(Failure::new(FAILED, "network prune has been cancelled"));
        }
        let gone = network::prune(&engine, |one| filters.take(&one.created, &one.labels));
        say_pruned(&gone.map_err(|error| Failure::failed(&error))?)?;
        Ok(SUCCESS)
    }
}

/// What Docker says of networks that are gone; nothing if none is.
pub(crate) fn say_pruned(names: &[String]) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    say::line("Deleted Networks:")?;
    for name in names {
        say::line(name)?;
    }
    Ok(say::line("")?)
}
