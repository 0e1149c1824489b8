//! `selftest`: the field's escapes, tried against OCI runtimes on this host.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use stockade_lens::selftest::{self, Outcome, Tried};

use crate::exit::{FAILED, Failure, REFUSED, SUCCESS, WEAKER};
use crate::global::Global;
use crate::say;
use crate::show::table::aligned;

/// Try the known escapes of container runtimes on this host, harmlessly
#[derive(Debug, Args)]
#[command(
    after_help = "--runtime names the OCI runtimes; several are shown side by side. Exit codes: 0 every wall that could be tried held, 1 a runtime could not be tried at all, 3 a wall is broken."
)]
pub(crate) struct Selftest {
    /// text or json
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"], default_value = "text")]
    format: String,
    /// List the cases and try none
    #[arg(long)]
    list: bool,
    /// Cases; all without it
    #[arg(value_name = "CASE")]
    cases: Vec<String>,
}

impl Selftest {
    /// Tries, and prints a line for each case.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let refused = |error: selftest::SelftestError| Failure::of(REFUSED, &error);
        let cases = selftest::select(&self.cases).map_err(refused)?;
        if self.list {
            let lines: Vec<String> = cases.iter().map(|case| format!("{}\t{}", case.id, case.tried)).collect();
            say::bytes(aligned(&lines).as_bytes())?;
            return Ok(SUCCESS);
        }
        let mut found: Vec<(PathBuf, Vec<Tried>)> = Vec::new();
        for runtime in global.runtimes()? {
            let tried = selftest::attempt(&runtime, &cases).map_err(refused)?;
            found.push((runtime, tried));
        }
        self.print(&found)?;
        let all = || found.iter().flat_map(|(_, tried)| tried);
        let untried = |(_, tried): &(PathBuf, Vec<Tried>)| {
            tried.iter().all(|one| matches!(one.outcome, Outcome::CannotBeTried(_)))
        };
        Ok(match () {
            () if all().any(|one| matches!(one.outcome, Outcome::Broken(_))) => WEAKER,
            () if found.iter().any(untried) => FAILED,
            () => SUCCESS,
        })
    }

    fn print(&self, found: &[(PathBuf, Vec<Tried>)]) -> Result<(), Failure> {
        if self.format == "json" {
            let all: Vec<_> =
                found.iter().map(|(runtime, tried)| json!({ "runtime": runtime, "cases": tried })).collect();
            let text = serde_json::to_string_pretty(&all).map_err(|error| Failure::failed(&error))?;
            return Ok(say::line(&text)?);
        }
        let mut lines = Vec::new();
        if let [(_, tried)] = found {
            lines.push("CASE\tVERDICT\tTRIED\tBECAUSE".to_owned());
            lines.extend(tried.iter().map(|one| {
                let (word, why) = words(&one.outcome);
                format!("{}\t{word}\t{}\t{why}", one.id, one.tried)
            }));
        } else {
            let names: Vec<String> = found.iter().map(|(runtime, _)| selftest::name_of(runtime)).collect();
            lines.push(format!("CASE\t{}\tTRIED", names.join("\t")));
            let count = found.first().map_or(0, |(_, tried)| tried.len());
            for place in 0..count {
                let row: Vec<&Tried> = found.iter().filter_map(|(_, tried)| tried.get(place)).collect();
                let verdicts: Vec<&str> = row.iter().map(|one| words(&one.outcome).0).collect();
                let (id, tried) = row.first().map_or(("", ""), |one| (one.id, one.tried));
                lines.push(format!("{id}\t{}\t{tried}", verdicts.join("\t")));
            }
        }
        say::bytes(aligned(&lines).as_bytes())?;
        if found.len() > 1 {
            self.remarks(found)?;
        }
        Ok(())
    }

    /// Below a table of several: why a verdict is not that a wall held.
    fn remarks(&self, found: &[(PathBuf, Vec<Tried>)]) -> Result<(), Failure> {
        for (runtime, tried) in found {
            let mut said = "";
            for one in tried {
                let (word, why) = words(&one.outcome);
                // One reason may stand for all: a runtime that runs nothing here.
                if !matches!(one.outcome, Outcome::Held(_)) && why != said {
                    say::line(&format!("{}: {}: {word}: {why}", selftest::name_of(runtime), one.id))?;
                    said = why;
                }
            }
        }
        Ok(())
    }
}

fn words(outcome: &Outcome) -> (&'static str, &str) {
    match outcome {
        Outcome::Held(why) => ("held", why),
        Outcome::Broken(why) => ("BROKEN", why),
        Outcome::CannotBeTried(why) => ("cannot be tried", why),
    }
}

/// For the selftest only: be the program in a case's container
#[derive(Debug, Args)]
pub(crate) struct SelftestInside {
    #[arg(value_name = "WORD", required = true)]
    words: Vec<String>,
}

impl SelftestInside {
    /// Says one line.
    pub(crate) fn run(self) -> Result<u8, Failure> {
        let said = selftest::inside::attempt(&self.words);
        let said =
            said.ok_or_else(|| Failure::new(REFUSED, "there is no such attempt: this command is the selftest's own"))?;
        say::line(&said)?;
        Ok(SUCCESS)
    }
}
