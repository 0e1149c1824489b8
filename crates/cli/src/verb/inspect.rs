//! `inspect`: all that is known of containers, as JSON.

use clap::Args;
use serde::Serialize;
use stockade_engine::Inspection;

use super::each::each;
use crate::exit::{Failure, REFUSED};
use crate::global::Global;
use crate::say;
use crate::show::template::{Filling, Template};

/// Print all that is known of one or more containers
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A Go template, such as '{{.State.Status}}' or '{{json .Stockade}}', or json
    #[arg(long, short, value_name = "TEMPLATE")]
    format: Option<String>,
    /// What is inspected: container
    #[arg(long, value_name = "TYPE")]
    r#type: Option<String>,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Inspect {
    /// Prints an array, or each by the template.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        if let Some(other) = self.r#type.as_deref().filter(|kind| !matches!(*kind, "container" | "")) {
            let text =
                format!("invalid --type {other:?}: only containers are known by name, images are where you keep them");
            return Err(Failure::new(REFUSED, text));
        }
        let format = self.format.as_deref().filter(|format| !matches!(*format, "" | "json"));
        let template = format.map(Template::parse).transpose().map_err(|error| Failure::of(REFUSED, &error))?;
        let engine = global.engine()?;
        let mut found: Vec<Inspection> = Vec::new();
        let code = each(&engine, &self.containers, |id, _name| {
            found.push(stockade_engine::inspect(&engine, id)?);
            Ok::<_, stockade_engine::InspectError>(())
        });
        match template {
            None if self.format.as_deref() == Some("json") => say::line(&json(&found, b"")?)?,
            None => say::line(&json(&found, b"    ")?)?,
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

/// JSON in the order of the fields, indented as Docker does, or on one line.
fn json(found: &[Inspection], indent: &[u8]) -> Result<String, Failure> {
    let failed = |error: serde_json::Error| Failure::failed(&error);
    if indent.is_empty() {
        return serde_json::to_string(found).map_err(failed);
    }
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent);
    found.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter)).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| Failure::failed(&error))
}
