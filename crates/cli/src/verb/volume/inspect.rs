//! `volume inspect`: all that is known of volumes, as JSON.

use clap::Args;
use serde::Serialize;
use stockade_engine::volume::{self, VolumeInspection};
use stockade_kernel::chain::chain;

use crate::exit::{FAILED, Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::show::template::{Filling, Template};

/// Print all that is known of one or more volumes
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A Go template, such as '{{.Mountpoint}}', or json
    #[arg(long, short, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Names
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

impl Inspect {
    /// Prints an array, or each by the template.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let format = self.format.as_deref().filter(|format| !matches!(*format, "" | "json"));
        let template = format.map(Template::parse).transpose().map_err(|error| Failure::of(REFUSED, &error))?;
        let engine = global.engine()?;
        let mut found: Vec<VolumeInspection> = Vec::new();
        let mut code = SUCCESS;
        for text in &self.volumes {
            // What cannot be a name is no volume's.
            let one = match text.parse() {
                Ok(name) => volume::inspect(&engine, &name).map_err(|error| chain(&error)),
                Err(_not_a_name) => Err(format!("no such volume: {}", text.escape_debug())),
            };
            match one {
                Ok(one) => found.push(one),
                Err(message) => {
                    say::error(&message);
                    code = FAILED;
                }
            }
        }
        match template {
            None if self.format.as_deref() == Some("json") => {
                say::line(&serde_json::to_string(&found).map_err(|error| Failure::failed(&error))?)?;
            }
            None => say::line(&indented(&found).map_err(|error| Failure::failed(&error))?)?,
            Some(template) => {
                for one in &found {
                    let fields = serde_json::to_value(one).map_err(|error| Failure::failed(&error))?;
                    let text = template.fill(&Filling::of(fields));
                    say::line(&text.map_err(|error| Failure::failed(&error))?)?;
                }
            }
        }
        Ok(code)
    }
}

/// JSON in the order of the fields, indented as Docker does.
fn indented(found: &[VolumeInspection]) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    found.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
