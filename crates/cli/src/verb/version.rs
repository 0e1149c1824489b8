//! `version`, in Docker's shape: a block for the command line, and one for the engine, which is the same program.

use clap::Args;
use serde_json::{Value, json};
use stockade_engine::Info;

use crate::exit::{Failure, NO_TEMPLATE, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::show::template::{Filling, Template};

/// What this is, as `--version` says it.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The name of either.
const PLATFORM: &str = "Stockade";

/// Print the versions of Stockade and of the OCI runtime
#[derive(Debug, Args)]
pub(crate) struct Version {
    /// A Go template, such as '{{.Server.Version}}', or json
    #[arg(long, short, value_name = "TEMPLATE")]
    format: Option<String>,
}

impl Version {
    /// Prints it. Who cannot use the engine is told the version of the command line, and why there is no more.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let format = self.format.as_deref().filter(|format| !format.is_empty() && *format != "json");
        let template = format.map(Template::parse).transpose().map_err(|error| Failure::of(NO_TEMPLATE, &error))?;
        let text = self.format.as_deref().is_none_or(str::is_empty);
        if text {
            client().iter().try_for_each(|line| say::line(line))?;
        }
        let info = stockade_engine::info(&global.engine()?).map_err(|error| Failure::failed(&error))?;
        match template {
            _ if text => server(&info).iter().try_for_each(|line| say::line(line))?,
            None => say::line(&fields(&info).to_string())?,
            Some(template) => {
                let filled = template.fill(&Filling::of(fields(&info)));
                say::line(&filled.map_err(|error| Failure::failed(&error))?)?;
            }
        }
        Ok(SUCCESS)
    }
}

/// Go's word for the architecture, which images and Docker use.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A name and what it is, as far apart as Docker has them.
fn entry(indent: &str, name: &str, value: &str) -> String {
    format!("{:20}{value}", format!("{indent}{name}:"))
}

fn platform() -> String {
    format!("{}/{}", std::env::consts::OS, architecture())
}

fn client() -> Vec<String> {
    vec![format!("Client: {PLATFORM}"), entry(" ", "Version", VERSION), entry(" ", "OS/Arch", &platform())]
}

fn server(info: &Info) -> Vec<String> {
    let (name, version) = runtime(info);
    vec![
        String::new(),
        format!("Server: {PLATFORM} (no daemon)"),
        " Engine:".to_owned(),
        entry("  ", "Version", VERSION),
        entry("  ", "OS/Arch", &platform()),
        entry("  ", "Kernel version", &info.kernel),
        format!(" {name}:"),
        entry("  ", "Version", &version),
    ]
}

/// The OCI runtime's name, and its version, which is the last word of what it says.
fn runtime(info: &Info) -> (String, String) {
    let name = info.runtime.file_name().unwrap_or(info.runtime.as_os_str()).to_string_lossy().into_owned();
    let version = match &info.runtime_version {
        Ok(line) => line.split_whitespace().next_back().unwrap_or_default().to_owned(),
        Err(reason) => format!("unknown: {reason}"),
    };
    (name, version)
}

/// For programs: Docker's names; what there is none of, such as a version of an API, is not there.
fn fields(info: &Info) -> Value {
    let (name, version) = runtime(info);
    json!({
        "Client": {
            "Platform": { "Name": PLATFORM },
            "Version": VERSION,
            "Os": std::env::consts::OS,
            "Arch": architecture(),
        },
        "Server": {
            "Platform": { "Name": PLATFORM },
            "Components": [
                {
                    "Name": "Engine",
                    "Version": VERSION,
                    "Details": { "Os": std::env::consts::OS, "Arch": architecture(), "KernelVersion": info.kernel },
                },
                { "Name": name, "Version": version, "Details": { "Path": info.runtime.display().to_string() } },
            ],
            "Version": VERSION,
            "Os": std::env::consts::OS,
            "Arch": architecture(),
            "KernelVersion": info.kernel,
        },
    })
}
