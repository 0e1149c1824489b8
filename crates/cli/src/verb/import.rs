//! `import`: an image of an archive of files.

use std::fs::File;
use std::io::{self, Read};

use clap::Args;
use stockade_engine::images::Platform;
use stockade_engine::images::change::Change;
use stockade_engine::import::Import as Order;

use super::commit::name_to_give;
use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::say;

/// Make an image of a tar archive of files, such as export writes
#[derive(Debug, Args)]
#[command(override_usage = "stockade import [OPTIONS] FILE|- [REPOSITORY[:TAG]]")]
pub(crate) struct Import {
    /// A Dockerfile instruction that changes the image's configuration
    #[arg(long, short, value_name = "INSTRUCTION")]
    change: Vec<Change>,
    /// What is said of it in the history
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// What the image is for, OS/ARCH[/VARIANT]; without it, this machine
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
    /// The archive, plain or compressed by gzip or zstd; - is standard input
    #[arg(value_name = "FILE|-")]
    file: String,
    /// The image's name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

impl Import {
    /// Makes the image and prints its id.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        if self.file.contains("://") {
            let text = "archives are not fetched: curl --fail --location URL | stockade import -";
            return Err(Failure::new(FAILED, text));
        }
        let name = self.name.as_deref().map(name_to_give).transpose()?;
        let archive: Box<dyn Read> = match self.file.as_str() {
            "-" => Box::new(io::stdin().lock()),
            path => Box::new(
                File::open(path).map_err(|error| Failure::new(FAILED, format!("cannot open {path}: {error}")))?,
            ),
        };
        let engine = global.engine()?;
        let order = Order {
            name,
            message: self.message.unwrap_or_else(|| format!("Imported from {}", self.file)),
            changes: self.change,
            platform: self.platform.unwrap_or_else(Platform::machine),
        };
        let image = stockade_engine::import(&engine, archive, &order).map_err(|error| Failure::failed(&error))?;
        say::line(&image.to_string())?;
        Ok(SUCCESS)
    }
}
