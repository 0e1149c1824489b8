//! Memory and swap.

use super::{LimitError, Max};

/// What can be asked of memory; all sizes in bytes, rounded down to whole pages by the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The most memory, without swap. A group that exceeds it and can reclaim nothing meets the OOM killer.
    pub limit: Option<Max>,
    /// The most memory **and** swap together (the meaning of Docker, OCI and cgroup v1).
    pub swap: Option<Max>,
    /// What reclaim tries to leave the group under pressure.
    pub reservation: Option<Max>,
    /// How eagerly anonymous pages are swapped; cgroup v1 only, dropped with a degradation on v2.
    pub swappiness: Option<Swappiness>,
    /// Whether tasks at the limit wait instead of being killed; v1 only, dropped with a degradation on v2.
    pub disable_oom_killer: Option<bool>,
    /// Kernel memory: ignored with a degradation, as the runtime specification says (deprecated since Linux 5.4).
    pub kernel: Option<Max>,
    /// Kernel TCP buffers: ignored with a degradation, as [`Memory::kernel`].
    pub kernel_tcp: Option<Max>,
    /// Whether children are accounted to their parents. Always so since Linux 5.11 and on v2; `false` is refused.
    pub use_hierarchy: Option<bool>,
    /// Whether an update fails instead of killing when the new limit is below the present use.
    pub check_before_update: bool,
}

impl Memory {
    /// Swap needs a memory limit, and is not below it.
    pub(super) fn check(&self) -> Result<(), LimitError> {
        let conflict = |why| Err(LimitError::Conflict { first: "memory swap", second: "memory limit", why });
        match (self.limit, self.swap) {
            (None, Some(_)) => conflict("a swap limit counts memory and swap together and needs a memory limit"),
            (Some(Max::At(limit)), Some(Max::At(swap))) if swap < limit => {
                conflict("memory and swap together can not be less than memory alone")
            }
            (Some(Max::Unlimited), Some(Max::At(_))) => conflict("swap is limited and memory is not"),
            _ => Ok(()),
        }
    }
}

/// How eagerly anonymous pages are swapped: 0 (as late as possible) to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swappiness(u8);

impl Swappiness {
    /// # Errors
    /// [`LimitError::OutOfRange`] above 100.
    pub fn new(value: u64) -> Result<Self, LimitError> {
        match u8::try_from(value) {
            Ok(value @ 0..=100) => Ok(Self(value)),
            _ => Err(LimitError::out_of_range("memory swappiness", value, "0 to 100")),
        }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}
