//! `doctor`: what of this machine stands in the way of containers, or makes their walls weaker.

use clap::Args;
use stockade_lens::doctor::{self, Patient};

use crate::exit::{FAILED, Failure, NO_TEMPLATE, SUCCESS};
use crate::global::Global;
use crate::say;

/// Look at this machine: what stands in the way of containers, what makes them weaker, and what mends it
///
/// It looks for the user who asks: root needs other things than others do. Nothing is changed. The exit code is 1 if something stands in
/// the way.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// json for programs
    #[arg(long, short, value_name = "FORMAT")]
    format: Option<String>,
}

impl Doctor {
    /// Prints it.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let layers = Some(std::path::absolute(global.data()).map_err(|error| Failure::failed(&error))?);
        let found = doctor::examine(&Patient { layers, ..Patient::here() });
        match self.format.as_deref() {
            None | Some("") => say::bytes(doctor::text(&found).as_bytes())?,
            Some("json") => say::line(&serde_json::to_string_pretty(&found).map_err(|error| Failure::failed(&error))?)?,
            Some(other) => {
                let message = format!("invalid --format {other:?}: json, or leave it out");
                return Err(Failure::new(NO_TEMPLATE, message));
            }
        }
        Ok(if doctor::is_blocked(&found) { FAILED } else { SUCCESS })
    }
}
