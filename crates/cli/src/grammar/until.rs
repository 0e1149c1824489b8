//! Points in time as Docker's filters take them: a duration back from now, a date, or seconds since 1970.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Invalid, invalid};

/// What a point in time may be.
const FORMS: &str =
    "a duration such as 24h or 1h30m, a date such as 2026-01-02 or 2026-01-02T03:04:05Z (UTC), or seconds since 1970";

/// The point in time that `text` means at `now`.
///
/// # Errors
/// Anything else.
pub(crate) fn until(flag: &'static str, text: &str, now: Timestamp) -> Result<Timestamp, Invalid> {
    let found = duration(text).and_then(|back| now.checked_sub(back).ok()).or_else(|| point(text));
    found.ok_or_else(|| invalid(flag, text, FORMS))
}

/// Go's durations: `1h30m`, `1.5h`, `-300ms`.
pub(crate) fn duration(text: &str) -> Option<SignedDuration> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|sign: char| !(sign.is_ascii_digit() || sign == '.'))?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|sign: char| sign.is_ascii_digit() || sign == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let factor = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    SignedDuration::try_from_secs_f64(sign * seconds).ok()
}

/// A date, with a time and a zone or without, or seconds since 1970.
fn point(text: &str) -> Option<Timestamp> {
    if let Ok(point) = text.parse::<Timestamp>() {
        return Some(point);
    }
    let (whole, parts) = text.split_once('.').unwrap_or((text, ""));
    if let Ok(seconds) = whole.parse::<i64>() {
        let digits = parts.bytes().all(|byte| byte.is_ascii_digit()) && parts.len() <= 9;
        let nanoseconds = format!("{parts:0<9}").parse().ok().filter(|_| digits)?;
        return Timestamp::new(seconds, nanoseconds).ok();
    }
    let local = text.parse::<DateTime>().ok().or_else(|| text.parse::<Date>().ok().map(DateTime::from))?;
    local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form() {
        let now: Timestamp = "2026-01-10T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("24h", "2026-01-09T12:00:00Z"),
            ("1h30m", "2026-01-10T10:30:00Z"),
            ("1.5h", "2026-01-10T10:30:00Z"),
            ("-1h", "2026-01-10T13:00:00Z"),
            ("500ms", "2026-01-10T11:59:59.5Z"),
            ("2026-01-02", "2026-01-02T00:00:00Z"),
            ("2026-01-02T03:04:05", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05.5+01:00", "2026-01-02T02:04:05.5Z"),
            ("0", "1970-01-01T00:00:00Z"),
            ("1136073600.5", "2006-01-01T00:00:00.5Z"),
        ] {
            let found = until("--filter", text, now).map(|found| found.to_string());
            assert_eq!(found.as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "h", "1x", "yesterday", "1h ", "99999999999999999999h", "1e3s", "-", "1.2.3"] {
            assert!(until("--filter", text, now).is_err(), "{text}");
        }
    }
}
