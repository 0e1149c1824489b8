//! `network inspect`: all that is known of networks, as JSON.

use clap::Args;

use crate::exit::Failure;
use crate::global::Global;
use crate::verb::inspect::{Kind, print};

/// Print all that is known of one or more networks
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A Go template, such as '{{json .Containers}}', or json
    #[arg(long, short, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
}

impl Inspect {
    /// Prints an array, or each by the template.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        print(global, self.format.as_deref(), Some(Kind::Network), &self.networks)
    }
}
