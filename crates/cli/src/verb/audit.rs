//! `audit`: what a container's walls really are, read back from the kernel.

use std::cell::OnceCell;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use stockade_engine::{Engine, FindError, Which};
use stockade_kernel::chain::chain;
use stockade_lens::{Asked, Auditor, Conformance, Detail, Profile, Report, Target, Verdict, html, sarif};

use crate::exit::{FAILED, Failure, REFUSED, SUCCESS, WEAKER};
use crate::global::Global;
use crate::say;
use crate::verb::version::VERSION;

/// Read back what walls a container or process has, and hold it against what was asked for
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all that was asked for holds (and the profile is met), 1 something could not be \
    audited, 3 a wall is weaker than asked (or the profile is not met)."
)]
pub(crate) struct Audit {
    /// Show what holds too
    #[arg(long, short)]
    all: bool,
    /// text, json, or sarif (2.1.0)
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write one HTML file that needs nothing else; without names, of every container that runs
    #[arg(long, conflicts_with_all = ["format", "profile", "all"])]
    html: bool,
    /// Hold it against a profile: cis, pss-baseline, pss-restricted, or nist-800-190
    #[arg(long, value_name = "PROFILE")]
    profile: Option<Profile>,
    /// An earlier audit as JSON: what became weaker since is told
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    /// The OCI configuration that the process was made from, where it is not found by itself
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Names, ids, or beginnings of ids, or process ids of whatever engine's containers (pid:N, or N alone)
    #[arg(required_unless_present = "html", value_name = "CONTAINER|PID")]
    targets: Vec<String>,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// All of it.
    Json,
    /// For code hosts.
    Sarif,
}

impl Audit {
    /// Audits each, goes on past errors, and prints.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        if self.targets.len() > 1 && (self.since.is_some() || self.config.is_some()) {
            return Err(Failure::new(REFUSED, "--since and --config are about one container: name one"));
        }
        if self.profile.is_some() && self.format == Format::Sarif {
            return Err(Failure::new(
                REFUSED,
                "a profile is shown as text or json: choose one, or leave --profile out",
            ));
        }
        let refused = |error: stockade_lens::AuditError| Failure::of(REFUSED, &error);
        let earlier = self.since.as_deref().map(Report::load).transpose().map_err(refused)?;
        let config = self.config.as_deref().map(Asked::read).transpose().map_err(refused)?;
        let auditor = Auditor::new().map_err(|error| Failure::failed(&error))?;
        let (mut reports, mut code) = (Vec::new(), SUCCESS);
        let targets = if self.targets.is_empty() { running(global)? } else { self.targets.clone() };
        let seeker = Seeker::new(global);
        for text in &targets {
            let target = seeker.target(text).map(|found| Target {
                earlier: earlier.clone(),
                asked: config.clone().or(found.asked.clone()),
                ..found
            });
            let audited = target.and_then(|target| auditor.audit(&target).map_err(|error| chain(&error)));
            match audited {
                Ok(report) => reports.push(report),
                Err(reason) => {
                    say::error(&reason);
                    code = FAILED;
                }
            }
        }
        let judged: Option<Vec<Conformance>> =
            self.profile.map(|profile| reports.iter().map(|report| Conformance::of(report, profile)).collect());
        self.print(&reports, judged.as_deref())?;
        let met = match &judged {
            Some(judged) => judged.iter().all(|one| one.conforms),
            None => reports.iter().all(|report| report.verdict != Verdict::WeakerThanAsked),
        };
        Ok(if code == SUCCESS && !met { WEAKER } else { code })
    }

    fn print(&self, reports: &[Report], judged: Option<&[Conformance]>) -> Result<(), Failure> {
        let failed = |error: serde_json::Error| Failure::failed(&error);
        if self.html {
            say::bytes(html::page(reports, VERSION).as_bytes())?;
            return Ok(());
        }
        match (self.format, judged) {
            (Format::Json, Some(judged)) => say::line(&serde_json::to_string_pretty(judged).map_err(failed)?)?,
            (Format::Json, None) => say::line(&serde_json::to_string_pretty(reports).map_err(failed)?)?,
            (Format::Sarif, _) => {
                say::line(&serde_json::to_string_pretty(&sarif::log(reports, VERSION)).map_err(failed)?)?;
            }
            (Format::Text, Some(judged)) => {
                let texts: Vec<String> = judged.iter().map(stockade_lens::conformance).collect();
                say::bytes(texts.join("\n").as_bytes())?;
            }
            (Format::Text, None) => {
                let detail = if self.all { Detail::Everything } else { Detail::Weak };
                let texts: Vec<String> = reports.iter().map(|report| stockade_lens::text(report, detail)).collect();
                say::bytes(texts.join("\n").as_bytes())?;
            }
        }
        Ok(())
    }
}

/// The ids of the containers that run.
fn running(global: &Global) -> Result<Vec<String>, Failure> {
    let found = stockade_engine::list(&global.engine()?, Which::All).map_err(|error| Failure::failed(&error))?;
    Ok(found.into_iter().filter(|one| one.pid.is_some()).map(|one| one.id.to_string()).collect())
}

/// Finds who is meant; the containers of this machine are opened the first time that one may be.
pub(crate) struct Seeker<'a> {
    global: &'a Global,
    engine: OnceCell<Result<Engine, String>>,
}

impl<'a> Seeker<'a> {
    /// Among the containers that these options say.
    pub(crate) fn new(global: &'a Global) -> Self {
        Self { global, engine: OnceCell::new() }
    }

    /// Who `text` means: a container of ours, or else a process.
    pub(crate) fn target(&self, text: &str) -> Result<Target, String> {
        let number = text.strip_prefix("pid:").unwrap_or(text).parse::<i32>().ok().filter(|pid| *pid > 0);
        if text.starts_with("pid:") {
            return number.map(process).ok_or_else(|| format!("{text:?} is no process id"));
        }
        let engine =
            self.engine.get_or_init(|| self.global.engine().map_err(|failure| failure.message.unwrap_or_default()));
        // Whoever may not use the engine may still look at processes of his own.
        let engine = match (engine, number) {
            (Ok(engine), _) => engine,
            (Err(_), Some(pid)) => return Ok(process(pid)),
            (Err(reason), None) => return Err(reason.clone()),
        };
        match (engine.find(text), number) {
            (Ok(id), _) => container(engine, &id),
            (Err(FindError::Missing(_)), Some(pid)) => Ok(process(pid)),
            (Err(error), _) => Err(chain(&error)),
        }
    }
}

/// A process of whoever made it.
fn process(pid: i32) -> Target {
    let asked = stockade_kernel::procfs::Procfs::host().ok().and_then(|procfs| Asked::find(&procfs, pid));
    Target { pid, name: format!("pid {pid}"), asked, ..Target::default() }
}

/// A container of ours.
pub(crate) fn container(engine: &Engine, id: &stockade_engine::ContainerId) -> Result<Target, String> {
    let found = stockade_engine::inspect(engine, id).map_err(|error| chain(&error))?;
    if found.state.pid == 0 {
        return Err(format!("container {} does not run: start it first", found.name.trim_start_matches('/')));
    }
    let asked = Asked::read(&engine.configuration(id)).map_err(|error| chain(&error))?;
    let bindings = found.network_settings.ports.into_values().flatten().flatten();
    let address = |ip: &str| if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    Ok(Target {
        pid: found.state.pid,
        name: found.name.trim_start_matches('/').to_owned(),
        id: Some(found.id),
        asked: Some(asked),
        earlier: None,
        ports: Some(bindings.map(|one| format!("{}:{}", address(&one.host_ip), one.host_port)).collect()),
    })
}
