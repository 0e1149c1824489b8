//! `diff-walls`: in what the walls of two containers differ.

use std::path::Path;

use clap::Args;
use stockade_kernel::chain::chain;
use stockade_lens::{Difference, Report, Weaker};

use super::audit::target;
use crate::exit::{FAILED, Failure, REFUSED, SUCCESS, WEAKER};
use crate::global::Global;
use crate::say;
use crate::show::table::aligned;

/// What stands for Docker's default.
const DEFAULT: &str = "docker-default";

/// Show in what the walls of two containers differ
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 the second is not weaker, 1 one could not be looked at, 3 the second is weaker in something."
)]
pub(crate) struct DiffWalls {
    /// text or json
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"], default_value = "text")]
    format: String,
    /// A container, a process id, docker-default, or the file of an audit that was saved as JSON (a path with a slash)
    #[arg(value_name = "CONTAINER|PID|FILE")]
    first: String,
    /// The same, but a container or a process if the first is docker-default
    #[arg(value_name = "CONTAINER|PID|FILE")]
    second: String,
}

impl DiffWalls {
    /// Prints the differences.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        if self.second == DEFAULT {
            return Err(Failure::new(REFUSED, "name docker-default first: the other is held against it"));
        }
        let failed = |reason: String| Failure::new(FAILED, reason);
        let found = if self.first == DEFAULT {
            stockade_lens::against_asked(&against_default(global, &self.second).map_err(failed)?)
        } else {
            let first = report(global, &self.first).map_err(failed)?;
            let second = report(global, &self.second).map_err(failed)?;
            stockade_lens::differences(&first, &second)
        };
        if self.format == "json" {
            say::line(&serde_json::to_string_pretty(&found).map_err(|error| Failure::failed(&error))?)?;
        } else if !found.is_empty() {
            say::bytes(self.table(&found).as_bytes())?;
        }
        Ok(if found.iter().any(|one| one.weaker == Weaker::Second) { WEAKER } else { SUCCESS })
    }

    fn table(&self, found: &[Difference]) -> String {
        let head = format!("WALL\t{}\t{}\tWEAKER", self.first, self.second);
        let line = |one: &Difference| {
            let weaker = match one.weaker {
                Weaker::First => &self.first,
                Weaker::Second => &self.second,
                Weaker::Neither => "-",
            };
            format!("{}: {}\t{}\t{}\t{weaker}", one.check, one.part, one.first, one.second)
        };
        aligned(&std::iter::once(head).chain(found.iter().map(line)).collect::<Vec<_>>())
    }
}

/// The audit of a container or process, or one that was saved.
fn report(global: &Global, text: &str) -> Result<Report, String> {
    if text.contains('/') {
        return Report::load(Path::new(text)).map_err(|error| chain(&error));
    }
    let target = target(global, text)?;
    stockade_lens::audit(&target).map_err(|error| chain(&error))
}

/// The audit of a container or process held against Docker's default.
fn against_default(global: &Global, text: &str) -> Result<Report, String> {
    if text.contains('/') {
        return Err(format!("{text} was held against what was asked for then: name the container itself"));
    }
    let mut target = target(global, text)?;
    target.asked = Some(stockade_lens::docker_default(target.pid).map_err(|error| chain(&error))?);
    stockade_lens::audit(&target).map_err(|error| chain(&error))
}
