//! What a filter can say: rules, actions and conditions. A [`Filter`] that exists is valid.

use crate::architecture::Arch;
use crate::syscall::{Call, Syscall};

/// What happens to a system call (`SECCOMP_RET_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The process dies of SIGSYS.
    KillProcess,
    /// The thread dies of SIGSYS.
    KillThread,
    /// SIGSYS is sent.
    Trap,
    /// The call fails with this errno, at most 4095; 0 makes it return 0 without being made.
    Errno(u16),
    /// A listener is asked.
    Notify,
    /// A tracer is told, with this datum; without one the call fails with `ENOSYS`.
    Trace(u16),
    /// The call is made and logged.
    Log,
    /// The call is made.
    Allow,
}

/// `ENOSYS` has this value on all architectures of which there is a table but MIPS.
pub(crate) const ENOSYS: u16 = 38;
pub(crate) const EPERM: u16 = 1;

impl Action {
    /// The value that a filter returns for it.
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Action::KillProcess => 0x8000_0000,
            Action::KillThread => 0,
            Action::Trap => 0x0003_0000,
            Action::Errno(errno) => 0x0005_0000 | u32::from(errno),
            Action::Notify => 0x7fc0_0000,
            Action::Trace(datum) => 0x7ff0_0000 | u32::from(datum),
            Action::Log => 0x7ffc_0000,
            Action::Allow => 0x7fff_0000,
        }
    }

    /// The action of a returned value; as in the kernel an unknown one kills the process.
    #[must_use]
    pub fn from_code(code: u32) -> Self {
        let datum = (code & 0xffff) as u16;
        match code & 0xffff_0000 {
            0 => Action::KillThread,
            0x0003_0000 => Action::Trap,
            0x0005_0000 => Action::Errno(datum.min(4095)),
            0x7fc0_0000 => Action::Notify,
            0x7ff0_0000 => Action::Trace(datum),
            0x7ffc_0000 => Action::Log,
            0x7fff_0000 => Action::Allow,
            _ => Action::KillProcess,
        }
    }

    /// The kernel's precedence among several filters: the greatest decides.
    pub(crate) fn strictness(self) -> u8 {
        match self {
            Action::KillProcess => 7,
            Action::KillThread => 6,
            Action::Trap => 5,
            Action::Errno(_) => 4,
            Action::Notify => 3,
            Action::Trace(_) => 2,
            Action::Log => 1,
            Action::Allow => 0,
        }
    }

    /// Whether the call is made without anybody being asked.
    #[must_use]
    pub fn permits(self) -> bool {
        matches!(self, Action::Allow | Action::Log)
    }

    /// OCI's name.
    #[must_use]
    pub fn oci_name(self) -> &'static str {
        match self {
            Action::KillProcess => "SCMP_ACT_KILL_PROCESS",
            Action::KillThread => "SCMP_ACT_KILL_THREAD",
            Action::Trap => "SCMP_ACT_TRAP",
            Action::Errno(_) => "SCMP_ACT_ERRNO",
            Action::Notify => "SCMP_ACT_NOTIFY",
            Action::Trace(_) => "SCMP_ACT_TRACE",
            Action::Log => "SCMP_ACT_LOG",
            Action::Allow => "SCMP_ACT_ALLOW",
        }
    }

    /// The datum that OCI calls `errnoRet`.
    #[must_use]
    pub fn datum(self) -> Option<u16> {
        match self {
            Action::Errno(datum) | Action::Trace(datum) => Some(datum),
            _ => None,
        }
    }
}

/// How an argument is compared. All comparisons are of unsigned numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Operator {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    /// `argument & value == second`.
    MaskedEqual,
}

impl Operator {
    const NAMES: [(Operator, &'static str); 7] = [
        (Operator::NotEqual, "SCMP_CMP_NE"),
        (Operator::Less, "SCMP_CMP_LT"),
        (Operator::LessOrEqual, "SCMP_CMP_LE"),
        (Operator::Equal, "SCMP_CMP_EQ"),
        (Operator::GreaterOrEqual, "SCMP_CMP_GE"),
        (Operator::Greater, "SCMP_CMP_GT"),
        (Operator::MaskedEqual, "SCMP_CMP_MASKED_EQ"),
    ];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Operator> {
        Self::NAMES.into_iter().map(|entry| entry.0)
    }

    /// OCI's name.
    #[must_use]
    pub fn oci_name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }

    /// The operator that OCI calls `name`.
    #[must_use]
    pub fn from_oci_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|entry| entry.1 == name).map(|entry| entry.0)
    }
}

/// A condition on one argument register.
///
/// It is on the number that the kernel makes of the register, whose width the tables know: a 32-bit argument is
/// compared as its lower 32 bits, whatever the upper ones are. A `value` that is a negative number of that width,
/// extended to 64 bits, means that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Which argument, 0 to 5.
    pub argument: u8,
    /// The comparison.
    pub operator: Operator,
    /// What it is compared with; the mask of `MaskedEqual`.
    pub value: u64,
    /// What the masked argument of `MaskedEqual` must be; unused otherwise.
    pub second: u64,
}

impl Condition {
    /// Whether it holds for `arguments` of `call`.
    pub(crate) fn holds(&self, call: Call, arguments: &[u64; 6]) -> bool {
        let width = call.width(self.argument);
        let argument = arguments[usize::from(self.argument)] & greatest(width);
        let value = at_width(self.value, width);
        match self.operator {
            Operator::NotEqual => argument != value,
            Operator::Less => argument < value,
            Operator::LessOrEqual => argument <= value,
            Operator::Equal => argument == value,
            Operator::GreaterOrEqual => argument >= value,
            Operator::Greater => argument > value,
            Operator::MaskedEqual => argument & self.value == at_width(self.second, width),
        }
    }
}

/// The greatest number of `width` bits.
pub(crate) fn greatest(width: u32) -> u64 {
    u64::MAX >> (64 - width)
}

/// `value`, or, if that is a negative number of `width` bits extended to 64, the number of `width` bits.
pub(crate) fn at_width(value: u64, width: u32) -> u64 {
    let upper = !greatest(width) | 1 << (width - 1);
    if value & upper == upper { value & greatest(width) } else { value }
}

/// What happens to some calls if all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The calls; a name that an architecture of the filter lacks is skipped there.
    pub calls: Vec<Syscall>,
    /// What happens.
    pub action: Action,
    /// All must hold; none means always. No argument occurs twice.
    pub conditions: Vec<Condition>,
    /// Which entry of the profile it comes from, from 0.
    pub entry: usize,
}

bitflags::bitflags! {
    /// OCI's flags of a filter.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Flags: u8 {
        /// `SECCOMP_FILTER_FLAG_TSYNC`: all threads of the process get the filter.
        const TSYNC = 1;
        /// `SECCOMP_FILTER_FLAG_LOG`: everything but ALLOW is logged.
        const LOG = 2;
        /// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`: the speculative store bypass mitigation stays off.
        const SPEC_ALLOW = 4;
        /// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`: has an effect on filters with NOTIFY only.
        const WAIT_KILLABLE_RECV = 8;
    }
}

impl Default for Flags {
    /// What runc sets where a profile says nothing of flags: `SPEC_ALLOW`.
    fn default() -> Self {
        Flags::SPEC_ALLOW
    }
}

impl Flags {
    const NAMES: [(Flags, &'static str); 4] = [
        (Flags::TSYNC, "SECCOMP_FILTER_FLAG_TSYNC"),
        (Flags::LOG, "SECCOMP_FILTER_FLAG_LOG"),
        (Flags::SPEC_ALLOW, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"),
        (Flags::WAIT_KILLABLE_RECV, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"),
    ];

    /// The flag that OCI calls `name`.
    #[must_use]
    pub fn from_oci_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|entry| entry.1 == name).map(|entry| entry.0)
    }

    /// OCI's names of those that are set.
    pub fn oci_names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |entry| self.contains(entry.0)).map(|entry| entry.1)
    }
}

/// Who serves the notifications of a filter.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Listener {
    /// The unix socket that the listener's descriptor is sent to.
    pub path: String,
    /// What is sent along, unread.
    pub metadata: String,
}

/// A filter: for every call of its architectures the strictest matching rule decides, and the default where none matches.
///
/// Strictness is the kernel's order among several filters: KILL_PROCESS, KILL_THREAD, TRAP, ERRNO, NOTIFY, TRACE, LOG,
/// ALLOW. A rule whose action equals the default says nothing, as with runc. A call with a number above the newest
/// that a rule names answers `ENOSYS`, unless the default permits it. Calls of other architectures kill the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub(crate) architectures: Vec<Arch>,
    pub(crate) default: Action,
    pub(crate) rules: Vec<Rule>,
    pub(crate) flags: Flags,
    pub(crate) listener: Option<Listener>,
}

impl Filter {
    /// The architectures, the native one first; calls of any other kill the process.
    #[must_use]
    pub fn architectures(&self) -> &[Arch] {
        &self.architectures
    }

    /// What happens where no rule matches.
    #[must_use]
    pub fn default_action(&self) -> Action {
        self.default
    }

    /// The rules in the order of the profile.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The flags.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// Who serves notifications; there is always one if a rule notifies.
    #[must_use]
    pub fn listener(&self) -> Option<&Listener> {
        self.listener.as_ref()
    }

    /// Whether a rule notifies.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.rules.iter().any(|rule| rule.action == Action::Notify)
    }

    /// Whether calls newer than the newest named answer `ENOSYS`. A default that lets calls happen is left alone, and
    /// so is TRACE, because a tracer can tell (runc's `isAllowAction`).
    pub(crate) fn answers_enosys(&self) -> bool {
        !matches!(self.default, Action::Allow | Action::Log | Action::Trace(_)) && self.default != Action::Errno(ENOSYS)
    }
}
