//! Lists of processors and memory nodes: `0-2,7`.

use super::LimitError;

/// The highest number that is taken: above any kernel's NR_CPUS, and a bound on what a list can cost.
const HIGHEST: u32 = 65_535;

/// A non-empty list of numbers, as `cpuset(7)` writes it; ranges are sorted and joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdList {
    ranges: Vec<(u32, u32)>,
}

impl IdList {
    /// Parses `0-2,7`, and `0-30:1/2` (of each two the first one).
    ///
    /// # Errors
    /// [`LimitError::Malformed`] for anything else, the empty list, numbers above 65535 and descending ranges;
    /// `what` names the limit in the message.
    pub fn parse(what: &'static str, text: &str) -> Result<Self, LimitError> {
        let malformed = || LimitError::malformed(what, text, "a list like 0-2,7 with numbers up to 65535");
        let mut ranges = Vec::new();
        for part in text.trim().split(',') {
            parse_part(part, &mut ranges).ok_or_else(malformed)?;
        }
        Ok(Self { ranges: joined(ranges) })
    }

    /// The numbers, ascending.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.ranges.iter().flat_map(|&(low, high)| low..=high)
    }

    /// Whether every number of `self` is in `other`.
    #[must_use]
    pub fn within(&self, other: &Self) -> bool {
        self.ranges.iter().all(|&(low, high)| other.ranges.iter().any(|&(from, to)| from <= low && high <= to))
    }
}

/// Adds the ranges that one part of a list means.
fn parse_part(part: &str, ranges: &mut Vec<(u32, u32)>) -> Option<()> {
    let (range, stride) = match part.split_once(':') {
        Some((range, stride)) => (range, Some(stride.split_once('/')?)),
        None => (part, None),
    };
    let (low, high) = match range.split_once('-') {
        Some((low, high)) => (number(low)?, number(high)?),
        None => (number(range)?, number(range)?),
    };
    if low > high {
        return None;
    }
    let Some((used, group)) = stride else {
        ranges.push((low, high));
        return Some(());
    };
    let (used, group) = (number(used)?, number(group)?);
    if used == 0 || used > group {
        return None;
    }
    let mut start = low;
    while start <= high {
        ranges.push((start, (start + used - 1).min(high)));
        start += group;
    }
    Some(())
}

/// A plain decimal number up to [`HIGHEST`].
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&number| digits && number <= HIGHEST)
}

/// Sorted, with overlapping and touching ranges made one.
fn joined(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    let mut result: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match result.last_mut() {
            Some(last) if low <= last.1 + 1 => last.1 = last.1.max(high),
            _ => result.push((low, high)),
        }
    }
    result
}

impl std::fmt::Display for IdList {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, &(low, high)) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match low == high {
                true => write!(formatter, "{comma}{low}")?,
                false => write!(formatter, "{comma}{low}-{high}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_one_form() {
        for (text, form) in [("0", "0"), ("3,1,2", "1-3"), ("0-2,1-5,7", "0-5,7"), ("0-6:1/3", "0,3,6"), (" 1\n", "1")]
        {
            assert_eq!(IdList::parse("cpus", text).unwrap().to_string(), form, "{text}");
        }
        for text in ["", ",", "1,", "-1", "+1", "2-1", "a", "0-", "99999", "0-3:0/2", "0-3:3/2", "0 1", "0x1", "1\n2"] {
            assert!(IdList::parse("cpus", text).is_err(), "{text}");
        }
    }

    #[test]
    fn within_is_a_subset() {
        let list = |text| IdList::parse("cpus", text).unwrap();
        assert!(list("1,3").within(&list("0-3")));
        assert!(!list("1,4").within(&list("0-3")));
    }
}
