//! Which calls the kernel is still to tell.
//!
//! The filter of a tracepoint cannot be changed, so that there are a few of the same, of which one is on ([`stockade_kernel::perf::Watch::replace`]).

use std::collections::{BTreeMap, BTreeSet};

use stockade_seccomp::architecture::Arch;
use stockade_seccomp::syscall::Syscall;

use super::calls::{is_plain, waits};
use super::facts::{Phase, Seen};

/// After how many records the first stage ends that leaves something out, in the start and after it; each further one has eight times as many.
/// To write a record takes about as long as a short call does, so that what a program feels of being recorded is these.
const MANY: u64 = 2_000;
/// The most calls that are left out: the kernel bounds the length of a filter.
const MOST_LEFT_OUT: usize = 80;
/// How many stages there are.
pub(super) const STAGES: usize = 5;

/// The stages. One leaves out what those before have shown often; the first one after the start begins with all again, because it is not known
/// of what was left out whether it goes on.
#[derive(Debug, Default)]
pub(super) struct Stages {
    now: usize,
    of: Option<Phase>,
    /// How many left something out since the start, or its end.
    cuts: u32,
    /// How often each call was told.
    counts: BTreeMap<u32, u64>,
    /// How many were told in this stage.
    told: u64,
    left_out: BTreeSet<u32>,
}

/// The end of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The number of the one that ends.
    pub(super) before: usize,
    /// That of the one that begins.
    pub(super) next: usize,
    /// Its condition.
    pub(super) filter: String,
}

impl Stages {
    /// Counts a call.
    pub(super) fn count(&mut self, number: u32) {
        self.told += 1;
        *self.counts.entry(number).or_default() += 1;
    }

    /// The next stage, if it is time for one.
    pub(super) fn next(&mut self, seen: &Seen, phase: Phase) -> Option<Step> {
        let began = *self.of.get_or_insert(phase);
        let all_again = began != phase && !self.left_out.is_empty();
        // Those behind the first are for what runs for long.
        let most = if phase == Phase::Startup { 1 } else { STAGES - 1 };
        let many = MANY << (3 * self.cuts);
        if self.now >= most || !all_again && self.told < many {
            return None;
        }
        self.told = 0;
        self.of = Some(phase);
        let left_out = if all_again { Vec::new() } else { self.often(seen, phase) };
        if !all_again && left_out.len() <= self.left_out.len() {
            return None;
        }
        self.cuts = if all_again { 0 } else { self.cuts + 1 };
        self.left_out = left_out.iter().copied().collect();
        // The most frequent are refused first.
        let filter: Vec<String> = left_out.iter().map(|number| format!("id != {number}")).collect();
        let before = self.now;
        self.now += 1;
        Some(Step { before, next: self.now, filter: filter.join(" && ") })
    }

    /// The calls of which nothing more can be learned, beginning with the most frequent.
    fn often(&self, seen: &Seen, phase: Phase) -> Vec<u32> {
        let is_known = |number: &u32| {
            let name = Syscall::from_number(Arch::NATIVE, *number).map_or("", Syscall::name);
            let done = |call: &super::facts::Call| match phase {
                Phase::Startup => !waits(name),
                Phase::Steady => call.steady,
            };
            is_plain(name) && seen.calls.get(name).is_some_and(done)
        };
        let mut often: Vec<(u64, u32)> = self.counts.iter().map(|(number, count)| (*count, *number)).collect();
        often.sort_unstable_by(|first, second| second.cmp(first));
        often.into_iter().map(|(_, number)| number).filter(is_known).take(MOST_LEFT_OUT).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::facts::Call;

    const READ: u32 = 0;
    const POLL: u32 = 7;
    const SOCKET: u32 = 41;

    fn seen(startup: bool, steady: bool) -> Seen {
        let call = |name: &str| (name.to_owned(), Call { startup, steady, ..Call::default() });
        Seen { calls: ["read", "poll", "socket"].map(call).into(), ..Seen::default() }
    }

    fn tell(stages: &mut Stages, numbers: &[u32], count: u64) {
        (0..count).for_each(|_| numbers.iter().for_each(|number| stages.count(*number)));
    }

    #[test]
    fn what_is_known_is_left_out_once_it_was_told_often() {
        let mut stages = Stages::default();
        tell(&mut stages, &[READ, SOCKET], MANY / 2 - 1);
        assert_eq!(stages.next(&seen(false, true), Phase::Steady), None);
        tell(&mut stages, &[READ, SOCKET], 1);
        let step = stages.next(&seen(false, true), Phase::Steady).unwrap();
        // What arguments tell apart is always told.
        assert_eq!((step.before, step.next, step.filter.as_str()), (0, 1, "id != 0"));
        tell(&mut stages, &[SOCKET], MANY * 8);
        assert_eq!(stages.next(&seen(false, true), Phase::Steady), None);
        tell(&mut stages, &[POLL], MANY * 8);
        assert_eq!(stages.next(&seen(false, true), Phase::Steady).unwrap().filter, "id != 7 && id != 0");
    }

    #[test]
    fn after_the_start_all_is_told_again() {
        let mut stages = Stages::default();
        tell(&mut stages, &[READ, POLL], MANY);
        // The end of the start has to be told.
        assert_eq!(stages.next(&seen(true, false), Phase::Startup).unwrap().filter, "id != 0");
        tell(&mut stages, &[SOCKET], MANY * 100);
        assert_eq!(stages.next(&seen(true, false), Phase::Startup), None);
        assert_eq!(stages.next(&seen(true, false), Phase::Steady).unwrap().filter, "");
        tell(&mut stages, &[READ], MANY);
        // Not seen afterwards, so that it is not known yet.
        assert_eq!(stages.next(&seen(true, false), Phase::Steady), None);
        tell(&mut stages, &[READ], MANY);
        // As soon as at the beginning.
        assert_eq!(stages.next(&seen(true, true), Phase::Steady).unwrap().filter, "id != 0 && id != 7");
    }
}
