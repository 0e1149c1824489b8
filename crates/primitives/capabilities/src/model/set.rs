//! A set of capabilities.

use std::fmt;
use std::ops::{BitAnd, BitOr, Sub};

use super::{Capability, UnknownCapability};

/// A set of capabilities, bit N being the capability with number N, as in the kernel's interface version 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CapSet(u64);

impl CapSet {
    /// No capability.
    pub const EMPTY: Self = Self(0);

    /// The set with these bits.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Every capability from number 0 to `last` ([`crate::support::last_cap`]): what `ALL` means on that kernel.
    #[must_use]
    pub const fn up_to(last: Capability) -> Self {
        Self(u64::MAX >> (63 - last.number()))
    }

    /// The set of these capabilities.
    #[must_use]
    pub const fn of(capabilities: &[Capability]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < capabilities.len() {
            bits |= 1 << capabilities[i].number();
            i += 1;
        }
        Self(bits)
    }

    /// Parses names as [`Capability`] does, and `ALL` (also `CAP_ALL`, in any case) as `all`.
    ///
    /// # Errors
    /// The first name that is unknown.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>, all: Self) -> Result<Self, UnknownCapability> {
        names.into_iter().try_fold(Self::EMPTY, |set, name| {
            let whole = name.eq_ignore_ascii_case("ALL") || name.eq_ignore_ascii_case("CAP_ALL");
            Ok(set | if whole { all } else { Self::from(name.parse::<Capability>()?) })
        })
    }

    /// Whether it has no capability.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many it has.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether it has this one.
    #[must_use]
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 >> capability.number() & 1 == 1
    }

    /// Whether `other` has all of these.
    #[must_use]
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Its capabilities in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        (0..=Capability::MAX).filter_map(Capability::new).filter(move |capability| self.contains(*capability))
    }
}

impl From<Capability> for CapSet {
    fn from(capability: Capability) -> Self {
        Self::of(&[capability])
    }
}

impl FromIterator<Capability> for CapSet {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        capabilities.into_iter().fold(Self::EMPTY, |set, capability| set | capability.into())
    }
}

impl BitOr for CapSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for CapSet {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for CapSet {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Display for CapSet {
    /// The names, separated by commas; `none` for the empty set.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return out.write_str("none");
        }
        for (i, capability) in self.iter().enumerate() {
            if i > 0 {
                out.write_str(",")?;
            }
            write!(out, "{capability}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_all() {
        let all = CapSet::up_to(Capability::CHECKPOINT_RESTORE);
        assert_eq!(all.bits(), 0x1ff_ffff_ffff);
        assert_eq!(CapSet::parse(["all"], all), Ok(all));
        let two = CapSet::parse(["chown", "CAP_SYS_ADMIN"], all).unwrap();
        assert_eq!((two.bits(), two.len()), (1 | 1 << 21, 2));
        assert_eq!(two.to_string(), "CAP_CHOWN,CAP_SYS_ADMIN");
        assert!(CapSet::parse(["chown", "nope"], all).is_err());
        assert_eq!(CapSet::EMPTY.to_string(), "none");
    }

    #[test]
    fn the_last_number_fits() {
        let last = Capability::new(63).unwrap();
        assert_eq!(CapSet::up_to(last).bits(), u64::MAX);
        assert_eq!(CapSet::from_bits(u64::MAX).iter().count(), 64);
        assert_eq!(CapSet::from(last).iter().collect::<Vec<_>>(), [last]);
    }

    #[test]
    fn a_set_is_its_capabilities() {
        let set = CapSet::from_bits(0xa5);
        assert_eq!(set.iter().collect::<CapSet>(), set);
        assert_eq!(set - CapSet::from_bits(0x5), CapSet::from_bits(0xa0));
        assert!(CapSet::from_bits(0x5).is_subset(set) && !set.is_subset(CapSet::from_bits(0x5)));
    }
}
