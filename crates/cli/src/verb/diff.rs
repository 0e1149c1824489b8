//! `diff`: what a container changed.

use std::io::{self, Write};

use clap::Args;

use crate::exit::{Failure, SUCCESS};
use crate::global::Global;

/// List what a container changed in its file system: A added, C changed, D deleted
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// Name, id, or the beginning of an id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Diff {
    /// Prints a line for each change.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        let id = engine.find(&self.container).map_err(|error| Failure::failed(&error))?;
        let changes = stockade_engine::diff(&engine, &id).map_err(|error| Failure::failed(&error))?;
        let mut out = io::BufWriter::new(io::stdout().lock());
        for (path, kind) in changes {
            writeln!(out, "{} {}", kind.letter(), shown(&path))?;
        }
        out.flush()?;
        Ok(SUCCESS)
    }
}

/// A path of a container's as one line: what could steer a terminal is escaped.
fn shown(path: &std::path::Path) -> String {
    let text = path.to_string_lossy();
    text.chars()
        .flat_map(|letter| -> Box<dyn Iterator<Item = char>> {
            if letter.is_control() { Box::new(letter.escape_default()) } else { Box::new(std::iter::once(letter)) }
        })
        .collect()
}
