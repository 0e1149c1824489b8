//! What a filter says about each number of one architecture, before it becomes instructions.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::architecture::Arch;
use crate::model::{Action, Condition, ENOSYS, Filter};
use crate::multiplex::other_way;
use crate::syscall::{Call, Syscall};

/// `ENOSYS` on MIPS.
const ENOSYS_MIPS: u16 = 89;

/// The errno of a call that `arch` does not have.
pub(crate) fn enosys(arch: Arch) -> u16 {
    use Arch::{Mips, Mips64, Mips64n32, Mipsel, Mipsel64, Mipsel64n32};
    if matches!(arch, Mips | Mips64 | Mips64n32 | Mipsel | Mipsel64 | Mipsel64n32) { ENOSYS_MIPS } else { ENOSYS }
}

/// One way to get to an action; all conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alternative {
    pub(crate) action: Action,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) entry: usize,
}

/// What is said about one number: the first alternative that matches decides, and the default where none does.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) call: Call,
    pub(crate) alternatives: Vec<Alternative>,
}

/// What a filter says about one architecture.
#[derive(Clone, Debug)]
pub(crate) struct Verdicts {
    pub(crate) calls: BTreeMap<u32, Named>,
    /// From here on calls answer `ENOSYS`, but those of `private`.
    pub(crate) newer_from: Option<u32>,
    /// The numbers of the architecture's own calls.
    pub(crate) private: Range<u32>,
    /// A number that stands for what is newer than the kernel.
    pub(crate) unknown: Option<u32>,
}

impl Verdicts {
    pub(crate) fn of(filter: &Filter, arch: Arch) -> Self {
        let private = arch.private_numbers();
        let mut verdicts =
            Verdicts { calls: BTreeMap::new(), newer_from: None, private, unknown: arch.number_of_unknown() };
        let mut newest = None;
        for rule in &filter.rules {
            for syscall in &rule.calls {
                newest = newest.max(syscall.number(arch).filter(|number| !verdicts.private.contains(number)));
                if rule.action == filter.default {
                    continue;
                }
                let alternative =
                    Alternative { action: rule.action, conditions: rule.conditions.clone(), entry: rule.entry };
                verdicts.add_other_way(*syscall, arch, &alternative, filter.default);
                verdicts.add(*syscall, arch, alternative);
            }
        }
        for named in verdicts.calls.values_mut() {
            put_in_order(&mut named.alternatives);
        }
        if filter.answers_enosys() {
            verdicts.newer_from = newest.map(|newest| newest + 1);
        }
        verdicts
    }

    pub(crate) fn is_newer(&self, number: u32) -> bool {
        self.newer_from
            .is_some_and(|from| number >= from && !self.private.contains(&number) || self.unknown == Some(number))
    }

    fn add(&mut self, syscall: Syscall, arch: Arch, alternative: Alternative) {
        let Some(call) = syscall.call(arch) else { return };
        let named = self.calls.entry(call.number).or_insert_with(|| Named { call, alternatives: Vec::new() });
        named.alternatives.push(alternative);
    }

    /// Closes the other way to a call that is more restricted than the default, whatever its arguments, since they are out of
    /// sight there. A way that is more open than the default is not opened: the profile names the multiplexer for that.
    fn add_other_way(&mut self, syscall: Syscall, arch: Arch, alternative: &Alternative, default: Action) {
        if alternative.action.strictness() <= default.strictness() {
            return;
        }
        if let Some((multiplexer, condition)) = other_way(syscall, arch) {
            self.add(multiplexer, arch, Alternative { conditions: vec![condition], ..alternative.clone() });
        }
    }
}

/// The strictest first, and of equally strict ones the one without conditions; nothing after that.
fn put_in_order(alternatives: &mut Vec<Alternative>) {
    alternatives.sort_by_key(|one| (std::cmp::Reverse(one.action.strictness()), !one.conditions.is_empty()));
    if let Some(last) = alternatives.iter().position(|one| one.conditions.is_empty()) {
        alternatives.truncate(last + 1);
    }
}
