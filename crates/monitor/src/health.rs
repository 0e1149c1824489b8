//! Health checks: what a monitor runs in its container again and again, and what it has found; Docker's rules, without I/O.
//!
//! The monitor keeps what it has found in [`FILE`], in the shape of Docker's `State.Health`. It is replaced as a whole, and not
//! synchronised: after a crash of the machine the container does not run.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Name of the file in the container's folder with the [`Health`]. It is there once a container with a check has run.
pub const FILE: &str = "health.json";
/// How many results are kept.
pub const KEPT: usize = 5;
/// How many bytes of a check's output are kept.
pub const LONGEST_OUTPUT: usize = 4096;
/// The exit code of a check that took too long.
pub const TOO_LONG: i32 = -1;

/// What is run, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The process in OCI's form: JSON, which the runtime reads.
    pub process: String,
    /// From the end of one to the beginning of the next.
    pub interval: Duration,
    /// After so long one is killed, and has failed.
    pub timeout: Duration,
    /// For so long after the start failures do not count until one has succeeded.
    pub start_period: Duration,
    /// The interval in that time.
    pub start_interval: Duration,
    /// So many failures in a row make the container unhealthy.
    pub retries: u32,
}

/// What is known of a container's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing yet.
    #[default]
    Starting,
    /// The last check succeeded, or too few failed since.
    Healthy,
    /// Too many failed.
    Unhealthy,
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        })
    }
}

/// A check that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Probe {
    /// When it began: RFC 3339 with nanoseconds, UTC.
    pub start: String,
    /// When it ended.
    pub end: String,
    /// Its exit code, or [`TOO_LONG`].
    pub exit_code: i32,
    /// What it wrote, at most [`LONGEST_OUTPUT`] bytes, or why there was nothing to run.
    pub output: String,
}

/// All that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Health {
    /// What follows from the checks.
    pub status: Status,
    /// How many have failed since one succeeded.
    pub failing_streak: u32,
    /// The last [`KEPT`], the oldest first.
    pub log: Vec<Probe>,
}

impl Health {
    /// Adds a check that began so long after the container's start; the status, if it is another one now.
    pub fn add(&mut self, check: &Check, since_start: Duration, probe: Probe) -> Option<Status> {
        let before = self.status;
        if probe.exit_code == 0 {
            self.failing_streak = 0;
            self.status = Status::Healthy;
        } else if before != Status::Starting || since_start >= check.start_period {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= check.retries {
                self.status = Status::Unhealthy;
            }
        }
        self.log.drain(..(self.log.len() + 1).saturating_sub(KEPT));
        self.log.push(probe);
        (self.status != before).then_some(self.status)
    }

    /// How long to wait for the next check, so long after the container's start.
    #[must_use]
    pub fn wait(&self, check: &Check, since_start: Duration) -> Duration {
        let early = since_start < check.start_period && self.status == Status::Starting;
        if early { check.start_interval } else { check.interval }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> Check {
        Check {
            process: String::new(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            start_period: Duration::from_secs(10),
            start_interval: Duration::from_secs(5),
            retries: 2,
        }
    }

    fn probe(exit_code: i32) -> Probe {
        Probe { start: String::new(), end: String::new(), exit_code, output: exit_code.to_string() }
    }

    #[test]
    fn failures_count_once_the_container_has_had_its_time_or_has_been_well() {
        let (check, second) = (check(), Duration::from_secs(1));
        let mut health = Health::default();
        assert_eq!(health.add(&check, second, probe(1)), None);
        assert_eq!((health.failing_streak, health.wait(&check, second)), (0, check.start_interval));
        assert_eq!(health.add(&check, second * 11, probe(1)), None);
        assert_eq!(health.add(&check, second * 12, probe(TOO_LONG)), Some(Status::Unhealthy));
        assert_eq!(health.wait(&check, second * 12), check.interval);
        assert_eq!(health.add(&check, second * 13, probe(0)), Some(Status::Healthy));
        assert_eq!(health.failing_streak, 0);
        let mut early = Health::default();
        assert_eq!(early.add(&check, second, probe(0)), Some(Status::Healthy));
        // Once it was well, failures count at any time.
        assert_eq!(early.add(&check, second * 2, probe(1)), None);
        assert_eq!(early.add(&check, second * 3, probe(1)), Some(Status::Unhealthy));
    }

    #[test]
    fn the_last_five_are_kept() {
        let mut health = Health::default();
        for code in 0..8 {
            health.add(&check(), Duration::ZERO, probe(code));
        }
        let kept: Vec<i32> = health.log.iter().map(|probe| probe.exit_code).collect();
        assert_eq!(kept, [3, 4, 5, 6, 7]);
    }
}
