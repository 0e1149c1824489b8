//! `stockade`: Docker's command line for containers without a daemon.
//!
//! [`line`] is the command line as data, read with Docker's grammar ([`grammar`]); each command is a file in [`verb`]; the flags of
//! `create` and `run` are in [`flags`]. What went wrong is said once, in one line, and the exit codes are in [`exit`].

mod complete;
mod elsewhere;
mod exit;
mod flags;
mod global;
mod grammar;
mod line;
mod say;
mod show;
mod usage;
mod verb;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    match complete::answer(&arguments) {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        Err(error) => {
            say::error(&error.to_string());
            return ExitCode::from(exit::FAILED);
        }
    }
    let outcome = match line::Line::read(&arguments) {
        Ok(line) => line.run(),
        Err(error) => usage::answer(&error, &arguments),
    };
    if let Some(reason) = stockade_engine::untold() {
        say::warning(&reason);
    }
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if let Some(message) = failure.message {
                say::error(&message);
            }
            ExitCode::from(failure.code)
        }
    }
}
