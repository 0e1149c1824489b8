//! Id maps of a user namespace (`user_namespaces(7)`, "User and group ID mappings").

use std::fmt;

/// The most lines that the kernel takes (Linux 4.15).
const MOST_RANGES: usize = 340;

/// A run of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id inside the namespace.
    pub inside: u32,
    /// The first id outside.
    pub outside: u32,
    /// How many, at least one.
    pub count: u32,
}

impl fmt::Display for IdRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}", self.inside, self.outside, self.count)
    }
}

/// A map that the kernel takes: its ranges are not empty, end within 32 bits, and overlap on neither side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap(Vec<IdRange>);

/// Why ranges are no map. Nothing is ever cut off to make one (CVE-2021-43784).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The kernel takes 340.
    #[error("{0} ranges are more than the kernel's {MOST_RANGES}")]
    TooMany(usize),
    /// A range without an id.
    #[error("the range {0} is empty")]
    Empty(IdRange),
    /// A range past the last id.
    #[error("the range {0} goes past the last id, 4294967294")]
    Overflow(IdRange),
    /// Two ranges with an id in common.
    #[error("the ranges {0} and {1} overlap")]
    Overlap(IdRange, IdRange),
}

impl IdMap {
    /// Takes `ranges` if they are a map.
    ///
    /// # Errors
    /// [`MapError`] naming the range.
    pub fn new(ranges: Vec<IdRange>) -> Result<Self, MapError> {
        if ranges.len() > MOST_RANGES {
            return Err(MapError::TooMany(ranges.len()));
        }
        for (index, range) in ranges.iter().enumerate() {
            if range.count == 0 {
                return Err(MapError::Empty(*range));
            }
            // The id 2^32 - 1 means "no change" to the kernel and can not be mapped.
            if [range.inside, range.outside].iter().any(|first| first.checked_add(range.count).is_none()) {
                return Err(MapError::Overflow(*range));
            }
            let overlaps = |other: &&IdRange| {
                overlap(range.inside, other.inside, range.count, other.count)
                    || overlap(range.outside, other.outside, range.count, other.count)
            };
            if let Some(other) = ranges[..index].iter().find(overlaps) {
                return Err(MapError::Overlap(*other, *range));
            }
        }
        Ok(Self(ranges))
    }

    /// The ranges, in the order given.
    #[must_use]
    pub fn ranges(&self) -> &[IdRange] {
        &self.0
    }

    /// The same ids, each standing for itself: the map as it is seen from inside.
    #[must_use]
    pub fn onto_itself(&self) -> Self {
        Self(self.0.iter().map(|range| IdRange { outside: range.inside, ..*range }).collect())
    }

    /// The outside id of `inside`, if it is mapped.
    #[must_use]
    pub fn outside(&self, inside: u32) -> Option<u32> {
        let range = self.0.iter().find(|range| inside >= range.inside && inside - range.inside < range.count)?;
        Some(range.outside + (inside - range.inside))
    }

    /// The inside id that stands for `outside`, if there is one.
    #[must_use]
    pub fn inside(&self, outside: u32) -> Option<u32> {
        let range = self.0.iter().find(|range| outside >= range.outside && outside - range.outside < range.count)?;
        Some(range.inside + (outside - range.outside))
    }

    /// The text that `/proc/PID/uid_map` takes.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.0.iter().map(|range| format!("{} {} {}\n", range.inside, range.outside, range.count)).collect()
    }

    /// Reads the text that the kernel shows; `None` if it is malformed.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let range = |line: &str| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse);
            match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
                (Some(Ok(inside)), Some(Ok(outside)), Some(Ok(count)), None) => {
                    Some(IdRange { inside, outside, count })
                }
                _ => None,
            }
        };
        text.lines().map(range).collect::<Option<_>>().map(Self)
    }
}

/// Whether two runs of ids share one; neither goes past the last id.
fn overlap(first: u32, second: u32, first_count: u32, second_count: u32) -> bool {
    first < second + second_count && second < first + first_count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(inside: u32, outside: u32, count: u32) -> IdRange {
        IdRange { inside, outside, count }
    }

    #[test]
    fn what_is_no_map_is_refused() {
        let refused = |ranges: &[IdRange]| IdMap::new(ranges.to_vec()).unwrap_err();
        assert_eq!(refused(&[range(0, 1, 0)]), MapError::Empty(range(0, 1, 0)));
        assert_eq!(refused(&[range(1, 0, u32::MAX)]), MapError::Overflow(range(1, 0, u32::MAX)));
        assert_eq!(refused(&[range(0, 9, 5), range(4, 50, 1)]), MapError::Overlap(range(0, 9, 5), range(4, 50, 1)));
        assert_eq!(refused(&[range(0, 9, 5), range(7, 13, 1)]), MapError::Overlap(range(0, 9, 5), range(7, 13, 1)));
    }

    #[test]
    fn cve_2021_43784_too_many_ranges_are_not_cut() {
        let many: Vec<_> = (0..MOST_RANGES as u32).map(|id| range(id, id, 1)).collect();
        assert_eq!(IdMap::new(many.clone()).unwrap().ranges().len(), MOST_RANGES);
        let more = [many, vec![range(1000, 1000, 1)]].concat();
        assert_eq!(IdMap::new(more), Err(MapError::TooMany(341)));
    }

    #[test]
    fn ids_are_translated_and_text_is_read_again() {
        let map = IdMap::new(vec![range(0, 100_000, 1000), range(2000, 5, 1)]).unwrap();
        assert_eq!((map.outside(999), map.outside(1000), map.outside(2000)), (Some(100_999), None, Some(5)));
        assert_eq!((map.inside(100_999), map.inside(101_000), map.inside(5)), (Some(999), None, Some(2000)));
        let own = map.onto_itself();
        assert_eq!((own.outside(999), own.inside(2000), own.inside(5000)), (Some(999), Some(2000), None));
        assert_eq!(IdMap::from_text(&map.to_text()), Some(map));
        for text in ["0 1", "0 1 x", "0 1 2 3", "-1 0 1"] {
            assert_eq!(IdMap::from_text(text), None, "{text}");
        }
    }
}
