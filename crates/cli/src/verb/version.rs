//! `version`.

use clap::Args;
use serde_json::json;

use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::show::template::{Filling, Template};

/// What this is, as `--version` says it.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Print the versions of Stockade and of the OCI runtime
#[derive(Debug, Args)]
pub(crate) struct Version {
    /// A Go template, such as '{{.Version}}', or json
    #[arg(long, short, value_name = "TEMPLATE")]
    format: Option<String>,
}

impl Version {
    /// Prints it.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let info = stockade_engine::info(&global.engine()?).map_err(|error| Failure::failed(&error))?;
        let runtime = info.runtime_version.unwrap_or_else(|reason| format!("unknown: {reason}"));
        let fields = json!({
            "Version": VERSION,
            "Os": std::env::consts::OS,
            "Arch": info.architecture,
            "KernelVersion": info.kernel,
            "Runtime": info.runtime.display().to_string(),
            "RuntimeVersion": runtime,
        });
        match self.format.as_deref().filter(|format| !format.is_empty()) {
            None => {
                let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
                say::line(&format!(
                    "Stockade version {}, {}/{}, Linux {}",
                    text("Version"),
                    text("Os"),
                    text("Arch"),
                    text("KernelVersion")
                ))?;
                say::line(&format!("OCI runtime {}: {}", text("Runtime"), text("RuntimeVersion")))?;
            }
            Some("json") => say::line(&fields.to_string())?,
            Some(template) => {
                let template = Template::parse(template).map_err(|error| Failure::of(REFUSED, &error))?;
                let filling = Filling::of(fields);
                say::line(&template.fill(&filling).map_err(|error| Failure::of(REFUSED, &error))?)?;
            }
        }
        Ok(SUCCESS)
    }
}
