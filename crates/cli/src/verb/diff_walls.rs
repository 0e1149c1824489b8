//! `diff-walls`: in what the walls of two containers differ.

use std::path::Path;

use clap::Args;
use stockade_engine::policy::{Seccomp, SecurityOptions, organisation};
use stockade_kernel::chain::chain;
use stockade_lens::{Conformance, Difference, Judged, Outcome, Profile, Report, Target, Weaker};

use super::audit::{Seeker, container};
use crate::exit::{FAILED, Failure, REFUSED, SUCCESS, WEAKER};
use crate::global::Global;
use crate::say;
use crate::show::table::aligned;

/// What stands for Docker's default.
const DEFAULT: &str = "docker-default";
/// What stands for the organisation's policy.
const POLICY: &str = "policy";

/// Show in what the walls of two containers differ
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 the second is not weaker, 1 one could not be looked at, 3 the second is weaker in something."
)]
pub(crate) struct DiffWalls {
    /// text or json
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"], default_value = "text")]
    format: String,
    /// A container, a process id, or the file of an audit that was saved as JSON (a path with a slash); or docker-default, policy,
    /// seccomp=PROFILE (as for --security-opt), or profile=NAME (as for audit --profile)
    #[arg(value_name = "CONTAINER|PID|FILE")]
    first: String,
    /// A container, a process id, or a file, but for what is only held against those that run
    #[arg(value_name = "CONTAINER|PID|FILE")]
    second: String,
}

/// What the second is held against.
enum Against {
    /// Another one.
    Another,
    /// Docker's default.
    Default,
    /// The organisation's policy.
    Policy,
    /// A profile of system calls.
    Seccomp(Seccomp),
    /// A profile of somebody's controls.
    Profile(Profile),
}

impl Against {
    /// What `text` stands for.
    fn of(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("profile=") {
            return name.parse().map(Self::Profile).map_err(|error| chain(&error));
        }
        if text.starts_with("seccomp=") {
            let choice = SecurityOptions::parse([text]).map_err(|error| chain(&error))?.seccomp;
            return Ok(Self::Seccomp(choice.unwrap_or(Seccomp::Builtin)));
        }
        Ok(match text {
            DEFAULT => Self::Default,
            POLICY => Self::Policy,
            _ => Self::Another,
        })
    }
}

impl DiffWalls {
    /// Prints the differences.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let refused = |reason: String| Failure::new(REFUSED, reason);
        if !matches!(Against::of(&self.second).map_err(refused)?, Against::Another) {
            let way_out = "name that first: the other is held against it";
            return Err(refused(format!("{} is no container: {way_out}", self.second)));
        }
        let against = Against::of(&self.first).map_err(refused)?;
        let found = self.found(global, &against).map_err(|reason| Failure::new(FAILED, reason))?;
        if self.format == "json" {
            say::line(&serde_json::to_string_pretty(&found).map_err(|error| Failure::failed(&error))?)?;
        } else if !found.is_empty() {
            say::bytes(self.table(&found).as_bytes())?;
        }
        Ok(if found.iter().any(|one| one.weaker == Weaker::Second) { WEAKER } else { SUCCESS })
    }

    fn found(&self, global: &Global, against: &Against) -> Result<Vec<Difference>, String> {
        match against {
            Against::Another => {
                let first = report(global, &self.first)?;
                Ok(stockade_lens::differences(&first, &report(global, &self.second)?))
            }
            Against::Default => Ok(stockade_lens::against_asked(&against_default(global, &self.second)?)),
            Against::Profile(profile) => {
                Ok(against_profile(&Conformance::of(&report(global, &self.second)?, *profile), *profile))
            }
            Against::Seccomp(choice) => {
                let target = running(global, &self.second)?;
                stockade_lens::filter::against_loaded(target.pid, choice).map_err(|error| chain(&error))
            }
            Against::Policy => against_policy(global, &self.second),
        }
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
    let target = Seeker::new(global).target(text)?;
    stockade_lens::audit(&target).map_err(|error| chain(&error))
}

/// A container or process that runs, and no file.
fn running(global: &Global, text: &str) -> Result<Target, String> {
    if text.contains('/') {
        return Err(format!("{text} is what was in force then: name the container itself"));
    }
    Seeker::new(global).target(text)
}

/// The audit of a container or process held against Docker's default.
fn against_default(global: &Global, text: &str) -> Result<Report, String> {
    let mut target = running(global, text)?;
    target.asked = Some(stockade_lens::docker_default(target.pid).map_err(|error| chain(&error))?);
    stockade_lens::audit(&target).map_err(|error| chain(&error))
}

/// The controls that are not met. One that cannot be checked is not met, and not known to be weaker.
fn against_profile(judged: &Conformance, profile: Profile) -> Vec<Difference> {
    let difference = |control: &Judged| {
        let (word, weaker) = match control.outcome {
            Outcome::Passes => return None,
            Outcome::Fails => ("fails", Weaker::Second),
            Outcome::CannotBeChecked => ("cannot be checked", Weaker::Neither),
        };
        let reasons = control.reasons.join("; ");
        let second = if reasons.is_empty() { word.to_owned() } else { format!("{word}: {reasons}") };
        let (check, part) = (profile.name().to_owned(), control.control.to_owned());
        Some(Difference { check, part, first: control.title.to_owned(), second, weaker })
    };
    judged.controls.iter().filter_map(difference).collect()
}

/// What of the policy a container of ours does not keep, and what of its own configuration the kernel does not keep for it.
fn against_policy(global: &Global, text: &str) -> Result<Vec<Difference>, String> {
    let engine = global.engine().map_err(|failure| failure.message.unwrap_or_default())?;
    let id =
        engine.find(text).map_err(|error| format!("a policy is about containers of this engine: {}", chain(&error)))?;
    let found = engine.violations(&id).map_err(|error| chain(&error))?;
    let found = found.ok_or_else(|| format!("there is no policy: {} is not there", organisation::FILE))?;
    let violated = found.into_iter().map(|one| Difference {
        check: POLICY.to_owned(),
        part: if one.value.is_empty() { one.rule.to_owned() } else { format!("{} {}", one.rule, one.value) },
        first: "kept".to_owned(),
        second: one.text,
        weaker: Weaker::Second,
    });
    let mut all: Vec<Difference> = violated.collect();
    let inspected = stockade_engine::inspect(&engine, &id).map_err(|error| chain(&error))?;
    if inspected.state.pid != 0 {
        let report = stockade_lens::audit(&container(&engine, &id)?).map_err(|error| chain(&error))?;
        let asked = stockade_lens::against_asked(&report);
        all.extend(asked.into_iter().filter(|one| one.weaker == Weaker::Second));
    }
    Ok(all)
}
