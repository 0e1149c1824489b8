//! How long a program is, and how much of it one call can cost.

use stockade_kernel::seccomp::Instruction;

/// The size of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// How many instructions it has.
    pub instructions: usize,
    /// How many of them are run for the call that takes the most.
    pub longest: usize,
}

impl Size {
    /// The size of a program that the kernel takes: its jumps lead forward only, and within it.
    pub(crate) fn of(program: &[Instruction]) -> Self {
        let mut from = vec![0; program.len()];
        for (place, instruction) in program.iter().enumerate().rev() {
            let after = |skip: usize| from.get(place + 1 + skip).copied().unwrap_or_default();
            from[place] = 1 + match instruction.code {
                // BPF_RET with a constant, and with the accumulator.
                0x06 | 0x16 => 0,
                // BPF_JA.
                0x05 => after(instruction.constant as usize),
                jump if jump & 0x07 == 0x05 => {
                    after(instruction.if_true.into()).max(after(instruction.if_false.into()))
                }
                _ => after(0),
            };
        }
        Self { instructions: program.len(), longest: from.first().copied().unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(code: u16, if_true: u8, if_false: u8, constant: u32) -> Instruction {
        Instruction { code, if_true, if_false, constant }
    }

    #[test]
    fn the_longest_way_counts() {
        let answer = || instruction(0x06, 0, 0, 0);
        assert_eq!(Size::of(&[answer()]), Size { instructions: 1, longest: 1 });
        // One branch answers at once, the other loads first.
        let branch = [instruction(0x15, 1, 0, 7), instruction(0x20, 0, 0, 0), answer()];
        assert_eq!(Size::of(&branch), Size { instructions: 3, longest: 3 });
        let skips = [instruction(0x05, 0, 0, 1), instruction(0x20, 0, 0, 0), answer()];
        assert_eq!(Size::of(&skips), Size { instructions: 3, longest: 2 });
    }

    #[test]
    fn a_tree_is_much_shorter_than_it_is_long() {
        let filter = crate::Profile::builtin().unwrap().resolve(&crate::Target::here(&[])).unwrap();
        let size = crate::Compiled::new(&filter).unwrap().size();
        assert!(size.longest * 4 < size.instructions, "{size:?}");
    }
}
