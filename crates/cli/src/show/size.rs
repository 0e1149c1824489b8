//! Sizes in Docker's words (`units.HumanSizeWithPrecision`): powers of a thousand, a few significant digits.

/// The units, each a thousand times the one before.
const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// `1.23MB`: three significant digits, as lists show it.
pub(crate) fn human(bytes: u64) -> String {
    with_digits(bytes, 3)
}

/// `1.234MB`: four significant digits, as `system df` and `prune` show it.
pub(crate) fn exact(bytes: u64) -> String {
    with_digits(bytes, 4)
}

/// `1.234MiB`: in powers of 1024 with four significant digits, as `stats` shows memory (`units.BytesSize`).
pub(crate) fn binary(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].iter();
    let mut unit = units.next().copied().unwrap_or_default();
    while size >= 1024.0
        && let Some(next) = units.next()
    {
        size /= 1024.0;
        unit = next;
    }
    format!("{}{unit}", significant(size, 4))
}

/// Go's `%.Ng` of the size in the largest unit in which it is at least one.
fn with_digits(bytes: u64, digits: usize) -> String {
    let mut size = bytes as f64;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    while size >= 1000.0
        && let Some(next) = units.next()
    {
        size /= 1000.0;
        unit = next;
    }
    format!("{}{unit}", significant(size, digits))
}

/// `size`, which is below a thousand or whole, with so many significant digits and no zeros at the end.
fn significant(size: f64, digits: usize) -> String {
    let before = if size >= 1.0 { size.log10().floor() as usize + 1 } else { 1 };
    let text = format!("{size:.*}", digits.saturating_sub(before));
    // Rounding may have made another digit: 999.96 has four of them and 1000.0 five, which Go writes as 1e+03.
    if size < 1000.0 && text.starts_with("1000") {
        return if digits < 4 { "1e+03".to_owned() } else { "1000".to_owned() };
    }
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_1024() {
        for (bytes, shown) in
            [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (1536, "1.5KiB"), (16 << 20, "16MiB"), (u64::MAX, "16EiB")]
        {
            assert_eq!(binary(bytes), shown, "{bytes}");
        }
    }

    #[test]
    fn dockers_words() {
        for (bytes, shown) in [
            (0, "0B"),
            (1, "1B"),
            (999, "999B"),
            (1000, "1kB"),
            (1024, "1.02kB"),
            (1_234_567, "1.23MB"),
            (12_345_678, "12.3MB"),
            (123_456_789, "123MB"),
            (999_600, "1e+03kB"),
            (1_000_000_000, "1GB"),
            (u64::MAX, "18.4EB"),
        ] {
            assert_eq!(human(bytes), shown, "{bytes}");
        }
        assert_eq!(exact(1_234_567), "1.235MB");
        assert_eq!(exact(7_800_000), "7.8MB");
        assert_eq!(exact(0), "0B");
    }
}
