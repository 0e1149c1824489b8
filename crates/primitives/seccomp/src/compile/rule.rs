//! The alternatives of one call, which look at its arguments.

use stockade_kernel::seccomp::Instruction;

use super::code::{AND, ARGUMENTS, EQUAL, GREATER, GREATER_OR_EQUAL, LOAD, Place, RETURN, answer, plain};
use super::verdicts::Alternative;
use crate::architecture::Arch;
use crate::model::{Action, Condition, Operator, at_width, greatest};

/// Where a test leads.
#[derive(Clone, Copy)]
enum To {
    /// To the next instruction.
    Next,
    /// Behind this condition, which holds.
    Holds,
    /// To the next alternative.
    Fails,
}

enum Step {
    Load(u32),
    And(u32),
    Test { code: u16, constant: u32, yes: To, no: To },
}

/// A condition as instructions, unless the width of the argument decides it.
enum Shape {
    Always,
    Never,
    Steps(Vec<Step>),
}

/// What happens at a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// This, whatever the arguments.
    Answer(Action),
    /// What these instructions find; no way through them ends at their end.
    Look(Vec<Instruction>),
    /// What is written there.
    There(Place),
}

/// All alternatives of a number in their order, then the default.
pub(super) fn alternatives(all: &[Alternative<'_>], arch: Arch, default: Action) -> Code {
    let mut code = Vec::new();
    let mut last = default;
    let mut loaded = None;
    for one in all {
        if one.conditions.is_empty() {
            last = one.action;
            break;
        }
        if let Some(next) = alternative(one, arch, loaded) {
            code.extend(next.code);
            loaded = next.loaded;
        }
    }
    if code.is_empty() {
        return Code::Answer(last);
    }
    code.push(answer(last));
    Code::Look(code)
}

/// One alternative as instructions, at whose end the next one begins.
struct Piece {
    code: Vec<Instruction>,
    /// The word that is in the accumulator wherever it failed, if that is known.
    loaded: Option<u32>,
}

/// One alternative, where the word `loaded` is in the accumulator; nothing if it can never match.
fn alternative(one: &Alternative<'_>, arch: Arch, loaded: Option<u32>) -> Option<Piece> {
    let mut steps: Vec<(Step, usize)> = Vec::new();
    for condition in one.conditions.iter() {
        match shape(condition, one.call.width(condition.argument), arch) {
            Shape::Always => {}
            Shape::Never => return None,
            Shape::Steps(mut these) => {
                if steps.is_empty() && loaded.is_some_and(|word| matches!(these[0], Step::Load(first) if first == word))
                {
                    these.remove(0);
                }
                let end = steps.len() + these.len();
                steps.extend(these.into_iter().map(|step| (step, end)));
            }
        }
    }
    let loaded = held(steps.iter().map(|(step, _)| step), loaded);
    let end = steps.len() + 1;
    let place = |(index, (step, holds)): (usize, (Step, usize))| {
        let target = |to| match to {
            To::Next => 0,
            To::Holds => holds - index - 1,
            To::Fails => end - index - 1,
        };
        match step {
            Step::Load(offset) => plain(LOAD, offset),
            Step::And(mask) => plain(AND, mask),
            // Six conditions of at most seven instructions each.
            Step::Test { code, constant, yes, no } => {
                Instruction { code, if_true: target(yes) as u8, if_false: target(no) as u8, constant }
            }
        }
    };
    let mut code: Vec<Instruction> = steps.into_iter().enumerate().map(place).collect();
    code.push(plain(RETURN, one.action.code()));
    Some(Piece { code, loaded })
}

/// What is in the accumulator after any of the tests of `steps`, if it is the same word after all of them, and was `before` at first.
fn held<'a>(steps: impl Iterator<Item = &'a Step>, before: Option<u32>) -> Option<u32> {
    let (mut now, mut at_tests) = (before, Vec::new());
    for step in steps {
        match step {
            Step::Load(word) => now = Some(*word),
            Step::And(_) => now = None,
            Step::Test { .. } => at_tests.push(now),
        }
    }
    let first = *at_tests.first()?;
    first.filter(|_| at_tests.iter().all(|one| *one == first))
}

fn shape(condition: &Condition, width: u32, arch: Arch) -> Shape {
    let at = ARGUMENTS + 8 * u32::from(condition.argument);
    let (low, high) = if arch.big_endian() { (at + 4, at) } else { (at, at + 4) };
    let masked = condition.operator == Operator::MaskedEqual;
    let value = at_width(if masked { condition.second } else { condition.value }, width);
    let mask = greatest(width) & if masked { condition.value } else { u64::MAX };
    let (value_high, value_low) = ((value >> 32) as u32, value as u32);
    if width < 64 && value > greatest(width) {
        return beyond(condition.operator);
    }
    let mut steps = Vec::new();
    let load = |steps: &mut Vec<Step>, offset, mask: u32| {
        steps.push(Step::Load(offset));
        if mask != u32::MAX {
            steps.push(Step::And(mask));
        }
    };
    let test = |code, constant, yes, no| Step::Test { code, constant, yes, no };
    if width == 64 {
        load(&mut steps, high, (mask >> 32) as u32);
        match condition.operator {
            Operator::Equal | Operator::MaskedEqual => steps.push(test(EQUAL, value_high, To::Next, To::Fails)),
            Operator::NotEqual => steps.push(test(EQUAL, value_high, To::Next, To::Holds)),
            Operator::Greater | Operator::GreaterOrEqual => {
                steps.push(test(GREATER, value_high, To::Holds, To::Next));
                steps.push(test(EQUAL, value_high, To::Next, To::Fails));
            }
            Operator::Less | Operator::LessOrEqual => {
                steps.push(test(GREATER, value_high, To::Fails, To::Next));
                steps.push(test(EQUAL, value_high, To::Next, To::Holds));
            }
        }
    }
    load(&mut steps, low, mask as u32);
    steps.push(match condition.operator {
        Operator::Equal | Operator::MaskedEqual => test(EQUAL, value_low, To::Next, To::Fails),
        Operator::NotEqual => test(EQUAL, value_low, To::Fails, To::Next),
        Operator::Greater => test(GREATER, value_low, To::Next, To::Fails),
        Operator::GreaterOrEqual => test(GREATER_OR_EQUAL, value_low, To::Next, To::Fails),
        Operator::Less => test(GREATER_OR_EQUAL, value_low, To::Fails, To::Next),
        Operator::LessOrEqual => test(GREATER, value_low, To::Fails, To::Next),
    });
    Shape::Steps(steps)
}

/// A comparison with a value greater than any that the argument can have.
fn beyond(operator: Operator) -> Shape {
    match operator {
        Operator::NotEqual | Operator::Less | Operator::LessOrEqual => Shape::Always,
        Operator::Equal | Operator::GreaterOrEqual | Operator::Greater | Operator::MaskedEqual => Shape::Never,
    }
}
