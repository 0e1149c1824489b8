//! `explain`: what says no to a container that runs, or would to one of defaults, and the one flag that would allow it, with its risk.

pub(crate) mod beside;
pub(crate) mod hint;
pub(crate) mod watch;

use std::time::Duration;

use clap::{Args, Subcommand};
use stockade_lens::explain::{self, ExplainError, Explanation, Profiles};

use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::grammar::{Invalid, invalid, until};
use crate::say;
use watch::HowLong;

/// Say what denies something, and which one flag would allow it, with its risk
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, arg_required_else_help = true)]
pub(crate) struct Explain {
    #[command(subcommand)]
    about: Option<About>,
    /// Tell each denial when it happens, until the container ends
    #[arg(long, short)]
    follow: bool,
    /// How long the container is watched, such as 30s
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration, conflicts_with = "follow")]
    time: Duration,
    /// A container that runs, by name, id or the beginning of an id, or pid:N of any engine's
    #[arg(value_name = "CONTAINER", required = true)]
    container: Option<String>,
}

/// A duration that is none of the past.
fn duration(text: &str) -> Result<Duration, Invalid> {
    let found = until::duration(text).and_then(|time| Duration::try_from(time).ok());
    found.ok_or_else(|| invalid("--time", text, "a duration such as 30s or 1m30s"))
}

/// What is explained.
#[derive(Debug, Subcommand)]
enum About {
    Syscall(OfSyscall),
    Cap(OfCapability),
    Flag(OfFlag),
}

/// What happens to a system call, with its arguments if they matter
#[derive(Debug, Args)]
struct OfSyscall {
    /// Such as mount
    #[arg(value_name = "NAME")]
    name: String,
    /// Numbers, decimal or after 0x; those that are left out are 0
    #[arg(value_name = "ARG", allow_hyphen_values = true, trailing_var_arg = true)]
    arguments: Vec<String>,
}

/// What a capability allows, and what it opens of the filter
#[derive(Debug, Args)]
struct OfCapability {
    /// Such as NET_ADMIN
    #[arg(value_name = "NAME")]
    name: String,
}

/// What a flag of run does to the walls
#[derive(Debug, Args)]
struct OfFlag {
    /// As on the command line, such as --network=host
    #[arg(value_name = "FLAG", required = true, allow_hyphen_values = true, trailing_var_arg = true)]
    words: Vec<String>,
}

impl Explain {
    /// Prints the explanation.
    pub(crate) fn run(&self, global: &Global) -> Result<u8, Failure> {
        let about = match (&self.about, &self.container) {
            (Some(about), _) => about,
            (None, Some(container)) => {
                let how_long = if self.follow { HowLong::Follow } else { HowLong::For(self.time) };
                return watch::watch(global, container, how_long);
            }
            (None, None) => return Err(Failure::new(REFUSED, "name a container, or syscall, cap or flag")),
        };
        let explained: Result<Explanation, ExplainError> = match about {
            About::Syscall(OfSyscall { name, arguments }) => {
                Profiles::here().and_then(|profiles| explain::syscall(name, arguments, profiles))
            }
            About::Cap(OfCapability { name }) => explain::capability(name),
            About::Flag(OfFlag { words }) => explain::flag(&words.join(" ")),
        };
        let explained = explained.map_err(|error| Failure::of(REFUSED, &error))?;
        say::bytes(explained.to_string().as_bytes())?;
        Ok(SUCCESS)
    }
}
