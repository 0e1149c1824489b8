//! How Docker's command line reads flags (Go's `pflag`), imposed on a `clap` command.
//!
//! - A flag without a value is a truth value: `--rm`, `--rm=false`; never `--rm false`.
//! - A flag with a value takes the next argument whatever it looks like: `--memory-swap -1`, `-e -x`.
//! - Of a flag that is given twice the last one counts, unless it is a list.

use clap::builder::ValueRange;
use clap::{Arg, ArgAction, Command};

/// `command` and all its commands, reading flags as Docker's do.
pub(crate) fn impose(command: Command) -> Command {
    command
        .args_override_self(true)
        .mut_args(|argument| if argument.is_positional() { argument } else { flag(argument) })
}

/// One flag.
fn flag(argument: Arg) -> Arg {
    match argument.get_action() {
        ArgAction::SetTrue => argument
            .action(ArgAction::Set)
            .num_args(ValueRange::new(0..=1))
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .hide_default_value(true)
            .value_name("BOOL")
            .value_parser(boolean),
        ArgAction::Set | ArgAction::Append => argument.allow_hyphen_values(true),
        _ => argument,
    }
}

/// A text that is no truth value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither true nor false")]
pub(crate) struct NoTruth;

/// A truth value as Go's `strconv.ParseBool` takes it.
///
/// # Errors
/// Anything else.
pub(crate) fn boolean(value: &str) -> Result<bool, NoTruth> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(NoTruth),
    }
}
