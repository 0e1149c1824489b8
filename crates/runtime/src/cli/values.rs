//! Values of flags and arguments that are more than text.

use std::time::Duration;

use rustix::process::Signal;
use stockade_kernel::signal::by_name;

use super::parse::{Parsed, UsageError};
use crate::store::ContainerId;

/// The only argument of most verbs: the container's id.
pub(super) fn only_id(parsed: &Parsed) -> Result<ContainerId, UsageError> {
    match parsed.arguments.as_slice() {
        [id] => self::id(id),
        [] => Err(UsageError::Argument("the container's id is missing".to_owned())),
        [_, more, ..] => Err(UsageError::Argument(format!("{more:?} is one argument too many"))),
    }
}

/// A container's id.
pub(super) fn id(text: &str) -> Result<ContainerId, UsageError> {
    text.parse().map_err(|error: crate::store::InvalidId| UsageError::Argument(error.to_string()))
}

/// A flag's value that is a number.
pub(super) fn number<T: std::str::FromStr>(parsed: &Parsed, flag: &'static str) -> Result<Option<T>, UsageError> {
    let parse = |value: &str| value.parse().map_err(|_wrong| UsageError::value(flag, value, "a number in its range"));
    parsed.value(flag).map(parse).transpose()
}

/// A user or group id: decimal digits and nothing else, without the sign that Rust would take (CVE-2026-30892).
pub(super) fn unsigned(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `--interval`: a time as Go writes it in its simple form, `5s`, `500ms`, `1m`.
pub(super) fn interval(parsed: &Parsed) -> Result<Duration, UsageError> {
    let text = parsed.value("interval").unwrap_or("5s");
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let read = |(unit, factor): &(&str, u64)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*factor);
    let found = units.iter().find_map(read).filter(|milliseconds| *milliseconds > 0);
    found.map(Duration::from_millis).ok_or_else(|| UsageError::value("interval", text, "a time like 5s or 500ms"))
}

/// A size in bytes, or with one of the units b, k, m, g, t, p in either case, of 1024; -1 is no limit.
pub(super) fn size(parsed: &Parsed, flag: &'static str) -> Result<Option<i64>, UsageError> {
    let Some(text) = parsed.value(flag) else { return Ok(None) };
    let wrong = || UsageError::value(flag, text, "bytes, a size like 512m, or -1 for no limit");
    if text == "-1" {
        return Ok(Some(-1));
    }
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match lower[digits.len()..].trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(wrong()),
    };
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok()).flatten();
    number.and_then(|number| number.checked_mul(1 << shift)).map(Some).ok_or_else(wrong)
}

/// A signal by name, with or without `SIG` and in any case, by number, or a real-time one (`RTMIN+3`, `RTMAX-1`).
pub(super) fn signal(text: &str) -> Result<Signal, UsageError> {
    by_name(text).ok_or_else(|| UsageError::Argument(format!("unknown signal {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse::{Stop, parse};

    const TABLE: &[crate::cli::Flag] =
        &[crate::cli::verbs::with("memory", None, "N", ""), crate::cli::verbs::with("interval", None, "N", "")];

    fn given(text: &str) -> Parsed {
        let arguments = [format!("--memory={text}"), format!("--interval={text}")];
        parse(TABLE, &arguments, Stop::AtEnd).unwrap().0
    }

    #[test]
    fn sizes_and_times() {
        for (text, bytes) in
            [("0", 0), ("12", 12), ("12b", 12), ("4k", 4096), ("1M", 1 << 20), ("2GiB", 2 << 30), ("-1", -1)]
        {
            assert_eq!(size(&given(text), "memory").unwrap(), Some(bytes), "{text}");
        }
        for wrong in ["", "m", "-2", "1x", "1.5g", "+1", "9223372036854775807k", "1 k", "\u{661}"] {
            assert!(size(&given(wrong), "memory").is_err(), "{wrong}");
        }
        for (text, milliseconds) in [("5s", 5000), ("20ms", 20), ("1m", 60_000)] {
            assert_eq!(interval(&given(text)).unwrap(), Duration::from_millis(milliseconds), "{text}");
        }
        for wrong in ["", "5", "0s", "-1s", "s", "99999999999999999999h", "9999999999999999999h"] {
            assert!(interval(&given(wrong)).is_err(), "{wrong}");
        }
    }
}
