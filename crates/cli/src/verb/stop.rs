//! `stop`: asks containers to end, and kills those that do not.

use std::time::Duration;

use clap::Args;
use stockade_engine::parse_signal;
use stockade_engine::stop::{Stop as How, Timeout};

use super::each::{each, then_say};
use crate::exit::{Failure, REFUSED};
use crate::global::Global;

/// Stop one or more running containers
#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// Seconds until a container is killed; -1 waits as long as it takes. Without it, the container's --stop-timeout, or 10
    #[arg(long, short, visible_alias = "time", value_name = "SECONDS")]
    timeout: Option<i64>,
    /// The signal that asks for the end, instead of the container's
    #[arg(long, short, value_name = "SIGNAL")]
    signal: Option<String>,
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

impl Stop {
    /// Stops each.
    pub(crate) fn run(self, global: &Global) -> Result<u8, Failure> {
        let signal = self.signal.as_deref().map(parse_signal).transpose();
        let signal = signal.map_err(|error| Failure::of(REFUSED, &error))?;
        let timeout = match (self.timeout, self.timeout.map(u64::try_from)) {
            (None, _) => Timeout::Usual,
            (Some(_), Some(Ok(seconds))) => Timeout::After(Duration::from_secs(seconds)),
            (Some(-1), _) => Timeout::Never,
            (Some(wrong), _) => {
                let text = format!("invalid --timeout \"{wrong}\": seconds, or -1 to wait as long as it takes");
                return Err(Failure::new(REFUSED, text));
            }
        };
        let how = How { signal, timeout };
        let engine = global.engine()?;
        Ok(each(&engine, &self.containers, |id, name| then_say(stockade_engine::stop(&engine, id, how), name)))
    }
}
