//! `start`: starts containers that were made or have ended.

use clap::Args;
use stockade_engine::session::Input;
use stockade_engine::{StartError, State};

use super::attach::{SessionFlags, check_terminal, follow};
use super::each::{each, then_say};
use super::policy::prove::{ProofError, prove};
use crate::exit::{Failure, REFUSED};
use crate::global::Global;

/// Start one or more containers that were made or have ended
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Attach to the container's output, and end with its exit code
    #[arg(long, short)]
    attach: bool,
    /// Attach standard input too
    #[arg(long, short)]
    interactive: bool,
    #[command(flatten)]
    session: SessionFlags,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Start {
    /// Starts each, or one with this terminal attached.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        if !self.attach && !self.interactive {
            return Ok(each(&engine, &self.containers, |id, name| {
                let outcome = started(stockade_engine::start(&engine, id)).map_err(ProofError::from);
                then_say(outcome.and_then(|()| prove(&engine, id)), name)
            }));
        }
        let [name] = self.containers.as_slice() else {
            return Err(Failure::new(REFUSED, "you cannot start and attach to more than one container at once"));
        };
        let id = engine.find(name).map_err(|error| Failure::failed(&error))?;
        let inspected = stockade_engine::inspect(&engine, &id).map_err(|error| Failure::failed(&error))?;
        // A container without an open standard input reads nothing, whatever is typed.
        let open = self.interactive && inspected.config.open_stdin;
        let input = if open { Input::Forward } else { Input::Ignore };
        check_terminal(inspected.config.tty, input)?;
        let attachment = self.session.attachment(input, inspected.config.tty)?;
        let session = stockade_engine::start_attached(&engine, &id, attachment)?;
        prove(&engine, &id)?;
        follow(session)
    }
}

/// One that runs already is as good as started, as in Docker.
fn started(outcome: Result<(), StartError>) -> Result<(), StartError> {
    match outcome {
        Err(StartError::NotNow { state: State::Running | State::Restarting, .. }) => Ok(()),
        outcome => outcome,
    }
}
