//! Device rules as an eBPF program for cgroup v2.
//!
//! The program walks the rules from the last to the first with the set of accesses (r, w, m) not decided yet. A rule
//! about the device that denies one of them ends with "no"; one that allows takes its accesses out of the set, and ends
//! with "yes" when none is left. Numbers are compared at 32 bits, the width of the kernel's context.

use stockade_kernel::bpf::Instruction;

use crate::model::{DeviceKind, DeviceRule, DeviceRules};

/// The verdict.
const VERDICT: u8 = 0;
/// The context on entry.
const CONTEXT: u8 = 1;
/// The type of device.
const KIND: u8 = 2;
/// The accesses not decided yet.
const LEFT: u8 = 3;
/// The major number.
const MAJOR: u8 = 4;
/// The minor number.
const MINOR: u8 = 5;

/// `r = *(u32 *)(r + offset)`.
const LOAD_WORD: u8 = 0x61;
/// `r = r`.
const MOVE: u8 = 0xbf;
/// `r = constant`.
const SET: u8 = 0xb7;
/// 32-bit `r &= constant`.
const AND: u8 = 0x54;
/// 32-bit `r >>= constant`.
const SHIFT_RIGHT: u8 = 0x74;
/// Jump if the lower 32 bits differ from the constant (Linux 5.1).
const JUMP_UNLESS_EQUAL: u8 = 0x56;
/// Jump if the lower 32 bits and the constant have a bit in common.
const JUMP_IF_COMMON: u8 = 0x46;
/// Jump.
const JUMP: u8 = 0x05;
/// End with the verdict.
const EXIT: u8 = 0x95;

/// One instruction.
fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: from << 4 | to, offset, immediate }
}

/// The program for `rules`.
#[must_use]
pub(crate) fn compile(rules: &DeviceRules) -> Vec<Instruction> {
    let mut program = vec![
        instruction(SET, VERDICT, 0, 0, 0),
        instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
        instruction(MOVE, LEFT, KIND, 0, 0),
        instruction(SHIFT_RIGHT, LEFT, 0, 0, 16),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    // Rules before one about everything decide nothing.
    let rules = rules.rules();
    let start = rules.iter().rposition(DeviceRule::is_total).unwrap_or(0);
    for rule in rules[start..].iter().rev() {
        add_rule(&mut program, rule);
    }
    program.push(instruction(EXIT, 0, 0, 0, 0));
    program
}

/// Adds one rule: the conditions, each jumping behind it, then its effect.
fn add_rule(program: &mut Vec<Instruction>, rule: &DeviceRule) {
    let kind = match rule.kind {
        DeviceKind::All => None,
        DeviceKind::Block => Some(1),
        DeviceKind::Character => Some(2),
    };
    let access = i32::from(rule.access.bits());
    let effect = match rule.allow {
        true => [
            instruction(AND, LEFT, 0, 0, !access & 0xffff),
            instruction(JUMP_UNLESS_EQUAL, LEFT, 0, 2, 0),
            instruction(SET, VERDICT, 0, 0, 1),
            instruction(EXIT, 0, 0, 0, 0),
        ]
        .to_vec(),
        false => [
            instruction(JUMP_IF_COMMON, LEFT, 0, 1, access),
            instruction(JUMP, 0, 0, 1, 0),
            instruction(EXIT, 0, 0, 0, 0),
        ]
        .to_vec(),
    };
    let conditions: Vec<(u8, u32)> = [(KIND, kind), (MAJOR, rule.major), (MINOR, rule.minor)]
        .into_iter()
        .filter_map(|(register, number)| Some((register, number?)))
        .collect();
    for (index, (register, number)) in conditions.iter().enumerate() {
        // At most two conditions and four instructions follow.
        let behind = (conditions.len() - index - 1 + effect.len()) as i16;
        program.push(instruction(JUMP_UNLESS_EQUAL, *register, 0, behind, number.cast_signed()));
    }
    program.extend(effect);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Access;
    use proptest::prelude::*;

    fn run(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> u64 {
        crate::device_filter::run(program, [access << 16 | kind, major, minor]).unwrap()
    }

    fn rule() -> impl Strategy<Value = DeviceRule> {
        let kind = prop_oneof![Just(DeviceKind::All), Just(DeviceKind::Block), Just(DeviceKind::Character)];
        (any::<bool>(), kind, prop::option::of(0..3u32), prop::option::of(0..3u32), 1..8u16).prop_map(
            |(allow, kind, major, minor, access)| DeviceRule {
                allow,
                kind,
                major,
                minor,
                access: Access::from_bits_truncate(access),
            },
        )
    }

    proptest! {
        #[test]
        fn the_program_is_the_reference(
            rules in prop::collection::vec(rule(), 0..12), block in any::<bool>(),
            major in 0..4u32, minor in 0..4u32, access in 1..8u16,
        ) {
            let rules = DeviceRules::new(rules).unwrap();
            let (kind, number) = if block { (DeviceKind::Block, 1) } else { (DeviceKind::Character, 2) };
            let wanted = rules.allows(kind, major, minor, Access::from_bits_truncate(access));
            prop_assert_eq!(run(&compile(&rules), number, access.into(), major, minor), u64::from(wanted));
        }
    }

    #[test]
    fn no_rules_deny_all() {
        assert_eq!(run(&compile(&DeviceRules::default()), 2, 7, 1, 3), 0);
    }
}
