//! `man`: the manual, of the same tree of commands that is read.

use std::path::PathBuf;

use clap::Args;

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::line;

/// For packagers: write the manual, a page for each command, to a folder
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// A folder that is there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Man {
    /// Writes the pages. The engine is not needed.
    pub(crate) fn run(self) -> Result<u8, Failure> {
        // The generated command `help` would have a page for each page.
        let command = line::command().disable_help_subcommand(true);
        let written = clap_mangen::generate_to(command, &self.folder);
        written.map_err(|error| {
            let folder = self.folder.display();
            Failure::new(
                FAILED,
                format!("cannot write the manual to {folder}: {error}; give a folder that can be written"),
            )
        })?;
        Ok(SUCCESS)
    }
}
