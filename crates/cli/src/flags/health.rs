//! What is run in the container again and again to see whether it is well.

use clap::Args;
use stockade_engine::HealthCheck;

use crate::grammar::{Invalid, invalid, until};

/// Health checks.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Health")]
pub(crate) struct HealthFlags {
    /// Line for the container's shell that succeeds if the container is well
    #[arg(long, value_name = "LINE")]
    health_cmd: Option<String>,
    /// Time between two checks, such as 1m30s (default 30s)
    #[arg(long, value_name = "TIME", value_parser = |text: &str| time("--health-interval", text))]
    health_interval: Option<i64>,
    /// How many failures in a row make the container unhealthy (default 3)
    #[arg(long, value_name = "N", value_parser = retries)]
    health_retries: Option<i64>,
    /// How long after the start failures do not count (default 0s)
    #[arg(long, value_name = "TIME", value_parser = |text: &str| time("--health-start-period", text))]
    health_start_period: Option<i64>,
    /// Time between two checks in the start period (default 5s)
    #[arg(long, value_name = "TIME", value_parser = |text: &str| time("--health-start-interval", text))]
    health_start_interval: Option<i64>,
    /// How long a check may take (default 30s)
    #[arg(long, value_name = "TIME", value_parser = |text: &str| time("--health-timeout", text))]
    health_timeout: Option<i64>,
    /// Run no check, whatever the image says
    #[arg(long)]
    no_healthcheck: bool,
}

impl HealthFlags {
    /// What they ask for; `None` is what the image says.
    ///
    /// # Errors
    /// A check, and none.
    pub(crate) fn check(self) -> Result<Option<HealthCheck>, Invalid> {
        let test = self.health_cmd.filter(|line| !line.is_empty());
        let check = HealthCheck {
            test: test.map(|line| vec!["CMD-SHELL".to_owned(), line]).unwrap_or_default(),
            interval: self.health_interval.unwrap_or_default(),
            timeout: self.health_timeout.unwrap_or_default(),
            start_period: self.health_start_period.unwrap_or_default(),
            start_interval: self.health_start_interval.unwrap_or_default(),
            retries: self.health_retries.unwrap_or_default(),
        };
        match (self.no_healthcheck, check == HealthCheck::default()) {
            (true, false) => {
                Err(invalid("--no-healthcheck", "true", "it conflicts with --health-* options: leave one of them out"))
            }
            (true, true) => Ok(Some(HealthCheck { test: vec!["NONE".to_owned()], ..HealthCheck::default() })),
            (false, true) => Ok(None),
            (false, false) => Ok(Some(check)),
        }
    }
}

/// A time in nanoseconds; 0 is Docker's word for the default.
fn time(flag: &'static str, text: &str) -> Result<i64, Invalid> {
    let wrong = || invalid(flag, text, "a duration of 1ms or more, such as 10s or 1m30s, or 0 for the default");
    if text == "0" {
        return Ok(0);
    }
    let nanoseconds = until::duration(text).and_then(|time| i64::try_from(time.as_nanos()).ok());
    nanoseconds.filter(|time| *time == 0 || *time >= 1_000_000).ok_or_else(wrong)
}

fn retries(text: &str) -> Result<i64, Invalid> {
    let number = text.parse::<u32>().ok().map(i64::from);
    number.ok_or_else(|| invalid("--health-retries", text, "a number, or 0 for the default"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_gos_and_none_is_negative() {
        for (text, expected) in [("0", 0), ("0s", 0), ("1ms", 1_000_000), ("1m30s", 90_000_000_000)] {
            assert_eq!(time("--health-interval", text).ok(), Some(expected), "{text}");
        }
        for text in ["", "-1s", "5", "999us", "1e9h", "soon", "99999999999h"] {
            assert!(time("--health-interval", text).is_err(), "{text}");
        }
        assert!(retries("-1").is_err() && retries("x").is_err());
    }

    #[test]
    fn a_check_and_none_are_refused_together() {
        let both = HealthFlags { health_retries: Some(1), no_healthcheck: true, ..HealthFlags::default() };
        assert!(both.check().is_err());
        let none = HealthFlags { no_healthcheck: true, ..HealthFlags::default() }.check().unwrap().unwrap();
        assert_eq!(none.test, ["NONE"]);
        assert_eq!(HealthFlags::default().check().unwrap(), None);
    }
}
