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

/// A piece of a program; every way through it ends with a return or at its end.
pub(crate) type Code = Vec<Instruction>;

pub(crate) fn plain(code: u16, constant: u32) -> Instruction {
    Instruction { code, if_true: 0, if_false: 0, constant }
}

pub(crate) fn answer(action: Action) -> Code {
    vec![plain(RETURN, action.code())]
}

/// `yes` where `test` with `constant` holds, `no` where it does not. Neither may end at its end.
pub(crate) fn branch(test: u16, constant: u32, yes: Code, no: Code) -> Code {
    let mut code = match u8::try_from(no.len()) {
        Ok(if_true) => vec![Instruction { code: test, if_true, if_false: 0, constant }],
        // A conditional jump reaches 255 instructions, an unconditional one all of them.
        Err(_) => {
            vec![Instruction { code: test, if_true: 0, if_false: 1, constant }, plain(GO, no.len() as u32)]
        }
    };
    code.extend(no);
    code.extend(yes);
    code
}
