//! `stats`: what containers use, once or as a table that is drawn again every second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use stockade_engine::container::ContainerError;
use stockade_engine::stats::{Usage, usage};
use stockade_engine::{ContainerId, Engine, Which};
use stockade_kernel::terminal;

use crate::exit::{Failure, REFUSED, SUCCESS};
use crate::global::Global;
use crate::say;
use crate::show::list::{Columns, Look};
use crate::show::size::{binary, human};
use crate::show::template::Filling;

/// The columns that are shown when nobody asks for others.
const USUAL: &str =
    "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";

/// How long lies between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Show what containers use, again every second
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Also show containers that do not run
    #[arg(long, short)]
    all: bool,
    /// Show it once
    #[arg(long)]
    no_stream: bool,
    /// Show whole ids
    #[arg(long)]
    no_trunc: bool,
    /// table, json, or a Go template, such as 'table {{.Name}}\t{{.CPUPerc}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Names, ids, or beginnings of ids; all that run without them
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Stats {
    /// Shows it.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let look = Look::of(self.format.as_deref(), Columns::Usual(USUAL));
        let look = look.map_err(|error| Failure::of(REFUSED, &error))?;
        let engine = global.engine()?;
        let named = self.containers.iter().map(|text| engine.find(text)).collect::<Result<Vec<_>, _>>();
        let named = named.map_err(|error| Failure::failed(&error))?;
        let screen = terminal::size(rustix::stdio::stdout())?.is_some() && !self.no_stream;
        let mut last = self.look(&engine, &named)?;
        loop {
            std::thread::sleep(PERIOD);
            let now = self.look(&engine, &named)?;
            let rows: Vec<Filling> = now.iter().map(|(id, one)| row(one, last.get(id), self.no_trunc)).collect();
            let text = look.text(&rows, &heads()).map_err(|error| Failure::failed(&error))?;
            let text = text.trim_end_matches('\n');
            match screen {
                // Home, each line to its end, and what was below: nothing flickers.
                true => say::line(&format!("\x1b[H{}\x1b[K\n\x1b[J", text.replace('\n', "\x1b[K\n")))?,
                false if text.is_empty() => {}
                false => say::line(text)?,
            }
            if self.no_stream {
                return Ok(SUCCESS);
            }
            last = now;
        }
    }

    /// What those that are to be shown use now; one that is gone is left out.
    fn look(&self, engine: &Engine, named: &[ContainerId]) -> Result<BTreeMap<ContainerId, Usage>, Failure> {
        let ids = if self.containers.is_empty() {
            let which = if self.all { Which::All } else { Which::Running };
            let all = stockade_engine::list(engine, which).map_err(|error| Failure::failed(&error))?;
            all.into_iter().filter(|one| one.damaged.is_none()).map(|one| one.id).collect()
        } else {
            named.to_vec()
        };
        let mut all = BTreeMap::new();
        for id in ids {
            match usage(engine, &id) {
                Ok(one) => drop(all.insert(id, one)),
                Err(ContainerError::Missing(_)) => {}
                Err(error) => return Err(Failure::failed(&error)),
            }
        }
        Ok(all)
    }
}

/// What Docker writes over the columns.
fn heads() -> Value {
    json!({
        "Container": "CONTAINER",
        "ID": "CONTAINER ID",
        "Name": "NAME",
        "CPUPerc": "CPU %",
        "MemUsage": "MEM USAGE / LIMIT",
        "MemPerc": "MEM %",
        "NetIO": "NET I/O",
        "BlockIO": "BLOCK I/O",
        "PIDs": "PIDS",
    })
}

/// The fields of one container, with what it used at the last look.
fn row(now: &Usage, last: Option<&Usage>, whole: bool) -> Filling {
    let id = if whole { now.id.as_str() } else { now.id.short() };
    let (memory, limit) = (now.memory.unwrap_or_default(), now.memory_limit.unwrap_or_default());
    let share = if limit == 0 { 0.0 } else { memory as f64 / limit as f64 * 100.0 };
    let pair = |pair: Option<(u64, u64)>| {
        let (one, other) = pair.unwrap_or_default();
        format!("{} / {}", human(one), human(other))
    };
    Filling::of(json!({
        "Container": id,
        "ID": id,
        "Name": now.name,
        "CPUPerc": format!("{:.2}%", processors(now, last)),
        "MemUsage": format!("{} / {}", binary(memory), binary(limit)),
        "MemPerc": format!("{share:.2}%"),
        "NetIO": pair(now.network),
        "BlockIO": pair(now.block),
        "PIDs": now.pids.unwrap_or_default().to_string(),
    }))
}

/// Of one processor's time, in percent: Docker's formula, in which the number of processors is on both sides.
pub(crate) fn processors(now: &Usage, last: Option<&Usage>) -> f64 {
    let used = |last: &Usage| Some((now.cpu?.checked_sub(last.cpu?)?, passed(last.at, now.at)?));
    last.and_then(used).map_or(0.0, |(used, passed)| used as f64 / passed as f64 * 100.0)
}

fn passed(from: Instant, to: Instant) -> Option<u128> {
    to.checked_duration_since(from).map(|passed| passed.as_nanos()).filter(|passed| *passed > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(cpu: u64, at: Instant) -> Usage {
        Usage {
            id: "0123456789abcdef".repeat(4).try_into().unwrap(),
            name: "web".into(),
            at,
            cpu: Some(cpu),
            memory: Some(3 << 20),
            memory_limit: Some(16 << 20),
            network: Some((1_234_567, 89)),
            block: None,
            pids: Some(4),
        }
    }

    #[test]
    fn dockers_columns() {
        let begin = Instant::now();
        let (last, now) = (usage(1_000_000, begin), usage(501_000_000, begin + Duration::from_secs(2)));
        let look = Look::of(None, Columns::Usual(USUAL)).unwrap();
        let text = look.text(&[row(&now, Some(&last), false)], &heads()).unwrap();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect())
            .collect();
        assert_eq!(
            lines[0],
            ["CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"]
        );
        assert_eq!(
            lines[1],
            ["0123456789ab", "web", "25.00%", "3MiB / 16MiB", "18.75%", "1.23MB / 89B", "0B / 0B", "4"]
        );
        // A container that was started again has used less than before.
        assert!(processors(&usage(0, begin + Duration::from_secs(1)), Some(&last)).abs() < f64::EPSILON);
    }
}
