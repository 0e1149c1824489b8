//! How long ago something was, in Docker's words (`units.HumanDuration`).

use jiff::Timestamp;

/// `5 minutes`, `About an hour`, ... between `earlier`, an RFC 3339 time, and `now`; `None` if it is no time.
pub(crate) fn since(earlier: &str, now: Timestamp) -> Option<String> {
    let earlier: Timestamp = earlier.parse().ok()?;
    Some(human(now.as_second().saturating_sub(earlier.as_second())))
}

/// A time as Docker prints it, in UTC.
pub(crate) fn absolute(time: &str) -> Option<String> {
    let time: Timestamp = time.parse().ok()?;
    Some(time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string())
}

/// So many seconds in words. A clock that was set back counts as no time.
fn human(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_words() {
        const DAY: i64 = 24 * 3600;
        for (seconds, words) in [
            (-5, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (59 * 60, "59 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (2 * DAY, "2 days"),
            (14 * DAY, "2 weeks"),
            (60 * DAY, "2 months"),
            (730 * DAY, "2 years"),
        ] {
            assert_eq!(human(seconds), words, "{seconds}");
        }
        let now: Timestamp = "2026-01-01T00:05:00Z".parse().unwrap();
        assert_eq!(since("2026-01-01T00:00:00.123456789Z", now).as_deref(), Some("5 minutes"));
        assert_eq!(absolute("2026-01-01T00:00:00.5Z").as_deref(), Some("2026-01-01 00:00:00 +0000 UTC"));
        assert_eq!(since("yesterday", now), None);
    }
}
