//! `logs`: what a container has written.

use std::io::{self, Write};

use clap::Args;
use jiff::Timestamp;
use stockade_engine::LogsError;
use stockade_engine::logs::{Entry, Follow, Found, Query, Stream};

use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::grammar::until::until;
use crate::say;

/// Print what a container has written
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Print what the log driver's options have put to each line
    #[arg(long)]
    details: bool,
    /// Go on until the container has ended
    #[arg(long, short)]
    follow: bool,
    /// Print only what was written since then: a date, or a duration such as 42m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Print only what was written until then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
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
        let query = self.query()?;
        let engine = global.engine()?;
        let id = engine.find(&self.container).map_err(|error| Failure::failed(&error))?;
        let mut out = io::BufWriter::new(io::stdout().lock());
        let mut printing = Printing { logs: &self, within: [false; 2], damaged: 0 };
        let mut sink = |found: Found<'_>| {
            match found {
                Found::Entry(entry) => printing.entry(&mut out, entry)?,
                Found::Damaged => printing.damaged += 1,
                Found::Missed => {
                    out.flush()?;
                    say::warning("lines are missing here: the log's files were replaced faster than they were read");
                }
            }
            if self.follow { out.flush() } else { Ok(()) }
        };
        let read = stockade_engine::logs(&engine, &id, query, &mut sink);
        let damaged = printing.damaged;
        if let Err(LogsError::Sink(source)) = read {
            return Err(source.into());
        }
        out.flush()?;
        if damaged > 0 {
            say::warning(&format!("lines of the log that are damaged, and left out here: {damaged}"));
        }
        read.map(|()| SUCCESS).map_err(|error| Failure::failed(&error))
    }

    fn query(&self) -> Result<Query, Failure> {
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
        let now = Timestamp::now();
        let time = |flag, text: &Option<String>| {
            let given = text.as_deref().filter(|text| !text.is_empty());
            given
                .map(|text| until(flag, text, now))
                .transpose()
                .map_err(|error| Failure::new(REFUSED, error.to_string()))
        };
        let follow = if self.follow { Follow::UntilEnd } else { Follow::No };
        Ok(Query { tail, since: time("--since", &self.since)?, until: time("--until", &self.until)?, follow })
    }
}

/// What was printed so far.
struct Printing<'a> {
    logs: &'a Logs,
    /// For each stream, whether its last line has not ended: what follows is its continuation and has no time of its own.
    within: [bool; 2],
    damaged: u64,
}

impl Printing<'_> {
    fn entry(&mut self, out: &mut impl Write, entry: &Entry) -> io::Result<()> {
        let within = &mut self.within[usize::from(entry.stream == Stream::Error)];
        let mut line = String::new();
        if !*within && self.logs.timestamps {
            line += &format!("{:.9} ", entry.time);
        }
        if !*within && self.logs.details {
            let word = |text: &str| -> String { text.bytes().map(escaped).collect() };
            let all: Vec<String> =
                entry.attributes.iter().map(|(key, value)| format!("{}={}", word(key), word(value))).collect();
            line += &format!("{} ", all.join(","));
        }
        *within = !entry.text.ends_with('\n');
        line += &entry.text;
        match entry.stream {
            Stream::Output => out.write_all(line.as_bytes()),
            Stream::Error => {
                out.flush()?;
                io::stderr().lock().write_all(line.as_bytes())
            }
        }
    }
}

/// As Docker writes a character of a detail: as in the query of a URL.
fn escaped(byte: u8) -> String {
    match byte {
        b' ' => "+".into(),
        byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => char::from(byte).into(),
        byte => format!("%{byte:02X}"),
    }
}
