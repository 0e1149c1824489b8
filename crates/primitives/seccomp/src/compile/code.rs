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

/// How many instructions a conditional jump can pass over. An unconditional one reaches all of them.
const REACH: usize = u8::MAX as usize;

/// A piece of a program, by how many instructions are written when its first one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(usize);

/// A program that is written from its end, so that it is known how far a jump has to reach. No way through a piece of it ends at its
/// end.
#[derive(Debug)]
pub(crate) struct Backwards {
    written: Vec<Instruction>,
    /// Where each action was answered last.
    answers: Vec<(Action, Place)>,
}

impl Backwards {
    /// With room for a filter of the usual size.
    pub(crate) fn new() -> Self {
        Self { written: Vec::with_capacity(1024), answers: Vec::with_capacity(4) }
    }

    /// Writes `instruction` before what is written.
    pub(crate) fn push(&mut self, instruction: Instruction) -> Place {
        self.written.push(instruction);
        Place(self.written.len())
    }

    /// Writes `piece`, whose jumps lead within it, before what is written; its answers are those that are there.
    pub(crate) fn extend(&mut self, piece: &[Instruction]) -> Place {
        // Of those written so far, the next one first.
        let mut places: Vec<Place> = Vec::with_capacity(piece.len());
        for instruction in piece.iter().rev() {
            let after = |skip: u8| places[places.len() - 1 - usize::from(skip)];
            let place = match instruction.code {
                RETURN => self.answer(Action::from_code(instruction.constant)),
                LOAD | AND => {
                    self.lead_to(after(0));
                    self.push(*instruction)
                }
                test => {
                    let (yes, no) = (after(instruction.if_true), after(instruction.if_false));
                    self.test(test, instruction.constant, yes, no)
                }
            };
            places.push(place);
        }
        places.last().copied().unwrap_or(Place(self.written.len()))
    }

    /// Where `action` is answered: many ways lead to the same few answers, and a short program is loaded faster.
    pub(crate) fn answer(&mut self, action: Action) -> Place {
        let known = self.answers.iter().position(|(known, _)| *known == action);
        match known {
            Some(index) if self.passes_over(self.answers[index].1) <= REACH => self.answers[index].1,
            _ => {
                let place = self.push(answer(action));
                match known {
                    Some(index) => self.answers[index].1 = place,
                    None => self.answers.push((action, place)),
                }
                place
            }
        }
    }

    /// Writes a test that leads to `yes` if it holds, and else to `no`.
    pub(crate) fn test(&mut self, test: u16, constant: u32, yes: Place, no: Place) -> Place {
        // One more instruction may be written for the second.
        let yes = self.within(yes, REACH - 1);
        let no = self.within(no, REACH);
        let (if_true, if_false) = (self.passes_over(yes) as u8, self.passes_over(no) as u8);
        self.push(Instruction { code: test, if_true, if_false, constant })
    }

    /// Makes `place` what is met next.
    pub(crate) fn lead_to(&mut self, place: Place) {
        self.within(place, 0);
    }

    /// How many instructions a jump written next passes over.
    fn passes_over(&self, place: Place) -> usize {
        self.written.len() - place.0
    }

    /// `place`, or, if that is farther than `reach`, an instruction that leads there.
    fn within(&mut self, place: Place, reach: usize) -> Place {
        let passed = self.passes_over(place);
        if passed <= reach {
            return place;
        }
        let first = self.written[place.0 - 1];
        let there = if first.code == RETURN { first } else { plain(GO, passed as u32) };
        let copy = self.push(there);
        if let Some(known) = self.answers.iter_mut().find(|(_, known)| *known == place) {
            known.1 = copy;
        }
        copy
    }

    /// The program, from its beginning.
    pub(crate) fn finish(mut self) -> Vec<Instruction> {
        self.written.reverse();
        self.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a jump at the beginning of `program` leads to, for `holds`.
    fn led(program: &[Instruction], holds: bool) -> Instruction {
        let first = program[0];
        let at = 1 + usize::from(if holds { first.if_true } else { first.if_false });
        let there = program[at];
        if there.code == GO { program[at + 1 + there.constant as usize] } else { there }
    }

    #[test]
    fn jumps_lead_where_they_are_to_however_far_that_is() {
        for between in [0, 1, 252, 253, 254, 255, 256, 300] {
            for code in [LOAD, RETURN] {
                let mut program = Backwards::new();
                program.push(plain(RETURN, 1));
                let yes = program.push(plain(code, 2));
                let no = program.push(plain(code, 3));
                for _ in 0..between {
                    program.push(plain(RETURN, 4));
                }
                program.test(EQUAL, 7, yes, no);
                let program = program.finish();
                assert_eq!((led(&program, true), led(&program, false)), (plain(code, 2), plain(code, 3)), "{between}");
            }
        }
    }

    #[test]
    fn an_answer_is_written_again_where_no_jump_reaches_it() {
        let mut program = Backwards::new();
        let first = program.answer(Action::Allow);
        assert_eq!((program.answer(Action::Allow), program.answer(Action::Errno(1))), (first, Place(2)));
        for _ in 0..REACH - 1 {
            program.push(plain(LOAD, 0));
        }
        assert_eq!(program.answer(Action::Allow), first);
        program.push(plain(LOAD, 0));
        let again = program.answer(Action::Allow);
        assert!(again != first && program.answer(Action::Allow) == again);
        program.lead_to(first);
        assert_eq!(program.finish()[0], answer(Action::Allow));
    }
}
