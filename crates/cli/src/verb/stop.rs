//! `stop`: asks containers to end, and kills those that do not.

use std::time::Duration;

use clap::Args;
use stockade_engine::parse_signal;
use stockade_engine::stop::{Stop as How, Timeout};

use super::each::{each, then_say};
use crate::exit::{Failure, REFUSED};
use crate::global::Global;

/// How containers are stopped.
#[derive(Debug, Args)]
pub(crate) struct StopFlags {
    /// Seconds until a container is killed; -1 waits as long as it takes (default its --stop-timeout, or 10)
    #[arg(long, short, visible_alias = "time", value_name = "SECONDS")]
    timeout: Option<i64>,
    /// The signal that asks for the end, instead of the container's
    #[arg(long, short, value_name = "SIGNAL")]
    signal: Option<String>,
}

impl StopFlags {
    /// What they say.
    pub(crate) fn how(&self) -> Result<How, Failure> {
        let signal = self.signal.as_deref().map(parse_signal).transpose();
        let signal = signal.map_err(|error| Failure::of(REFUSED, &error))?;
        let timeout = match self.timeout.map(|seconds| (seconds, u64::try_from(seconds))) {
            None => Timeout::Usual,
            Some((_, Ok(seconds))) => Timeout::After(Duration::from_secs(seconds)),
            Some((-1, _)) => Timeout::Never,
            Some((other, _)) => {
                let text =
                    format!("invalid --timeout {:?}: seconds, or -1 to wait as long as it takes", other.to_string());
                return Err(Failure::new(REFUSED, text));
            }
        };
        Ok(How { signal, timeout })
    }
}

/// Stop one or more running containers
#[derive(Debug, Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    flags: StopFlags,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Stop {
    /// Stops each.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let how = self.flags.how()?;
        let engine = global.engine()?;
        Ok(each(&engine, &self.containers, |id, name| then_say(stockade_engine::stop(&engine, id, how), name)))
    }
}
