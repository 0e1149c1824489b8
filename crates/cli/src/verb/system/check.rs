//! `system check`: whether everything that is kept is what it should be.

use clap::Args;
use stockade_engine::images::Repair;

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::say;

/// Verify every image, layer and container, and print what is damaged
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Drop what is damaged of images and layers, so that the next pull brings it anew
    #[arg(long)]
    repair: bool,
}

impl Check {
    /// Prints one line for each finding; 1 if there are any.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        let repair = if self.repair { Repair::Drop } else { Repair::Report };
        let faults = stockade_engine::check(&engine, repair).map_err(|error| Failure::failed(&error))?;
        for fault in &faults {
            say::line(&fault.to_string())?;
        }
        Ok(if faults.is_empty() { SUCCESS } else { FAILED })
    }
}
