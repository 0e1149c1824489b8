//! Instructions of classic BPF, as far as filters need them, and how pieces of them are put together.

use stockade_kernel::seccomp::Instruction;

use crate::model::Action;

pub(crate) const LOAD: u16 = 0x20;
pub(crate) const AND: u16 = 0x54;
pub(crate) const GO: u16 = 0x05;
pub(crate) const EQUAL: u16 = 0x15;
pub(crate) const GREATER: u16 = 0x25;
pub(crate) const GREATER_OR_EQUAL: u16 = 0x35;
pub(crate) const RETURN: u16 = 0x06;

/// Where `struct seccomp_data` has the number, the architecture, and the first argument.
pub(crate) const NUMBER: u32 = 0;
pub(crate) const ARCHITECTURE: u32 = 4;
pub(crate) const ARGUMENTS: u32 = 16;

pub(crate) fn plain(code: u16, constant: u32) -> Instruction {
    Instruction { code, if_true: 0, if_false: 0, constant }
}

pub(crate) fn answer(action: Action) -> Instruction {
    plain(RETURN, action.code())
}

/// A program that is written from its end, so that it is known how far a jump has to reach. Every way through a piece of it ends with a
/// return or at its end.
#[derive(Debug)]
pub(crate) struct Backwards(Vec<Instruction>);

impl Backwards {
    /// With room for a filter of the usual size.
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(1024))
    }

    /// How much is written.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes `instruction` before what is written.
    pub(crate) fn push(&mut self, instruction: Instruction) {
        self.0.push(instruction);
    }

    /// The same with `piece`, as a whole.
    pub(crate) fn extend(&mut self, piece: &[Instruction]) {
        self.0.extend(piece.iter().rev());
    }

    /// Writes a test before two pieces: what was written since there were `behind` instructions is where it leads if it does not hold,
    /// and what is behind that if it holds. The first may not end at its end.
    pub(crate) fn test(&mut self, test: u16, constant: u32, behind: usize) {
        let skipped = self.0.len() - behind;
        if let Ok(if_true) = u8::try_from(skipped) {
            self.push(Instruction { code: test, if_true, if_false: 0, constant });
        } else {
            // A conditional jump reaches 255 instructions, an unconditional one all of them.
            self.push(plain(GO, skipped as u32));
            self.push(Instruction { code: test, if_true: 0, if_false: 1, constant });
        }
    }

    /// The program, from its beginning.
    pub(crate) fn finish(mut self) -> Vec<Instruction> {
        self.0.reverse();
        self.0
    }
}
