//! What a filter says about each number of one architecture, before it becomes instructions.

use std::borrow::Cow;
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

/// One way to get to an action at a call; all conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alternative<'filter> {
    pub(crate) call: Call,
    pub(crate) action: Action,
    pub(crate) conditions: Cow<'filter, [Condition]>,
    pub(crate) entry: usize,
}

/// What a filter says about one architecture.
#[derive(Clone, Debug)]
pub(crate) struct Verdicts<'filter> {
    /// By number. Of those of one number the first that matches decides, and the default where none does; nothing follows one without
    /// conditions.
    alternatives: Vec<Alternative<'filter>>,
    /// From here on calls answer `ENOSYS`, but those of `private`.
    pub(crate) newer_from: Option<u32>,
    /// The numbers of the architecture's own calls.
    pub(crate) private: Range<u32>,
    /// A number that stands for what is newer than the kernel.
    pub(crate) unknown: Option<u32>,
}

impl<'filter> Verdicts<'filter> {
    pub(crate) fn of(filter: &'filter Filter, arch: Arch) -> Self {
        let private = arch.private_numbers();
        let most = filter.rules.iter().map(|rule| rule.calls.len()).sum();
        let mut alternatives = Vec::with_capacity(most);
        let mut newest = None;
        for rule in &filter.rules {
            for syscall in &rule.calls {
                let call = syscall.call(arch);
                newest = newest.max(call.map(|call| call.number).filter(|number| !private.contains(number)));
                if rule.action == filter.default {
                    continue;
                }
                let of = |call, conditions| Alternative { call, action: rule.action, conditions, entry: rule.entry };
                // A way that is more open than the default is not opened: the profile names the multiplexer for that.
                if rule.action.strictness() > filter.default.strictness() {
                    alternatives.extend(by_multiplexer(*syscall, arch).map(|(call, only)| of(call, vec![only].into())));
                }
                alternatives.extend(call.map(|call| of(call, Cow::Borrowed(&rule.conditions))));
            }
        }
        put_in_order(&mut alternatives);
        let newer_from = newest.filter(|_| filter.answers_enosys()).map(|newest| newest + 1);
        Verdicts { alternatives, newer_from, private, unknown: arch.number_of_unknown() }
    }

    /// What is said about each number about which something is, in ascending order; none is empty.
    pub(crate) fn by_number(&self) -> impl Iterator<Item = &[Alternative<'filter>]> {
        self.alternatives.chunk_by(|one, next| one.call.number == next.call.number)
    }

    /// What is said about `number`.
    pub(crate) fn about(&self, number: u32) -> &[Alternative<'filter>] {
        let start = self.alternatives.partition_point(|one| one.call.number < number);
        let rest = &self.alternatives[start..];
        &rest[..rest.partition_point(|one| one.call.number == number)]
    }

    pub(crate) fn is_newer(&self, number: u32) -> bool {
        self.newer_from
            .is_some_and(|from| number >= from && !self.private.contains(&number) || self.unknown == Some(number))
    }
}

/// The other way to a call, which is closed whatever the call's arguments, since they are out of sight there.
fn by_multiplexer(syscall: Syscall, arch: Arch) -> Option<(Call, Condition)> {
    let (multiplexer, condition) = other_way(syscall, arch)?;
    Some((multiplexer.call(arch)?, condition))
}

/// The strictest of a number first, and of equally strict ones the one without conditions; nothing after that.
fn put_in_order(alternatives: &mut Vec<Alternative<'_>>) {
    alternatives
        .sort_by_key(|one| (one.call.number, std::cmp::Reverse(one.action.strictness()), !one.conditions.is_empty()));
    let mut decided = None;
    alternatives.retain(|one| {
        let open = decided != Some(one.call.number);
        decided = decided.filter(|_| !open).or(one.conditions.is_empty().then_some(one.call.number));
        open
    });
}
