//! The time of day as records and logs have it.

use rustix::time::{ClockId, clock_gettime};

/// Now, as RFC 3339 with nanoseconds in UTC: `2026-11-24T05:00:00.123456789Z`.
#[must_use]
pub fn now() -> String {
    let now = clock_gettime(ClockId::Realtime);
    format(now.tv_sec, now.tv_nsec)
}

fn format(seconds: i64, nanoseconds: i64) -> String {
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z")
}

/// The date of a day counted from 1970-01-01, by counting from March of year 0, where leap days end a year.
fn date(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let day_of_era = day.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::format;

    #[test]
    fn known_moments() {
        assert_eq!(format(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(format(951_782_400, 5), "2000-02-29T00:00:00.000000005Z");
        assert_eq!(format(1_795_496_399, 0), "2026-11-24T05:59:59.000000000Z".replace("05:59:59", "04:59:59"));
        assert_eq!(format(-1, 0), "1969-12-31T23:59:59.000000000Z");
    }
}
