//! The processes that watch a container while it is recorded, and while what was recorded is tried.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use stockade_lens::Asked;
use stockade_lens::record::{Baseline, RecordError, Recorder, Seen, Walls};
use stockade_lens::watch::{WatchError, Watcher};

use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::say;
use crate::verb::explain::beside::{Beside, hurry, until_over};

/// The hidden commands.
pub(crate) const RECORDED: &str = "container-recorded";
pub(crate) const REPLAYED: &str = "container-replayed";
/// How long nothing is looked at at most.
const A_WHILE: Duration = Duration::from_millis(100);

/// For `run --record` only: record a container that is about to start, until standard input ends
#[derive(Debug, Args)]
pub(crate) struct ContainerRecorded {
    /// A device that it was given, by its path in the container
    #[arg(long)]
    device: Vec<String>,
    /// The container's first process
    #[arg(value_name = "PID")]
    pid: i32,
    /// The OCI configuration
    #[arg(value_name = "FILE")]
    config: PathBuf,
}

/// What that process tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Told {
    /// The walls that the container had.
    pub(crate) walls: Walls,
    /// What was seen.
    pub(crate) seen: Seen,
}

impl ContainerRecorded {
    /// Records, says that it does, and prints [`Told`] when nobody holds standard input open any more.
    pub(crate) fn run(self) -> Result<u8, Failure> {
        let fail = |error: RecordError| Failure::of(REFUSED, &error);
        hurry();
        let asked = Asked::read(&self.config).map_err(|error| Failure::of(REFUSED, &error))?;
        let walls = Walls::of(&asked.spec).map_err(|error| Failure::of(REFUSED, &error))?;
        let mut recorder = Recorder::new(self.pid, &walls, &self.device).map_err(fail)?;
        until_over(|| recorder.wait(A_WHILE, rustix::stdio::stdin()).map_err(fail))?;
        let told = Told { walls, seen: recorder.finish().map_err(fail)? };
        say::bytes(&serde_json::to_vec(&told).map_err(|error| Failure::of(REFUSED, &error))?)?;
        Ok(SUCCESS)
    }
}

/// For `record replay` only: watch a container that is about to start, until standard input ends
#[derive(Debug, Args)]
pub(crate) struct ContainerReplayed {
    /// The container's first process
    #[arg(value_name = "PID")]
    pid: i32,
    /// The OCI configuration
    #[arg(value_name = "FILE")]
    config: PathBuf,
    /// What was recorded
    #[arg(value_name = "RECORD")]
    record: PathBuf,
}

impl ContainerReplayed {
    /// Watches, says that it does, and prints what is denied that was not when it was recorded.
    pub(crate) fn run(self) -> Result<u8, Failure> {
        let fail = |error: WatchError| Failure::of(REFUSED, &error);
        hurry();
        let asked = Asked::read(&self.config).map_err(|error| Failure::of(REFUSED, &error))?;
        let record = super::folder::read(&self.record)?;
        let baseline = Baseline::of(&record).map_err(|error| Failure::of(REFUSED, &error))?;
        let mut watcher = Watcher::against(baseline, self.pid, &asked).map_err(fail)?;
        until_over(|| watcher.wait(A_WHILE, Some(rustix::stdio::stdin())).map(drop).map_err(fail))?;
        let report = watcher.finish().map_err(fail)?;
        // Who tries for ever what is denied is told of all the same.
        if report.lost > 0 && report.denials.is_empty() {
            let text = format!(
                "{} denials were lost, because they came faster than they were read: nothing is known",
                report.lost
            );
            return Err(Failure::new(REFUSED, text));
        }
        for (denial, count) in &report.denials {
            let times = if *count > 1 { format!(", {count} times") } else { String::new() };
            say::line(&format!("{} {}: {} [{}]{times}", denial.tried, denial.ended, denial.wall, denial.wall.id()))?;
        }
        if report.lost > 0 {
            say::line(&format!("{} more came faster than they could be read, and are not told", report.lost))?;
        }
        Ok(SUCCESS)
    }
}

/// Starts recording.
///
/// # Errors
/// See [`Beside::start`].
pub(crate) fn record(pid: i32, config: &Path, devices: &[String]) -> io::Result<Beside> {
    let mut arguments: Vec<OsString> = vec![RECORDED.into()];
    arguments.extend(devices.iter().flat_map(|device| ["--device".into(), device.into()]));
    arguments.extend([pid.to_string().into(), config.into()]);
    Beside::start(arguments)
}

/// Starts watching for what is missing.
///
/// # Errors
/// See [`Beside::start`].
pub(crate) fn replay(pid: i32, config: &Path, record: &Path) -> io::Result<Beside> {
    Beside::start(vec![REPLAYED.into(), pid.to_string().into(), config.into(), record.into()])
}
