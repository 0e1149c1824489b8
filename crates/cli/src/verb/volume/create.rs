//! `volume create`: makes a volume.

use clap::Args;
use stockade_engine::volume;

use super::{Driver, Name};
use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::grammar::label::{Label, labels};
use crate::grammar::{Invalid, invalid};
use crate::say;

/// Create a volume
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Driver: local
    #[arg(long, short, value_name = "DRIVER")]
    driver: Option<Driver>,
    /// Set a label: KEY or KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<Label>,
    /// Set an option of the driver: type=none, o=bind and device=PATH make it a folder of the host
    #[arg(long, short, value_name = "KEY=VALUE")]
    opt: Vec<Pair>,
    /// Its name; otherwise one is made up
    #[arg(value_name = "VOLUME")]
    name: Option<Name>,
}

/// One `--opt`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair(String, String);

impl std::str::FromStr for Pair {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if key.is_empty() {
            return Err(invalid("--opt", text, "an option needs a key: KEY=VALUE"));
        }
        Ok(Self(key.to_owned(), value.to_owned()))
    }
}

impl Create {
    /// Makes it, or takes the one that has the name, and says the name.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let labels = labels(&[], &self.label).map_err(|error| Failure::of(FAILED, &error))?;
        let options = self.opt.into_iter().map(|Pair(key, value)| (key, value)).collect();
        let engine = global.engine()?;
        let made = volume::create(&engine, self.name.map(|name| name.0), labels, options);
        say::line(made.map_err(|error| Failure::failed(&error))?.as_str())?;
        Ok(SUCCESS)
    }
}
