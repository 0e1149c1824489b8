//! What a filter says to one call, and why: the meaning that every compiled program must have.

use crate::architecture::Arch;
use crate::compile::verdicts::{Verdicts, enosys};
use crate::model::{Action, Filter};
use crate::syscall::X32_BIT;

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The rule of this entry of the profile, from 0.
    Entry(usize),
    /// No rule matched.
    Default,
    /// The call is newer than the newest that the profile names.
    Newer,
    /// The filter has nothing for the architecture that the call is of.
    OtherArchitecture,
}

/// An action with what decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What happens.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

impl Filter {
    /// What happens to call `number` with `arguments`, where the kernel reports the architecture as `audit`.
    #[must_use]
    pub fn decide(&self, audit: u32, number: u32, arguments: &[u64; 6]) -> Decision {
        let Some(arch) = self.architecture_of(audit, number) else {
            return Decision { action: Action::KillProcess, reason: Reason::OtherArchitecture };
        };
        let verdicts = Verdicts::of(self, arch);
        if verdicts.is_newer(number) {
            return Decision { action: Action::Errno(enosys(arch)), reason: Reason::Newer };
        }
        let matching = verdicts
            .about(number)
            .iter()
            .find(|one| one.conditions.iter().all(|condition| condition.holds(one.call, arguments)));
        match matching {
            Some(one) => Decision { action: one.action, reason: Reason::Entry(one.entry) },
            None => Decision { action: self.default, reason: Reason::Default },
        }
    }

    /// The architecture of this filter whose rules are for the call.
    fn architecture_of(&self, audit: u32, number: u32) -> Option<Arch> {
        let arch = Arch::from_audit(audit, number)?;
        if self.architectures.contains(&arch) {
            return Some(arch);
        }
        // -1 has the bit of x32 without being a call of it.
        let native = Arch::from_audit(audit, number & !X32_BIT)?;
        (number == u32::MAX && self.architectures.contains(&native)).then_some(native)
    }
}
