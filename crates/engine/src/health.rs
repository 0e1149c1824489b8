//! Health checks: what is asked for, merged with the image's as in Docker, and what the monitor is told to run.

use std::time::Duration;

use stockade_images::{HealthCheck, ImageConfig};
use stockade_monitor::health::{Check, FILE, Health};

use crate::container::{ContainerError, Folder, View};
use crate::exec::{ExecError, ExecRequest, plan};

/// What stands for a check where there is to be none.
const NONE: &str = "NONE";
/// A program with its arguments.
const PROGRAM: &str = "CMD";
/// A line for the shell.
const LINE: &str = "CMD-SHELL";

/// Docker's intervals and patience, where nothing else is said.
const INTERVAL: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;

/// The shortest time that a user may give, as in Docker.
const SHORTEST: i64 = 1_000_000;
/// The shortest interval that an image can ask for: a check is begun outside of the container's limits, and strangers are not to say how
/// often.
const SHORTEST_OF_IMAGES: i64 = 1_000_000_000;

/// A health check that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HealthError {
    /// A time or number that is negative.
    #[error("{0} of the health check cannot be negative")]
    Negative(&'static str),
    /// A time that is too short.
    #[error("{0} of the health check cannot be less than 1ms")]
    Short(&'static str),
    /// What is to be run is not said in one of the ways that there are.
    #[error(
        "the health check {0:?} is neither NONE, nor CMD or CMD-SHELL with what to run: give --health-cmd or --no-healthcheck"
    )]
    Test(Vec<String>),
    /// There are times, and nothing to run.
    #[error("the image has no health check, so that --health-cmd must say what is run")]
    Nothing,
}

/// The check that a container has: what the user gives counts, and what he leaves out is the image's.
///
/// # Errors
/// See [`HealthError`].
pub(crate) fn merge(given: Option<&HealthCheck>, image: &ImageConfig) -> Result<Option<HealthCheck>, HealthError> {
    let image = image.healthcheck.as_ref().map(tamed);
    let mut check = match (given, image) {
        (None, None) => return Ok(None),
        (Some(given), None) => given.clone(),
        (None, Some(image)) => image,
        (Some(given), Some(image)) => {
            let or = |given: i64, image: i64| if given == 0 { image } else { given };
            HealthCheck {
                test: if given.test.is_empty() { image.test } else { given.test.clone() },
                interval: or(given.interval, image.interval),
                timeout: or(given.timeout, image.timeout),
                start_period: or(given.start_period, image.start_period),
                start_interval: or(given.start_interval, image.start_interval),
                retries: or(given.retries, image.retries),
            }
        }
    };
    if check.test.first().is_some_and(|kind| kind == NONE) {
        check = HealthCheck { test: vec![NONE.to_owned()], ..HealthCheck::default() };
        return Ok(Some(check));
    }
    for (name, time) in [
        ("the interval", check.interval),
        ("the timeout", check.timeout),
        ("the start period", check.start_period),
        ("the start interval", check.start_interval),
    ] {
        match time {
            0 | SHORTEST.. => {}
            1.. => return Err(HealthError::Short(name)),
            _negative => return Err(HealthError::Negative(name)),
        }
    }
    if check.retries < 0 {
        return Err(HealthError::Negative("the number of retries"));
    }
    match check.test.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Err(HealthError::Nothing),
        [PROGRAM, program, ..] if !program.is_empty() => Ok(Some(check)),
        [LINE, _line] => Ok(Some(check)),
        _ => Err(HealthError::Test(check.test)),
    }
}

/// An image's check, not more often than is good.
fn tamed(check: &HealthCheck) -> HealthCheck {
    let slow = |time: i64| if (1..SHORTEST_OF_IMAGES).contains(&time) { SHORTEST_OF_IMAGES } else { time };
    HealthCheck { interval: slow(check.interval), start_interval: slow(check.start_interval), ..check.clone() }
}

/// What the monitor of the container is told.
///
/// # Errors
/// As for `exec`, of which a check is one.
pub(crate) fn order(folder: &Folder, view: &View) -> Result<Option<Check>, ExecError> {
    let config = &view.record.config;
    let Some(check) = &config.healthcheck else { return Ok(None) };
    let command = match check.test.split_first() {
        Some((kind, words)) if kind == PROGRAM => words.to_vec(),
        Some((kind, words)) if kind == LINE => {
            let shell = if config.shell.is_empty() {
                vec!["/bin/sh".to_owned(), "-c".to_owned()]
            } else {
                config.shell.clone()
            };
            shell.into_iter().chain(words.iter().cloned()).collect()
        }
        _ => return Ok(None),
    };
    let process = plan(folder, view, &ExecRequest::plain(command))?;
    let process = serde_json::to_string(&process).map_err(ExecError::doing("write the health check down"))?;
    let time = |nanoseconds: i64, usual: Duration| match u64::try_from(nanoseconds) {
        Ok(0) | Err(_) => usual,
        Ok(nanoseconds) => Duration::from_nanos(nanoseconds),
    };
    Ok(Some(Check {
        process,
        interval: time(check.interval, INTERVAL),
        timeout: time(check.timeout, INTERVAL),
        start_period: time(check.start_period, Duration::ZERO),
        start_interval: time(check.start_interval, START_INTERVAL),
        retries: u32::try_from(check.retries).ok().filter(|retries| *retries > 0).unwrap_or(RETRIES),
    }))
}

/// What the monitor has found; `None` for a container without a check, or that has not run yet.
pub(crate) fn found(folder: &Folder, checked: Option<&HealthCheck>) -> Result<Option<Health>, ContainerError> {
    if checked.is_none_or(|check| check.test.first().is_none_or(|kind| kind == NONE)) {
        return Ok(None);
    }
    folder.read(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(test: &[&str]) -> HealthCheck {
        HealthCheck { test: test.iter().map(|word| (*word).to_owned()).collect(), ..HealthCheck::default() }
    }

    fn image(check: HealthCheck) -> ImageConfig {
        ImageConfig { healthcheck: Some(check), ..ImageConfig::default() }
    }

    #[test]
    fn what_the_user_leaves_out_is_the_images() {
        let bare = ImageConfig::default();
        assert_eq!(merge(None, &bare), Ok(None));
        let own = HealthCheck { retries: 7, interval: 5_000_000, ..check(&["CMD-SHELL", "true"]) };
        assert_eq!(merge(Some(&own), &bare), Ok(Some(own.clone())));
        let theirs = HealthCheck { timeout: 9_000_000, retries: 1, ..check(&["CMD", "/check"]) };
        let merged = merge(Some(&HealthCheck { retries: 2, ..HealthCheck::default() }), &image(theirs.clone()));
        assert_eq!(merged, Ok(Some(HealthCheck { retries: 2, ..theirs.clone() })));
        assert_eq!(merge(Some(&check(&["NONE"])), &image(theirs)), Ok(Some(check(&["NONE"]))));
        assert_eq!(merge(None, &image(check(&["NONE"]))), Ok(Some(check(&["NONE"]))));
        assert_eq!(
            merge(Some(&HealthCheck { retries: 2, ..HealthCheck::default() }), &bare),
            Err(HealthError::Nothing)
        );
    }

    #[test]
    fn an_image_does_not_say_that_the_host_is_kept_busy() {
        let hasty =
            HealthCheck { interval: 1, start_interval: SHORTEST, start_period: i64::MAX, ..check(&["CMD", "x"]) };
        let merged = merge(None, &image(hasty)).unwrap().unwrap();
        assert_eq!((merged.interval, merged.start_interval), (SHORTEST_OF_IMAGES, SHORTEST_OF_IMAGES));
    }

    #[test]
    fn what_cannot_be_had_is_told() {
        let bare = ImageConfig::default();
        for test in [&["cmd", "x"][..], &["CMD"], &["CMD", ""], &["CMD-SHELL"], &["CMD-SHELL", "a", "b"], &["/bin/x"]] {
            assert!(matches!(merge(Some(&check(test)), &bare), Err(HealthError::Test(_))), "{test:?}");
            assert!(merge(None, &image(check(test))).is_err(), "{test:?}");
        }
        for (wrong, error) in [
            (HealthCheck { interval: -1, ..check(&["CMD", "x"]) }, HealthError::Negative("the interval")),
            (HealthCheck { timeout: 5, ..check(&["CMD", "x"]) }, HealthError::Short("the timeout")),
            (HealthCheck { retries: -1, ..check(&["CMD", "x"]) }, HealthError::Negative("the number of retries")),
        ] {
            assert_eq!(merge(Some(&wrong), &bare), Err(error));
        }
    }
}
