//! `logs`: what a container has written.

use std::io::{self, Write};

use clap::Args;
use stockade_engine::LogsError;
use stockade_engine::logs::{Follow, Query, Stream};

use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::global::Global;

/// Print what a container has written
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Go on until the container has ended
    #[arg(long, short)]
    follow: bool,
    /// Print when each line was written
    #[arg(long, short)]
    timestamps: bool,
    /// Print only the last so many lines, or all
    #[arg(long, short = 'n', value_name = "N", default_value = "all")]
    tail: String,
    /// Name, id, or the beginning of an id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Logs {
    /// Prints what was written to standard output there, and to standard error likewise.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let tail = match self.tail.as_str() {
            "all" => None,
            // Docker takes any negative number for all.
            text => match text.parse::<i64>() {
                Ok(number) => u64::try_from(number).ok(),
                Err(_not_a_number) => {
                    let text = format!("invalid --tail {text:?}: a number of lines, or all");
                    return Err(Failure::new(REFUSED, text));
                }
            },
        };
        let engine = global.engine()?;
        let id = engine.find(&self.container).map_err(|error| Failure::failed(&error))?;
        let query = Query { tail, follow: if self.follow { Follow::UntilEnd } else { Follow::No } };
        let mut out = io::BufWriter::new(io::stdout().lock());
        let mut sink = |entry: &stockade_engine::logs::Entry| {
            let time = if self.timestamps { format!("{} ", entry.time) } else { String::new() };
            match entry.stream {
                Stream::Output => write!(out, "{time}{}", entry.text)?,
                Stream::Error => {
                    out.flush()?;
                    write!(io::stderr().lock(), "{time}{}", entry.text)?;
                }
            }
            if self.follow { out.flush() } else { Ok(()) }
        };
        match stockade_engine::logs(&engine, &id, query, &mut sink) {
            Ok(()) => out.flush()?,
            Err(LogsError::Sink(source)) => return Err(source.into()),
            Err(error) => {
                out.flush()?;
                return Err(Failure::failed(&error));
            }
        }
        Ok(SUCCESS)
    }
}
