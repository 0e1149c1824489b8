//! What a thread has: its five sets and its securebits.

use std::fmt;

use super::{CapSet, Capability};

/// The five capability sets of a thread (`capabilities(7)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sets {
    /// What the kernel checks.
    pub effective: CapSet,
    /// What may be made effective.
    pub permitted: CapSet,
    /// What survives an exec of a program whose file has it inheritable too.
    pub inheritable: CapSet,
    /// What an exec may still give.
    pub bounding: CapSet,
    /// What an exec of an ordinary program by a user other than 0 keeps (Linux 4.3).
    pub ambient: CapSet,
}

impl Sets {
    /// `capabilities` bounding, permitted and effective, nothing inheritable (CVE-2022-29162) and nothing ambient
    /// (CVE-2016-8867): what a container's root has.
    #[must_use]
    pub const fn of_root(capabilities: CapSet) -> Self {
        Self {
            effective: capabilities,
            permitted: capabilities,
            inheritable: CapSet::EMPTY,
            bounding: capabilities,
            ambient: CapSet::EMPTY,
        }
    }

    /// `capabilities` bounding and nothing else: what a container's user other than 0 has.
    #[must_use]
    pub const fn of_user(capabilities: CapSet) -> Self {
        Self {
            effective: CapSet::EMPTY,
            permitted: CapSet::EMPTY,
            inheritable: CapSet::EMPTY,
            bounding: capabilities,
            ambient: CapSet::EMPTY,
        }
    }

    /// The set of that name.
    #[must_use]
    pub const fn get(&self, which: Which) -> CapSet {
        match which {
            Which::Effective => self.effective,
            Which::Permitted => self.permitted,
            Which::Inheritable => self.inheritable,
            Which::Bounding => self.bounding,
            Which::Ambient => self.ambient,
        }
    }

    /// Each set limited to what `mask` says for it.
    #[must_use]
    pub(crate) fn masked(&self, mask: impl Fn(Which) -> CapSet) -> Self {
        Self {
            effective: self.effective & mask(Which::Effective),
            permitted: self.permitted & mask(Which::Permitted),
            inheritable: self.inheritable & mask(Which::Inheritable),
            bounding: self.bounding & mask(Which::Bounding),
            ambient: self.ambient & mask(Which::Ambient),
        }
    }
}

/// The name of one of the five sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// `CapEff`.
    Effective,
    /// `CapPrm`.
    Permitted,
    /// `CapInh`.
    Inheritable,
    /// `CapBnd`.
    Bounding,
    /// `CapAmb`.
    Ambient,
}

impl Which {
    /// All five, the wider before the narrower.
    pub const ALL: [Self; 5] = [Self::Bounding, Self::Permitted, Self::Effective, Self::Inheritable, Self::Ambient];
}

impl fmt::Display for Which {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Effective => "effective",
            Self::Permitted => "permitted",
            Self::Inheritable => "inheritable",
            Self::Bounding => "bounding",
            Self::Ambient => "ambient",
        })
    }
}

/// The securebits of a thread (`capabilities(7)`), each flag followed by the one that locks it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Securebits(u32);

impl Securebits {
    /// Every ordinary process' bits.
    pub const NONE: Self = Self(0);
    /// Being user 0 gives no capability at exec.
    pub const NO_ROOT: Self = Self(1);
    /// Changing between user 0 and others leaves the sets alone.
    pub const NO_SETUID_FIXUP: Self = Self(1 << 2);
    /// Leaving user 0 keeps the permitted set; cleared by an exec.
    pub const KEEP_CAPS: Self = Self(1 << 4);
    /// Nothing may be added to the ambient set.
    pub const NO_CAP_AMBIENT_RAISE: Self = Self(1 << 6);

    /// These bits.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These bits and those that lock them.
    #[must_use]
    pub const fn locked(self) -> Self {
        Self(self.0 | (self.0 & 0x55) << 1)
    }

    /// The same without the bits of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The bits that can never change again: each locked flag and each lock.
    #[must_use]
    pub(crate) const fn unchangeable(self) -> u32 {
        let locks = self.0 & 0xaa;
        locks | locks >> 1
    }
}

impl fmt::Display for Securebits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:#x}", self.0)
    }
}

/// What a thread has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// Its five sets.
    pub sets: Sets,
    /// Its securebits.
    pub securebits: Securebits,
}

impl State {
    /// Whether the kernel would let this thread use `capability` now.
    #[must_use]
    pub const fn can(&self, capability: Capability) -> bool {
        self.sets.effective.contains(capability)
    }
}
