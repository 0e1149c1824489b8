//! Random filters for the tests.

use crate::architecture::Arch;
use crate::model::{Action, Condition, Filter, Flags, Listener, Operator, Rule};
use crate::syscall::Syscall;

/// Numbers by xorshift; a failing run names its seed.
pub(crate) struct Random(u64);

impl Random {
    /// The generator of one run.
    pub(crate) fn new(seed: u64) -> Self {
        Self(0x9e37_79b9_7f4a_7c15 ^ (seed * 0x1234_5678_9abc))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[(self.next() % choices.len() as u64) as usize]
    }

    /// A number near what comparisons turn at.
    pub(crate) fn value(&mut self) -> u64 {
        let near = self.of(&[0, 1, 7, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32, u64::MAX, 1 << 63]);
        let noise = self.next();
        self.of(&[near, near.wrapping_add(1), near.wrapping_sub(1), near | 0xdead_0000_0000_0000, noise])
    }
}

const ACTIONS: [Action; 9] = [
    Action::Allow,
    Action::Log,
    Action::Errno(1),
    Action::Errno(13),
    Action::Trap,
    Action::Trace(7),
    Action::Notify,
    Action::KillThread,
    Action::KillProcess,
];

fn operator(random: &mut Random) -> Operator {
    random.of(&Operator::all().collect::<Vec<_>>())
}

/// A filter of all that a filter can be made of.
pub(crate) fn filter(random: &mut Random) -> Filter {
    let calls: Vec<Syscall> = Syscall::all().collect();
    let architectures = random.of::<&[Arch]>(&[
        &[Arch::X86_64],
        &[Arch::X86_64, Arch::X86],
        &[Arch::X86_64, Arch::X86, Arch::X32],
        &[Arch::Aarch64, Arch::Arm],
        &[Arch::S390x, Arch::S390],
        &[Arch::Ppc64le],
        &[Arch::Mips64, Arch::Mips],
    ]);
    let rules = (0..random.next() % 40).map(|entry| {
        let mut conditions: Vec<Condition> = Vec::new();
        for argument in 0..6 {
            if random.next().is_multiple_of(5) {
                let (operator, value, second) = (operator(random), random.value(), random.value());
                let second = if operator == Operator::MaskedEqual { second } else { 0 };
                conditions.push(Condition { argument, operator, value, second });
            }
        }
        let calls = (0..=random.next() % 4).map(|_| random.of(&calls)).collect();
        Rule { calls, action: random.of(&ACTIONS), conditions, entry: entry as usize }
    });
    let rules: Vec<Rule> = rules.collect();
    let default = loop {
        let default = random.of(&ACTIONS);
        if default != Action::Notify {
            break default;
        }
    };
    let notifies = rules.iter().any(|rule| rule.action == Action::Notify);
    let listener =
        notifies.then(|| Listener { path: "/run/agent".to_owned(), metadata: random.of(&["", "m"]).to_owned() });
    let flags = Flags::from_bits_truncate(random.next() as u8);
    Filter { architectures: architectures.to_vec(), default, rules, flags, listener }
}
