//! Compiled program == comparisons in a row == the meaning, on real profiles and on random ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::interpret::{Shown, interpret};
use crate::model::{Condition, Flags, Operator, Rule};

/// Numbers by xorshift; a failing run names its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[(self.next() % choices.len() as u64) as usize]
    }

    /// A number near what comparisons turn at.
    fn value(&mut self) -> u64 {
        let near = self.of(&[0, 1, 7, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32, u64::MAX, 1 << 63]);
        let noise = self.next();
        self.of(&[near, near.wrapping_add(1), near.wrapping_sub(1), near | 0xdead_0000_0000_0000, noise])
    }
}

const ACTIONS: [Action; 7] = [
    Action::Allow,
    Action::Log,
    Action::Errno(1),
    Action::Errno(13),
    Action::Trap,
    Action::KillThread,
    Action::KillProcess,
];

fn operator(random: &mut Random) -> Operator {
    use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, MaskedEqual, NotEqual};
    random.of(&[NotEqual, Less, LessOrEqual, Equal, GreaterOrEqual, Greater, MaskedEqual])
}

fn filter(random: &mut Random) -> Filter {
    let calls: Vec<Syscall> = Syscall::all().collect();
    let architectures = random.of::<&[Arch]>(&[
        &[Arch::X86_64],
        &[Arch::X86_64, Arch::X86],
        &[Arch::X86_64, Arch::X86, Arch::X32],
        &[Arch::Aarch64, Arch::Arm],
        &[Arch::S390x, Arch::S390],
        &[Arch::Mips64, Arch::Mips],
    ]);
    let rules = (0..random.next() % 40).map(|entry| {
        let mut conditions: Vec<Condition> = Vec::new();
        for argument in 0..6 {
            if random.next().is_multiple_of(5) {
                let (operator, value, second) = (operator(random), random.value(), random.value());
                conditions.push(Condition { argument, operator, value, second });
            }
        }
        let calls = (0..=random.next() % 4).map(|_| random.of(&calls)).collect();
        Rule { calls, action: random.of(&ACTIONS), conditions, entry: entry as usize }
    });
    let rules = rules.collect();
    let default = random.of(&ACTIONS);
    Filter { architectures: architectures.to_vec(), default, rules, flags: Flags::default(), listener: None }
}

/// Calls that the rules are about, with arguments near their conditions' values, and others.
fn shown(random: &mut Random, filter: &Filter) -> Shown {
    let arch = random.of(&filter.architectures);
    let rule = (!filter.rules.is_empty()).then(|| &filter.rules[(random.next() % filter.rules.len() as u64) as usize]);
    let named = rule.and_then(|rule| random.of(&rule.calls).number(arch));
    let number = match (random.next() % 4, named) {
        (0..2, Some(number)) => number,
        (2, Some(number)) => number.wrapping_add(1),
        _ => random.of(&[0, 1, 56, 102, 117, 400, 470, 5000, X32_BIT, X32_BIT | 1, X32_BIT | 547, u32::MAX]),
    };
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = random.value();
    }
    for condition in rule.into_iter().flat_map(|rule| &rule.conditions) {
        let exact = random.of(&[condition.value, condition.second]);
        let noise = random.of(&[0, 0, 1, 1 << 32, 1 << 63]);
        arguments[usize::from(condition.argument)] = exact ^ noise;
    }
    let audit = random.of(&[arch.audit(), arch.audit(), arch.audit(), 0x1234]);
    Shown { number, audit, arguments: Some(arguments) }
}

fn agree(filter: &Filter, program: &[Instruction], row: &[Instruction], shown: &Shown) {
    let meaning = filter.decide(shown.audit, shown.number, &shown.arguments.unwrap());
    assert_eq!(interpret(program, shown), Some(meaning.action), "{shown:x?}\n{meaning:?}\n{filter:?}");
    assert_eq!(interpret(row, shown), Some(meaning.action), "in a row: {shown:x?}\n{meaning:?}\n{filter:?}");
}

#[test]
fn programs_say_what_filters_mean() {
    let mut decided_by_rule = 0;
    for seed in 1..=400 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (seed * 0x1234_5678_9abc));
        let filter = filter(&mut random);
        let (program, row) = (compile(&filter).unwrap(), compile_in_a_row(&filter).unwrap());
        for _ in 0..150 {
            let shown = shown(&mut random, &filter);
            agree(&filter, &program, &row, &shown);
            let reason = filter.decide(shown.audit, shown.number, &shown.arguments.unwrap()).reason;
            decided_by_rule += usize::from(matches!(reason, crate::decide::Reason::Entry(_)));
        }
    }
    assert!(decided_by_rule > 5000, "only {decided_by_rule} calls were decided by a rule");
}

fn resolved(text: &str) -> Filter {
    crate::Profile::parse(text.as_bytes()).unwrap().resolve(&crate::Target::here(&[])).unwrap()
}

fn answer_to(filter: &Filter, arch: Arch, name: &str, arguments: [u64; 6]) -> Action {
    let number = Syscall::from_name(name).unwrap().number(arch).unwrap();
    let program = compile(filter).unwrap();
    interpret(&program, &Shown { number, audit: arch.audit(), arguments: Some(arguments) }).unwrap()
}

#[test]
fn an_upper_bit_does_not_step_over_a_32_bit_comparison() {
    let filter = resolved(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}]}]}"#,
    );
    for family in [16, 16 | 1 << 32, 16 | 1 << 63] {
        assert_eq!(answer_to(&filter, Arch::X86_64, "socket", [family, 0, 0, 0, 0, 0]), Action::Errno(1), "{family:x}");
    }
    assert_eq!(answer_to(&filter, Arch::X86_64, "socket", [17, 0, 0, 0, 0, 0]), Action::Allow);
}

#[test]
fn a_denied_call_has_no_other_way_through_a_multiplexer() {
    let filter = resolved(
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [
            {"names": ["socket", "shmget"], "action": "SCMP_ACT_ERRNO"}]}"#,
    );
    assert_eq!(answer_to(&filter, Arch::X86, "socketcall", [1, 0, 0, 0, 0, 0]), Action::Errno(1));
    assert_eq!(answer_to(&filter, Arch::X86, "socketcall", [2, 0, 0, 0, 0, 0]), Action::Allow);
    assert_eq!(answer_to(&filter, Arch::X86, "ipc", [23 | 1 << 16, 0, 0, 0, 0, 0]), Action::Errno(1));
    assert_eq!(answer_to(&filter, Arch::X86, "ipc", [24, 0, 0, 0, 0, 0]), Action::Allow);
}

#[test]
fn a_call_newer_than_the_newest_named_is_not_there() {
    let filter = resolved(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read", "openat2"], "action": "SCMP_ACT_ALLOW"}]}"#,
    );
    assert_eq!(answer_to(&filter, Arch::X86_64, "openat2", [0; 6]), Action::Allow);
    assert_eq!(answer_to(&filter, Arch::X86_64, "write", [0; 6]), Action::Errno(1));
    assert_eq!(answer_to(&filter, Arch::X86_64, "faccessat2", [0; 6]), Action::Errno(38));
}

#[test]
fn a_call_of_an_architecture_that_is_not_listed_kills() {
    let filter = resolved(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#);
    for (arch, name) in [(Arch::X86, "read"), (Arch::X32, "read")] {
        assert_eq!(answer_to(&filter, arch, name, [0; 6]), Action::KillProcess, "{arch}");
    }
}

#[test]
fn unconditional_answers_do_not_look_at_arguments() {
    let filter = resolved(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read", "write", "socket"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
    );
    let compiled = crate::Compiled::new(&filter).unwrap();
    assert!(compiled.allows("read") && compiled.allows("socket"));
    assert!(!compiled.allows("clone") && !compiled.allows("reboot") && !compiled.allows("no_such_call"));
}
