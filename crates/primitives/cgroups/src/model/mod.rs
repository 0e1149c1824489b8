//! What can be asked of a control group: [`Limits`], without any word about where it is written.
//!
//! A value that exists is valid on its own; what depends on two values (swap needs memory) is checked by
//! [`Limits::check`], which [`plan`](crate::plan()) calls first. What depends on the machine is checked by the plan.

mod block_io;
mod cpu;
mod device;
mod id_list;
mod memory;
mod special;

pub use block_io::{BlockDevice, BlockIo, DeviceRate, DeviceWeight, IoWeight};
pub use cpu::{Cpu, CpuBurst, CpuPeriod, CpuQuota, CpuShares, Cpuset};
pub use device::{Access, DeviceKind, DeviceRule, DeviceRules};
pub use id_list::IdList;
pub use memory::{Memory, Swappiness};
pub use special::{HugePageLimit, InterfacePriority, Network, RdmaLimit, UnifiedValue};

/// An upper bound in the units of its limit, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Max {
    /// At most this much.
    At(u64),
    /// No bound of this group's own; its ancestors' still hold.
    Unlimited,
}

impl Max {
    /// The bound that `value` means, -1 being none.
    ///
    /// # Errors
    /// [`LimitError::OutOfRange`] for other negative numbers; `what` names the limit in the message.
    pub fn new(what: &'static str, value: i64) -> Result<Self, LimitError> {
        match u64::try_from(value) {
            Ok(value) => Ok(Self::At(value)),
            Err(_) if value == -1 => Ok(Self::Unlimited),
            Err(_) => Err(LimitError::out_of_range(what, value, "-1 (unlimited) or at least 0")),
        }
    }

    /// The smaller of two bounds.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        match (self, other) {
            (Self::At(a), Self::At(b)) => Self::At(a.min(b)),
            (Self::At(a), Self::Unlimited) | (Self::Unlimited, Self::At(a)) => Self::At(a),
            (Self::Unlimited, Self::Unlimited) => Self::Unlimited,
        }
    }

    /// The bound as cgroup v2 writes it: a number or `max`.
    pub(crate) fn unified(self) -> String {
        match self {
            Self::At(value) => value.to_string(),
            Self::Unlimited => "max".to_owned(),
        }
    }

    /// The bound as most cgroup v1 files take it: a number or -1.
    pub(crate) fn legacy(self) -> String {
        match self {
            Self::At(value) => value.to_string(),
            Self::Unlimited => "-1".to_owned(),
        }
    }
}

impl std::fmt::Display for Max {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(value) => value.fmt(formatter),
            Self::Unlimited => formatter.write_str("unlimited"),
        }
    }
}

/// Everything that can be asked of a group. The default asks for nothing: only the group itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The number of tasks (processes and threads). Zero is written as one, as other runtimes do: a group in which
    /// no process can be started is of no use.
    pub pids: Option<Max>,
    /// Memory and swap.
    pub memory: Memory,
    /// Processor time.
    pub cpu: Cpu,
    /// Processors and memory nodes that may be used.
    pub cpuset: Cpuset,
    /// Block input and output.
    pub block_io: BlockIo,
    /// Huge pages, per size.
    pub huge_pages: Vec<HugePageLimit>,
    /// RDMA handles and objects, per device.
    pub rdma: Vec<RdmaLimit>,
    /// Marks on network packets; cgroup v1 only.
    pub network: Network,
    /// Which device nodes may be used. `None` leaves the parent's rules; `Some` denies all that no rule allows.
    pub devices: Option<DeviceRules>,
    /// Files of cgroup v2 written as they are.
    pub unified: Vec<UnifiedValue>,
}

impl Limits {
    /// Checks what depends on more than one value.
    ///
    /// # Errors
    /// [`LimitError::Conflict`] naming both.
    pub fn check(&self) -> Result<(), LimitError> {
        self.memory.check()?;
        self.cpu.check()?;
        for (index, value) in self.unified.iter().enumerate() {
            if self.unified.iter().skip(index + 1).any(|other| other.file() == value.file()) {
                return Err(LimitError::Conflict { first: "unified", second: "unified", why: "a key is given twice" });
            }
        }
        Ok(())
    }
}

/// A limit that no machine could take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// A number outside of what the kernel or the specification accepts.
    #[error("{what} is {value}, must be {range}")]
    OutOfRange {
        /// The limit.
        what: &'static str,
        /// What was given.
        value: String,
        /// What would be accepted.
        range: &'static str,
    },
    /// A text that does not have the form it must have.
    #[error("{what} is {value:?}, must be {form}")]
    Malformed {
        /// The limit.
        what: &'static str,
        /// What was given.
        value: String,
        /// What would be accepted.
        form: &'static str,
    },
    /// Two values that can not be had together.
    #[error("{first} and {second} do not go together: {why}")]
    Conflict {
        /// The one.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// The reason.
        why: &'static str,
    },
}

impl LimitError {
    /// [`LimitError::OutOfRange`] for any number.
    fn out_of_range(what: &'static str, value: impl std::fmt::Display, range: &'static str) -> Self {
        Self::OutOfRange { what, value: value.to_string(), range }
    }

    /// [`LimitError::Malformed`].
    fn malformed(what: &'static str, value: &str, form: &'static str) -> Self {
        Self::Malformed { what, value: value.to_owned(), form }
    }
}
