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
    let (mut at, mut accumulator) = (0usize, 0u32);
    for _ in 0..most {
        let instruction = program.get(at)?;
        let constant = instruction.constant;
        let test = |holds: bool| usize::from(if holds { instruction.if_true } else { instruction.if_false });
        at += 1 + match instruction.code {
            0x20 => {
                accumulator = shown.word(constant)?;
                0
            }
            0x54 => {
                accumulator &= constant;
                0
            }
            0x05 => constant as usize,
            0x15 => test(accumulator == constant),
            0x25 => test(accumulator > constant),
            0x35 => test(accumulator >= constant),
            0x06 => return Some(Action::from_code(constant)),
            _ => return None,
        };
    }
    None
}
