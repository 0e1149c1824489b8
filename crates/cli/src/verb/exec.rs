//! `exec`: one more process in a container that runs.

use std::path::PathBuf;

use clap::Args;
use stockade_engine::session::{DETACH_KEYS, Input};
use stockade_engine::{ExecRequest, Followed};

use super::attach::{Keys, check_terminal, detach_keys};
use crate::exit::{Failure, SUCCESS};
use crate::global::Global;
use crate::grammar::environment::{Variable, variables};

/// Run a command in a running container
#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Run in the background, without streams
    #[arg(long, short)]
    detach: bool,
    /// Keys that detach from the command's terminal, such as ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS", value_parser = detach_keys)]
    detach_keys: Option<Keys>,
    /// Set an environment variable; NAME alone takes over the value that it has here
    #[arg(long, short, value_name = "NAME=VALUE")]
    env: Vec<Variable>,
    /// Read environment variables from a file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Keep standard input open
    #[arg(long, short)]
    interactive: bool,
    /// Give the command all capabilities; everything else that confines the container confines it, too
    #[arg(long)]
    privileged: bool,
    /// Give the command a terminal
    #[arg(long, short)]
    tty: bool,
    /// User, and group, by name or number, as the container's own files have them now
    #[arg(long, short, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Working directory in the container
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,
    /// The container (a name, an id, or the beginning of an id), and the command. Options end at CONTAINER: what follows belongs to the
    /// command
    #[arg(required = true, num_args = 2.., trailing_var_arg = true, value_names = ["CONTAINER", "COMMAND"])]
    container_and_command: Vec<String>,
}

impl Exec {
    /// Runs the command; the exit code is its own.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let mut command = self.container_and_command;
        let container = if command.is_empty() { String::new() } else { command.remove(0) };
        let input = if self.interactive && !self.detach { Input::Forward } else { Input::Ignore };
        if !self.detach {
            check_terminal(self.tty, input)?;
        }
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let request = ExecRequest {
            command,
            env: variables(&self.env_file, &self.env, |name| std::env::var_os(name))
                .map_err(|error| Failure::of(crate::exit::REFUSED, &error))?,
            working_dir: some(self.workdir),
            user: some(self.user),
            privileged: self.privileged,
            terminal: self.tty,
            input,
            detached: self.detach,
            detach_keys: self.detach_keys.map_or(DETACH_KEYS.to_vec(), |keys| keys.0),
        };
        let engine = global.engine()?;
        let id = engine.find(&container).map_err(|error| Failure::failed(&error))?;
        let session = stockade_engine::exec(&engine, &id, &request);
        let session = session.map_err(|error| Failure::of(error.exit_code(), &error))?;
        match session.map(stockade_engine::ExecSession::follow).transpose()? {
            Some(Followed::Exited(code)) => Ok(code),
            Some(Followed::Detached) | None => Ok(SUCCESS),
        }
    }
}
