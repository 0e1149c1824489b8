//! Commands that name several containers: each is tried, whatever became of those before it.

use std::error::Error;
use std::io;

use stockade_engine::{ContainerId, Engine};
use stockade_kernel::chain::chain;

use crate::exit::{FAILED, SUCCESS};
use crate::say;

/// Does `act` to each of the containers that `names` call; says what went wrong with which. Returns the exit code: 1 if
/// something did.
pub(crate) fn each<E: Error + 'static>(
    engine: &Engine,
    names: &[String],
    mut act: impl FnMut(&ContainerId, &str) -> Result<(), E>,
) -> u8 {
    let mut code = SUCCESS;
    for name in names {
        let done = match engine.find(name) {
            Ok(id) => act(&id, name).map_err(|error| chain(&error)),
            Err(error) => Err(chain(&error)),
        };
        if let Err(text) = done {
            say::error(&text);
            code = FAILED;
        }
    }
    code
}

/// What a command does with a container, and then says of it, can both fail.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Step<E: Error + 'static> {
    /// What it does.
    #[error(transparent)]
    Act(E),
    /// What it says.
    #[error("cannot write to standard output")]
    Say(#[source] io::Error),
}

/// Says a line after something was done.
pub(crate) fn then_say<E: Error + 'static>(done: Result<(), E>, line: &str) -> Result<(), Step<E>> {
    done.map_err(Step::Act)?;
    say::line(line).map_err(Step::Say)
}
