//! `seccomp`: profiles of system call filters, looked at without a container.

use clap::{Args, Subcommand};
use stockade_engine::policy::caps::{CapSet, Capability, UnknownCapability};
use stockade_engine::policy::{Seccomp, SecurityOptions, defaults};
use stockade_kernel::chain::chain;
use stockade_lens::filter::{Looked, differences};

use crate::exit::{FAILED, Failure, REFUSED, SUCCESS};
use crate::line::Flags;
use crate::say;

/// `seccomp COMMAND`.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum SeccompCommand {
    Check(Flags<Check>),
    Show(Flags<Show>),
    Diff(Flags<Diff>),
    Decide(Flags<Decide>),
    Stats(Flags<Stats>),
}

/// For which container a profile is looked at.
#[derive(Debug, Args)]
struct For {
    /// A capability that the container has beyond the default, as for run
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// A capability that it has not, as for run
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
}

/// Say whether profiles can be used, and what is wrong where
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    container: For,
    /// As for --security-opt seccomp=: a file, a name, or default+CALL-CALL
    #[arg(value_name = "PROFILE", required = true)]
    profiles: Vec<String>,
}

/// Print what a profile says of every system call of this machine
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    container: For,
    /// As for --security-opt seccomp=
    #[arg(value_name = "PROFILE")]
    profile: String,
}

/// Print the calls of which two profiles say something else; 1 if there are any
#[derive(Debug, Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    container: For,
    /// As for --security-opt seccomp=
    #[arg(value_name = "FIRST")]
    first: String,
    /// As for --security-opt seccomp=
    #[arg(value_name = "SECOND")]
    second: String,
}

/// Say what happens to one call, and why
#[derive(Debug, Args)]
pub(crate) struct Decide {
    #[command(flatten)]
    container: For,
    /// As for --security-opt seccomp=
    #[arg(value_name = "PROFILE")]
    profile: String,
    /// Such as mount
    #[arg(value_name = "CALL")]
    call: String,
    /// Numbers, decimal or after 0x; those that are left out are 0
    #[arg(value_name = "ARG", allow_hyphen_values = true, trailing_var_arg = true)]
    arguments: Vec<String>,
}

/// Print how large the program of a profile is
#[derive(Debug, Args)]
pub(crate) struct Stats {
    #[command(flatten)]
    container: For,
    /// As for --security-opt seccomp=
    #[arg(value_name = "PROFILE")]
    profile: String,
}

impl For {
    /// The filter that the profile means for the container.
    fn look(&self, profile: &str) -> Result<Looked, String> {
        let option = format!("seccomp={profile}");
        let choice = SecurityOptions::parse([option]).map_err(|error| chain(&error))?;
        let choice = choice.seccomp.unwrap_or(Seccomp::Builtin);
        let bounding = self.bounding().map_err(|error| chain(&error))?;
        Looked::at(&choice, bounding).map_err(|error| chain(&error))
    }

    /// The container's capabilities by Docker's rules.
    fn bounding(&self) -> Result<CapSet, UnknownCapability> {
        let all = Capability::named().collect::<CapSet>();
        let set = |names: &[String]| CapSet::parse(names.iter().map(String::as_str), all);
        let (added, dropped) = (set(&self.cap_add)?, set(&self.cap_drop)?);
        let default: CapSet = defaults::CAPABILITIES.iter().map(|entry| entry.value).collect();
        Ok(if added == all { all - dropped } else { (default - dropped) | added })
    }

    fn looked(&self, profile: &str) -> Result<Looked, Failure> {
        self.look(profile).map_err(|reason| Failure::new(REFUSED, reason))
    }
}

impl SeccompCommand {
    /// Does it.
    pub(crate) fn run(self) -> Result<u8, Failure> {
        match self {
            Self::Check(check) => check.0.run(),
            Self::Show(show) => show.0.run(),
            Self::Diff(diff) => diff.0.run(),
            Self::Decide(decide) => decide.0.run(),
            Self::Stats(stats) => stats.0.run(),
        }
    }
}

impl Check {
    fn run(self) -> Result<u8, Failure> {
        let mut code = SUCCESS;
        for profile in &self.profiles {
            match self.container.look(profile) {
                Ok(_) => say::line(&format!("{profile}: can be used"))?,
                Err(reason) => {
                    say::error(&reason);
                    code = FAILED;
                }
            }
        }
        Ok(code)
    }
}

impl Show {
    fn run(self) -> Result<u8, Failure> {
        let table = self.container.looked(&self.profile)?.table();
        let lines: String = table.iter().map(|(call, says)| format!("{call:<28}{says}\n")).collect();
        say::bytes(lines.as_bytes())?;
        Ok(SUCCESS)
    }
}

impl Diff {
    fn run(self) -> Result<u8, Failure> {
        let (first, second) = (self.container.looked(&self.first)?, self.container.looked(&self.second)?);
        let others = differences(&first, &second);
        others.iter().try_for_each(|other| say::line(&other.to_string()))?;
        Ok(if others.is_empty() { SUCCESS } else { FAILED })
    }
}

impl Decide {
    fn run(self) -> Result<u8, Failure> {
        let looked = self.container.looked(&self.profile)?;
        let said = looked.decide(&self.call, &self.arguments).map_err(|error| Failure::of(REFUSED, &error))?;
        say::line(&said)?;
        Ok(SUCCESS)
    }
}

impl Stats {
    fn run(self) -> Result<u8, Failure> {
        let looked = self.container.looked(&self.profile)?;
        let (size, table) = (looked.size(), looked.table());
        let allowed = table.values().filter(|says| *says == "allowed").count();
        let by_arguments = table.values().filter(|says| says.contains(" if ")).count();
        let architectures: Vec<String> = looked.architectures().map(|arch| arch.to_string()).collect();
        say::line(&format!("architectures: {}", architectures.join(", ")))?;
        say::line(&format!(
            "calls of this machine: {}, {allowed} allowed, {by_arguments} by their arguments",
            table.len()
        ))?;
        say::line(&format!("instructions: {}, at most {} for one call", size.instructions, size.longest))?;
        Ok(SUCCESS)
    }
}
