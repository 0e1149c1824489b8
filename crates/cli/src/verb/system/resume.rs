//! `system resume`: after a reboot, what should run runs again.

use clap::Args;

use crate::exit::{FAILED, Failure, SUCCESS};
use crate::global::Global;
use crate::say;

/// Start every container that its --restart policy wants to run after the machine was started
#[derive(Debug, Args)]
pub(crate) struct Resume {}

impl Resume {
    /// Prints the name of each that runs now; 1 if one does not.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let engine = global.engine()?;
        let mut code = SUCCESS;
        for one in stockade_engine::resume(&engine).map_err(|error| Failure::failed(&error))? {
            match one.failure {
                None => say::line(&one.name)?,
                Some(failure) => {
                    code = FAILED;
                    say::error(&format!("container {} was not started: {failure}", one.name));
                }
            }
        }
        Ok(code)
    }
}
