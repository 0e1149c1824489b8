//! `explain`: what would say no to a container of defaults, and the one flag that would allow it, with its risk.

use clap::{Args, Subcommand};
use stockade_lens::explain::{self, ExplainError, Explanation};

use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::say;

/// Say what denies something, and which one flag would allow it, with its risk
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(subcommand)]
    about: About,
}

/// What is explained.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true, arg_required_else_help = true)]
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
    pub(crate) fn run(&self) -> Result<u8, Failure> {
        let explained: Result<Explanation, ExplainError> = match &self.about {
            About::Syscall(OfSyscall { name, arguments }) => explain::syscall(name, arguments),
            About::Cap(OfCapability { name }) => explain::capability(name),
            About::Flag(OfFlag { words }) => explain::flag(&words.join(" ")),
        };
        let explained = explained.map_err(|error| Failure::of(REFUSED, &error))?;
        say::bytes(explained.to_string().as_bytes())?;
        Ok(SUCCESS)
    }
}
