//! Running a program as the kernel does, and as its shortcut for constant answers does.

use stockade_kernel::seccomp::Instruction;

use crate::model::Action;

/// What a filter is shown of a call (`struct seccomp_data`). The instruction pointer reads as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The call's number.
    pub number: u32,
    /// The architecture, as the kernel reports it.
    pub audit: u32,
    /// The arguments; `None` if they may be anything.
    pub arguments: Option<[u64; 6]>,
}

impl Shown {
    /// The word at `offset`; `None` if it is an argument that may be anything, or outside.
    fn word(&self, offset: u32) -> Option<u32> {
        match offset {
            0 => Some(self.number),
            4 => Some(self.audit),
            8 | 12 => Some(0),
            16..=60 if offset.is_multiple_of(4) => {
                let argument = self.arguments?[(offset as usize - 16) / 8];
                let first = offset.is_multiple_of(8);
                let low = first != crate::architecture::is_big_endian(self.audit);
                Some(if low { argument as u32 } else { (argument >> 32) as u32 })
            }
            _ => None,
        }
    }
}

/// What `program` answers; `None` if that depends on arguments that may be anything, or the program is not one that the
/// kernel would take.
#[must_use]
pub fn interpret(program: &[Instruction], shown: &Shown) -> Option<Action> {
    // Jumps lead forwards only, so that no instruction runs twice.
    interpret_at_most(program, shown, program.len())
}

/// The same, `None` too if more than `most` instructions would run.
pub(crate) fn interpret_at_most(program: &[Instruction], shown: &Shown, most: usize) -> Option<Action> {
    let mut machine = Machine::default();
    let mut at = 0usize;
    for _ in 0..most {
        let instruction = program.get(at)?;
        at += 1;
        match machine.step(instruction, shown)? {
            Next::Skip(count) => at = at.checked_add(count)?,
            Next::Return(value) => return Some(Action::from_code(value)),
        }
    }
    None
}

/// The registers and the memory of classic BPF.
#[derive(Default)]
struct Machine {
    accumulator: u32,
    index: u32,
    memory: [u32; 16],
}

/// What follows an instruction.
enum Next {
    /// The one so many behind the next.
    Skip(usize),
    /// The end, with this value.
    Return(u32),
}

/// The size of `struct seccomp_data`, which is what a filter sees as the length.
const LENGTH: u32 = 64;

impl Machine {
    /// One instruction of those that the kernel takes in a filter (`seccomp_check_filter` of kernel/seccomp.c).
    fn step(&mut self, instruction: &Instruction, shown: &Shown) -> Option<Next> {
        let constant = instruction.constant;
        let cell = constant as usize;
        match instruction.code {
            0x20 => self.accumulator = shown.word(constant)?,
            0x80 => self.accumulator = LENGTH,
            0x81 => self.index = LENGTH,
            0x00 => self.accumulator = constant,
            0x01 => self.index = constant,
            0x60 => self.accumulator = *self.memory.get(cell)?,
            0x61 => self.index = *self.memory.get(cell)?,
            0x02 => *self.memory.get_mut(cell)? = self.accumulator,
            0x03 => *self.memory.get_mut(cell)? = self.index,
            0x07 => self.index = self.accumulator,
            0x87 => self.accumulator = self.index,
            0x06 => return Some(Next::Return(constant)),
            0x16 => return Some(Next::Return(self.accumulator)),
            0x05 => return Some(Next::Skip(cell)),
            code => {
                let operand = if code & 0x08 == 0 { constant } else { self.index };
                return match code & 0x07 {
                    // By 0 the kernel ends the program with 0.
                    4 if matches!(code & 0xf0, 0x30 | 0x90) && operand == 0 => Some(Next::Return(0)),
                    4 => self.calculate(code, operand).map(|()| Next::Skip(0)),
                    5 => {
                        let holds = self.compare(code, operand)?;
                        let count = if holds { instruction.if_true } else { instruction.if_false };
                        Some(Next::Skip(usize::from(count)))
                    }
                    _ => None,
                };
            }
        }
        Some(Next::Skip(0))
    }

    /// Arithmetic.
    fn calculate(&mut self, code: u16, operand: u32) -> Option<()> {
        let now = self.accumulator;
        self.accumulator = match code & 0xf0 {
            0x00 => now.wrapping_add(operand),
            0x10 => now.wrapping_sub(operand),
            0x20 => now.wrapping_mul(operand),
            0x30 => now.checked_div(operand)?,
            0x40 => now | operand,
            0x50 => now & operand,
            0x60 => now.checked_shl(operand).unwrap_or(0),
            0x70 => now.checked_shr(operand).unwrap_or(0),
            0x80 => now.wrapping_neg(),
            0xa0 => now ^ operand,
            _ => return None,
        };
        Some(())
    }

    /// Conditions of jumps.
    fn compare(&self, code: u16, operand: u32) -> Option<bool> {
        Some(match code & 0xf0 {
            0x10 => self.accumulator == operand,
            0x20 => self.accumulator > operand,
            0x30 => self.accumulator >= operand,
            0x40 => self.accumulator & operand != 0,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(program: &[(u16, u8, u8, u32)]) -> Option<Action> {
        let program: Vec<Instruction> = program
            .iter()
            .map(|&(code, if_true, if_false, constant)| Instruction { code, if_true, if_false, constant })
            .collect();
        interpret(&program, &Shown { number: 7, audit: 0xc000_003e, arguments: Some([0x1_0000_0002; 6]) })
    }

    const ALLOW: u32 = 0x7fff_0000;
    const DENY: u32 = 0x0005_0001;

    #[test]
    fn every_instruction_that_a_filter_can_have() {
        let allow = (0x06, 0, 0, ALLOW);
        let deny = (0x06, 0, 0, DENY);
        // A bit in common, as libseccomp and others use it.
        assert_eq!(run(&[(0x20, 0, 0, 0), (0x45, 0, 1, 4), allow, deny]), Some(Action::Allow));
        // The upper half of the first argument, kept in memory and brought back.
        let memory =
            [(0x20, 0, 0, 20), (0x02, 0, 0, 3), (0x00, 0, 0, 9), (0x60, 0, 0, 3), (0x15, 0, 1, 1), allow, deny];
        assert_eq!(run(&memory), Some(Action::Allow));
        // Arithmetic with the index register, and the accumulator as the answer.
        let sum = [(0x00, 0, 0, ALLOW - 5), (0x01, 0, 0, 5), (0x0c, 0, 0, 0), (0x16, 0, 0, 0)];
        assert_eq!(run(&sum), Some(Action::Allow));
        let compared = [(0x80, 0, 0, 0), (0x81, 0, 0, 0), (0x1d, 0, 1, 0), allow, deny];
        assert_eq!(run(&compared), Some(Action::Allow));
        assert_eq!(run(&[(0x00, 0, 0, 6), (0x34, 0, 0, 0), allow]), Some(Action::KillThread));
        assert_eq!(run(&[(0x00, 0, 0, 1), (0x64, 0, 0, 40), (0x15, 0, 1, 0), allow, deny]), Some(Action::Allow));
    }

    #[test]
    fn what_the_kernel_would_not_take_is_no_answer() {
        assert_eq!(run(&[(0x28, 0, 0, 0)]), None);
        assert_eq!(run(&[(0x60, 0, 0, 16)]), None);
        assert_eq!(run(&[(0x05, 0, 0, u32::MAX)]), None);
        assert_eq!(run(&[]), None);
    }
}
