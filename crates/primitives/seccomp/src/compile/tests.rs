//! Compiled program == comparisons in a row == the meaning, on real profiles and on random ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use super::*;
use crate::decide::Reason;
use crate::interpret::{Shown, interpret};
use crate::model::Operator;
use crate::random::{Random, filter};

/// Calls that the rules are about, with arguments near their conditions' values, and others.
fn shown(random: &mut Random, filter: &Filter) -> Shown {
    let arch = random.of(&filter.architectures);
    let rule = (!filter.rules.is_empty()).then(|| &filter.rules[(random.next() % filter.rules.len() as u64) as usize]);
    let named = rule.and_then(|rule| random.of(&rule.calls).number(arch));
    let number = match (random.next() % 4, named) {
        (0..2, Some(number)) => number,
        (2, Some(number)) => number.wrapping_add(1),
        _ => random.of(&[
            0,
            0,
            1,
            56,
            102,
            117,
            400,
            470,
            5000,
            0xf_0003,
            0x10_0000,
            X32_BIT,
            X32_BIT | 1,
            X32_BIT | 547,
            u32::MAX,
        ]),
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

/// What the random calls have tried.
#[derive(Default)]
struct Tried {
    rules: usize,
    conditional: usize,
    architectures: BTreeSet<Arch>,
    actions: BTreeSet<u32>,
    /// Operator, width, whether it held, whether the register had bits that the kernel does not read.
    conditions: BTreeSet<(&'static str, u32, bool, bool)>,
}

impl Tried {
    fn note(&mut self, filter: &Filter, shown: &Shown) {
        let arguments = shown.arguments.unwrap();
        let decision = filter.decide(shown.audit, shown.number, &arguments);
        let Some(arch) = Arch::from_audit(shown.audit, shown.number) else { return };
        if let Reason::Entry(entry) = decision.reason {
            self.rules += 1;
            self.conditional += usize::from(!filter.rules[entry].conditions.is_empty());
            self.architectures.insert(arch);
            self.actions.insert(decision.action.code() & 0xffff_0000);
        }
        let about = |rule: &&crate::model::Rule| rule.calls.iter().any(|call| call.number(arch) == Some(shown.number));
        let Some(call) = Syscall::from_number(arch, shown.number).and_then(|syscall| syscall.call(arch)) else {
            return;
        };
        for condition in filter.rules.iter().filter(about).flat_map(|rule| &rule.conditions) {
            let width = call.width(condition.argument);
            let beyond = arguments[usize::from(condition.argument)] > crate::model::greatest(width);
            self.conditions.insert((condition.operator.oci_name(), width, condition.holds(call, &arguments), beyond));
        }
    }

    /// Whether all was tried that can go wrong.
    fn suffices(&self) {
        assert!(self.rules > 5000 && self.conditional > 1000, "{} rules, {} conditional", self.rules, self.conditional);
        assert!(self.architectures.len() >= 9, "{:?}", self.architectures);
        assert_eq!(self.actions.len(), 8, "{:x?}", self.actions);
        for (operator, width) in Operator::all().flat_map(|operator| [(operator, 32), (operator, 64)]) {
            for holds in [false, true] {
                for beyond in if width == 64 { &[false][..] } else { &[false, true] } {
                    let one = (operator.oci_name(), width, holds, *beyond);
                    assert!(self.conditions.contains(&one), "{one:?} was not tried");
                }
            }
        }
    }
}

#[test]
fn programs_say_what_filters_mean() {
    let mut tried = Tried::default();
    for seed in 1..=400 {
        let mut random = Random::new(seed);
        let filter = filter(&mut random);
        let (program, row) = (compile(&filter).unwrap(), compile_in_a_row(&filter).unwrap());
        for _ in 0..150 {
            let shown = shown(&mut random, &filter);
            agree(&filter, &program, &row, &shown);
            tried.note(&filter, &shown);
        }
    }
    tried.suffices();
}

/// How many instructions run before `shown` is answered.
fn steps(program: &[Instruction], shown: &Shown) -> usize {
    (0..=program.len()).find(|most| crate::interpret::interpret_at_most(program, shown, *most).is_some()).unwrap()
}

#[test]
fn the_tree_is_balanced_and_hot_calls_are_near_its_root() {
    let target = crate::Target { architecture: Arch::X86_64, kernel: (6, 18), capabilities: &[] };
    let filter = crate::Profile::builtin().unwrap().resolve(&target).unwrap();
    let program = compile(&filter).unwrap();
    let arguments = Some([0; 6]);
    let cost = |number| steps(&program, &Shown { number, audit: Arch::X86_64.audit(), arguments });
    let all: Vec<usize> = (0..480).map(cost).collect();
    let hot: Vec<usize> = hot(Arch::X86_64).into_iter().map(cost).collect();
    let average = |costs: &[usize]| costs.iter().sum::<usize>() as f64 / costs.len() as f64;
    // In a row it would be more than a hundred.
    assert!(all.iter().all(|cost| *cost <= 24), "{all:?}");
    assert!(average(&all) < 13.0, "{}", average(&all));
    assert!(average(&hot) + 1.5 < average(&all), "hot {} all {}", average(&hot), average(&all));
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

/// Every number that any architecture has a call for, and what is around them: that x32 shares the ways of x86-64, and alternatives a look
/// at an argument, changes no answer.
#[test]
fn the_default_profile_is_the_same_for_every_number() {
    let target = crate::Target { architecture: Arch::X86_64, kernel: (6, 18), capabilities: &[] };
    let filter = crate::Profile::builtin().unwrap().resolve(&target).unwrap();
    let (program, row) = (compile(&filter).unwrap(), compile_in_a_row(&filter).unwrap());
    let values = [0, 1, 8, 37, 38, 39, 40, 41, 0x2_0000, 0x2_0008, 0x0800_0000, u64::from(u32::MAX), 1 << 32, u64::MAX];
    let ends = [0x7fff_ffff, 0x8000_0000, 0xbfff_ffff, 0xc000_0000, 0xc000_0001, u32::MAX];
    let numbers = (0..600).flat_map(|number| [number, number | X32_BIT]).chain(ends);
    let mut looked = BTreeSet::new();
    for (number, arch) in numbers.flat_map(|number| [(number, Arch::X86_64), (number, Arch::X86)]) {
        let shown = |value| Shown { number, audit: arch.audit(), arguments: Some([value; 6]) };
        if interpret(&program, &Shown { arguments: None, ..shown(0) }).is_some() {
            agree(&filter, &program, &row, &shown(0));
            continue;
        }
        looked.insert((arch, number));
        values.iter().for_each(|value| agree(&filter, &program, &row, &shown(*value)));
    }
    // clone, personality and socket, three times.
    assert_eq!(looked.len(), 9, "{looked:x?}");
}

#[test]
fn x32_shares_the_ways_of_x86_64() {
    let of = |architectures: &str| {
        let text = format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "architectures": [{architectures}], "syscalls": [
                {{"names": ["read", "openat2", "getpid", "getppid", "ptrace"], "action": "SCMP_ACT_ALLOW"}},
                {{"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}}]}},
                {{"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}}]}}]}}"#
        );
        compile(&resolved(&text)).unwrap()
    };
    let (both, native) = (of(r#""SCMP_ARCH_X86_64", "SCMP_ARCH_X32""#), of(r#""SCMP_ARCH_X86_64""#));
    let count = |program: &[Instruction], code: u16| program.iter().filter(|one| one.code == code).count();
    assert_eq!((count(&both, AND), count(&native, AND)), (1, 0));
    // ptrace has a number of its own there.
    assert!(both.len() < native.len() + 10, "{} and {}", both.len(), native.len());
    // Two alternatives, one look; the others are the architecture and the number.
    assert_eq!(count(&native, code::LOAD), 3);
    let both_answers: BTreeSet<u32> = both.iter().filter(|one| one.code == RETURN).map(|one| one.constant).collect();
    assert_eq!(count(&both, RETURN), both_answers.len());
}
