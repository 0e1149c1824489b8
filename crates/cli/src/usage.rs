//! What is said about a command line that cannot be read: one line that names the thing, and one with the way out.

use std::error::Error as _;
use std::ffi::OsString;
use std::num::{IntErrorKind, ParseIntError};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::exit::{FAILED, Failure, REFUSED, SUCCESS};
use crate::{elsewhere, line, say};
use stockade_kernel::chain::chain;

/// Global options that take the argument after them.
const TAKE_ONE: [&str; 7] = [
    "--cgroup-driver",
    "--data-root",
    "--exec-root",
    "--default-network",
    "--runtime",
    "--insecure-registry",
    "--registry-mirror",
];

/// Prints the help or version that was asked for, or says what is wrong with `arguments`.
///
/// # Errors
/// The latter, with Docker's exit code: 125, or 1 for an unknown command, a missing argument or one too many.
pub(crate) fn answer(error: &clap::Error, arguments: &[OsString]) -> Result<u8, Failure> {
    let asked_for = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if asked_for {
        say::line(error.render().to_string().trim_end())?;
        return Ok(SUCCESS);
    }
    let path = path(arguments);
    let code = match error.kind() {
        ErrorKind::UnknownArgument if !is_flag(error) => FAILED,
        ErrorKind::InvalidSubcommand | ErrorKind::MissingRequiredArgument | ErrorKind::MissingSubcommand => FAILED,
        _ => REFUSED,
    };
    let way_out = format!("See '{path} --help'.");
    Err(Failure::new(code, format!("{}\n{way_out}", message(error, &path))))
}

/// Whether what is wrong begins as flags do, and is no argument too many.
fn is_flag(error: &clap::Error) -> bool {
    matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(text)) if text.starts_with('-'))
}

/// The command that was being read: `stockade run`, for instance.
fn path(arguments: &[OsString]) -> String {
    let mut path = vec!["stockade".to_owned()];
    let root = line::whole();
    let mut command = &root;
    let mut words = arguments.iter().skip(1).filter_map(|argument| argument.to_str());
    while let Some(word) = words.next() {
        if TAKE_ONE.contains(&word) {
            words.next();
        } else if !word.starts_with('-') && word != "help" {
            let Some(next) = command.find_subcommand(word) else { break };
            path.push(word.to_owned());
            if next.get_subcommands().next().is_none() {
                break;
            }
            command = next;
        }
    }
    path.join(" ")
}

/// What is wrong, in one line.
fn message(error: &clap::Error, path: &str) -> String {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        // The most alike comes last.
        Some(ContextValue::Strings(texts)) => texts.last().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    let flag = bare(&said(ContextKind::InvalidArg)).to_owned();
    match error.kind() {
        ErrorKind::UnknownArgument => unknown_flag(&flag, path, &said(ContextKind::SuggestedArg)),
        ErrorKind::InvalidSubcommand => {
            unknown_command(&said(ContextKind::InvalidSubcommand), path, &said(ContextKind::SuggestedSubcommand))
        }
        ErrorKind::MissingRequiredArgument => format!("{path:?} requires at least 1 argument"),
        ErrorKind::MissingSubcommand => format!("{path:?} requires a command"),
        ErrorKind::ValueValidation => {
            let reason = error.source().map(reason).unwrap_or_default();
            // Our own grammars name the flag already.
            if reason.starts_with("invalid --") {
                reason
            } else {
                format!("invalid {flag} {:?}: {reason}", said(ContextKind::InvalidValue))
            }
        }
        ErrorKind::InvalidValue if said(ContextKind::InvalidValue).is_empty() => {
            format!("flag needs an argument: {flag}")
        }
        ErrorKind::TooManyValues => format!("{flag} takes no such value: write {flag}=true or {flag}=false"),
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8 text".to_owned(),
        _ => first_line(error),
    }
}

/// Why a value was refused.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<ParseIntError>().map(ParseIntError::kind) {
        Some(IntErrorKind::Empty | IntErrorKind::InvalidDigit) => "not a whole number".to_owned(),
        Some(_) => "a number that is too large or too small".to_owned(),
        None => chain(error),
    }
}

/// `--name` of clap's `--name <VALUE>`.
fn bare(flag: &str) -> &str {
    flag.split([' ', '=', '[']).next().unwrap_or(flag)
}

fn unknown_flag(flag: &str, path: &str, suggested: &str) -> String {
    if !flag.starts_with('-') {
        return format!("{path:?} does not take the argument {flag:?}");
    }
    if let Some(advice) = elsewhere::flag(path, flag) {
        return format!("{flag} is not supported: {advice}");
    }
    match bare(suggested) {
        "" => format!("unknown flag: {flag}"),
        other => format!("unknown flag: {flag}; did you mean {other}?"),
    }
}

fn unknown_command(name: &str, path: &str, suggested: &str) -> String {
    if let Some(advice) = elsewhere::command(path, name) {
        return format!("there is no command {name:?}: {advice}");
    }
    match suggested {
        "" => format!("there is no command {name:?} of {path:?}"),
        other => format!("there is no command {name:?} of {path:?}; did you mean {other}?"),
    }
}

/// clap's own words without what it writes around them.
fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
