//! `top`: the processes of a container.

use clap::Args;
use stockade_engine::top::top;

use crate::exit::{Failure, SUCCESS};
use crate::global::Global;
use crate::say;

/// Show the processes of a container
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Name, id, or the beginning of an id
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Options of the host's ps, which must show the column PID; -ef without them
    #[arg(value_name = "OPTIONS", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

impl Top {
    /// Prints what `ps` says.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        let id = engine.find(&self.container).map_err(|error| Failure::failed(&error))?;
        let text = top(&engine, &id, &self.options).map_err(|error| Failure::failed(&error))?;
        say::bytes(text.as_bytes())?;
        Ok(SUCCESS)
    }
}
