//! Processor time, processors and memory nodes.

use super::{IdList, LimitError};

/// What can be asked of processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// The weight against sibling groups when processors are short.
    pub shares: Option<CpuShares>,
    /// The processor time that may be used in each period.
    pub quota: Option<CpuQuota>,
    /// The length of a period.
    pub period: Option<CpuPeriod>,
    /// Unused quota that may be saved for later (Linux 5.14).
    pub burst: Option<CpuBurst>,
    /// Whether the group runs only when nothing else wants to (`SCHED_IDLE`; Linux 5.15).
    pub idle: Option<bool>,
    /// Real-time scheduling: the period in microseconds; cgroup v1 only, refused on v2.
    pub realtime_period: Option<u64>,
    /// Real-time scheduling: the run time in each period in microseconds; cgroup v1 only, refused on v2.
    pub realtime_runtime: Option<i64>,
}

impl Cpu {
    /// A burst needs a finite quota that it does not exceed.
    pub(super) fn check(&self) -> Result<(), LimitError> {
        let conflict = |second, why| Err(LimitError::Conflict { first: "cpu burst", second, why });
        match (self.burst, self.quota) {
            (Some(burst), Some(CpuQuota::Micros(quota))) if burst.get() > quota => {
                conflict("cpu quota", "the burst can not exceed the quota")
            }
            (Some(burst), Some(CpuQuota::Unlimited)) if burst.get() > 0 => {
                conflict("cpu quota", "a burst needs a limited quota")
            }
            _ => Ok(()),
        }
    }
}

/// A relative weight in the units of cgroup v1: 2 to 262144, 1024 being the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuShares(u64);

impl CpuShares {
    /// Takes any positive number; the kernel (and so the plan) clamps it to 2..=262144.
    ///
    /// # Errors
    /// [`LimitError::OutOfRange`] for zero, which callers use for "not asked".
    pub fn new(value: u64) -> Result<Self, LimitError> {
        match value {
            0 => Err(LimitError::out_of_range("cpu shares", value, "at least 1")),
            _ => Ok(Self(value.clamp(2, 262_144))),
        }
    }

    /// The clamped number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

/// Processor time per period, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuQuota {
    /// At most this; at least 1000.
    Micros(u64),
    /// No quota.
    Unlimited,
}

impl CpuQuota {
    /// # Errors
    /// [`LimitError::OutOfRange`] unless `value` is -1 (unlimited) or at least 1000. Zero is for callers "not asked".
    pub fn new(value: i64) -> Result<Self, LimitError> {
        match u64::try_from(value) {
            Ok(micros @ 1000..) => Ok(Self::Micros(micros)),
            Err(_) if value == -1 => Ok(Self::Unlimited),
            _ => Err(LimitError::out_of_range("cpu quota", value, "-1 or at least 1000 microseconds")),
        }
    }
}

/// The length of a period, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuPeriod(u64);

impl CpuPeriod {
    /// # Errors
    /// [`LimitError::OutOfRange`] outside of 1000..=1000000.
    pub fn new(value: u64) -> Result<Self, LimitError> {
        match value {
            1000..=1_000_000 => Ok(Self(value)),
            _ => Err(LimitError::out_of_range("cpu period", value, "1000 to 1000000 microseconds")),
        }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

/// Saved quota, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuBurst(u64);

impl CpuBurst {
    /// Any number; the kernel wants it not above the quota.
    #[must_use]
    pub fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

/// Processors and memory nodes that may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpuset {
    /// Processors.
    pub cpus: Option<IdList>,
    /// Memory nodes.
    pub mems: Option<IdList>,
}
