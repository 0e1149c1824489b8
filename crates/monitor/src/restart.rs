//! Whether and when a container that has ended is started again: Docker's rules, without I/O.
//!
//! As in moby's `restartmanager`: the wait begins at 100 ms, doubles with each restart up to a minute, and begins anew once the
//! container has run for ten seconds. `on-failure:N` counts restarts since somebody started the container, which Docker's daemon
//! does too.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The wait before the first restart.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A container that ran so long is not one that fails at once.
const STEADY: Duration = Duration::from_secs(10);

/// `--restart`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// It is not started again.
    #[default]
    No,
    /// It is, if its exit code is not 0.
    OnFailure {
        /// How many times at most; 0 is no limit.
        most: u32,
    },
    /// It is, until somebody stops it; and after a reboot, whoever stopped it before.
    Always,
    /// It is, until somebody stops it or signals it; and after a reboot only if nobody has.
    UnlessStopped,
}

/// What somebody has done to a container since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meddling {
    /// Nothing that matters here.
    #[default]
    None,
    /// It was sent a signal that is not its stop signal: `unless-stopped` does not start it again.
    Signalled,
    /// It was stopped or killed: nothing starts it again.
    Stopped,
}

/// How a run of a container was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its exit code.
    pub code: u8,
    /// How long it ran.
    pub lasted: Duration,
}

/// The restarts since somebody started the container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restarts {
    count: u32,
    wait: Duration,
}

impl Restarts {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// What follows from the end of `run`: how long to wait before the next start, which is counted; `None` if there is none.
    pub fn after(&mut self, policy: RestartPolicy, meddling: Meddling, run: Run) -> Option<Duration> {
        if meddling == Meddling::Stopped {
            return None;
        }
        let restart = match policy {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure { most } => run.code != 0 && (most == 0 || self.count < most),
            RestartPolicy::Always => true,
            RestartPolicy::UnlessStopped => meddling == Meddling::None,
        };
        if run.lasted >= STEADY {
            self.wait = Duration::ZERO;
        }
        self.wait = if self.wait.is_zero() { FIRST_WAIT } else { (self.wait * 2).min(LONGEST_WAIT) };
        if !restart {
            return None;
        }
        self.count = self.count.saturating_add(1);
        Some(self.wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Meddling::{None as Nobody, Signalled, Stopped};

    const FAILED: Run = Run { code: 3, lasted: Duration::from_secs(1) };
    const DONE: Run = Run { code: 0, lasted: Duration::from_secs(1) };

    #[test]
    fn every_policy_end_and_meddling() {
        use RestartPolicy as P;
        let limited = P::OnFailure { most: 2 };
        for (policy, meddling, run, restarts) in [
            (P::No, Nobody, FAILED, false),
            (P::No, Signalled, FAILED, false),
            (P::No, Stopped, FAILED, false),
            (limited, Nobody, FAILED, true),
            (limited, Nobody, DONE, false),
            (limited, Signalled, FAILED, true),
            (limited, Signalled, DONE, false),
            (limited, Stopped, FAILED, false),
            (P::Always, Nobody, FAILED, true),
            (P::Always, Nobody, DONE, true),
            (P::Always, Signalled, DONE, true),
            (P::Always, Stopped, FAILED, false),
            (P::UnlessStopped, Nobody, FAILED, true),
            (P::UnlessStopped, Nobody, DONE, true),
            (P::UnlessStopped, Signalled, FAILED, false),
            (P::UnlessStopped, Stopped, FAILED, false),
        ] {
            let mut all = Restarts::default();
            assert_eq!(all.after(policy, meddling, run).is_some(), restarts, "{policy:?} {meddling:?} {run:?}");
            assert_eq!(all.count(), u32::from(restarts));
        }
    }

    #[test]
    fn the_wait_doubles_to_a_minute_and_begins_anew_after_ten_seconds() {
        let mut all = Restarts::default();
        let waits: Vec<u128> =
            (0..12).map(|_| all.after(RestartPolicy::Always, Nobody, FAILED).unwrap().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
        let steady = Run { lasted: STEADY, ..FAILED };
        assert_eq!(all.after(RestartPolicy::Always, Nobody, steady), Some(FIRST_WAIT));
        assert_eq!(all.after(RestartPolicy::Always, Nobody, FAILED), Some(FIRST_WAIT * 2));
        assert_eq!(all.count(), 14);
    }

    #[test]
    fn on_failure_ends_after_its_number_and_never_without_one() {
        let mut all = Restarts::default();
        let restarts =
            |all: &mut Restarts, most| all.after(RestartPolicy::OnFailure { most }, Nobody, FAILED).is_some();
        assert!(restarts(&mut all, 2) && restarts(&mut all, 2) && !restarts(&mut all, 2));
        assert_eq!(all.count(), 2);
        assert!((0..100).all(|_| restarts(&mut all, 0)));
    }
}
