//! From a filter to a program of classic BPF.
//!
//! One balanced tree of number comparisons per architecture, the often used calls nearer to its root. A call that is allowed
//! whatever its arguments is answered without a look at them: the kernel (5.11) finds such calls when the filter is loaded,
//! and does not run it for them at all.

mod code;
mod rule;
mod size;
pub(crate) mod verdicts;

use std::collections::BTreeMap;

use stockade_kernel::seccomp::{Instruction, MAX_INSTRUCTIONS};

use crate::architecture::Arch;
use crate::model::{Action, Filter};
use crate::syscall::{Syscall, X32_BIT};
pub(crate) use code::RETURN;
use code::{ARCHITECTURE, Code, EQUAL, GREATER_OR_EQUAL, LOAD, NUMBER, answer, branch, plain};
pub use size::Size;
use verdicts::Verdicts;

/// The program is longer than the kernel takes.
#[derive(Debug, thiserror::Error)]
#[error("the filter has {0} instructions, and the kernel takes {MAX_INSTRUCTIONS}: give fewer rules or architectures")]
pub struct TooLong(usize);

/// What programs call most, where the kernel's own shortcut does not help (a default that is not ALLOW on an old kernel, rules on
/// arguments, a logging action).
const HOT: [&str; 16] = [
    "read",
    "write",
    "futex",
    "epoll_wait",
    "epoll_pwait",
    "recvfrom",
    "sendto",
    "recvmsg",
    "sendmsg",
    "poll",
    "ppoll",
    "close",
    "openat",
    "newfstatat",
    "mmap",
    "clock_nanosleep",
];

/// How much nearer to the root a hot call is: as if it were this many.
const HEAT: usize = 16;

/// The program that makes the decisions of [`Filter::decide`].
///
/// # Errors
/// [`TooLong`].
pub fn compile(filter: &Filter) -> Result<Vec<Instruction>, TooLong> {
    assemble(filter, tree)
}

/// The same decisions, one comparison after the other: what the tests compare with.
#[cfg(test)]
pub(crate) fn compile_in_a_row(filter: &Filter) -> Result<Vec<Instruction>, TooLong> {
    assemble(filter, |ranges| {
        let (first, rest) = ranges.split_first().expect("there is one range at least");
        let add = |before, range: &Range| branch(GREATER_OR_EQUAL, range.from, range.code.clone(), before);
        rest.iter().fold(first.code.clone(), add)
    })
}

/// A range of numbers, up to where the next one begins.
struct Range {
    from: u32,
    /// What happens there.
    code: Code,
    /// How often it is looked for.
    weight: usize,
}

fn assemble(filter: &Filter, search: impl Fn(&[Range]) -> Code) -> Result<Vec<Instruction>, TooLong> {
    let native = filter.architectures[0];
    let mut program = answer(Action::KillProcess);
    for arch in filter.architectures.iter().rev().filter(|arch| **arch != Arch::X32 && runs_on(**arch, native)) {
        let of = |arch| search(&ranges(filter, arch));
        let mut code = vec![plain(LOAD, NUMBER)];
        code.extend(match *arch {
            Arch::X86_64 if filter.architectures.contains(&Arch::X32) => {
                branch(GREATER_OR_EQUAL, X32_BIT, of(Arch::X32), of(Arch::X86_64))
            }
            Arch::X86_64 => branch(GREATER_OR_EQUAL, X32_BIT, not_x32(filter), of(Arch::X86_64)),
            other => of(other),
        });
        program = branch(EQUAL, arch.audit(), code, program);
    }
    program.insert(0, plain(LOAD, ARCHITECTURE));
    if program.len() > MAX_INSTRUCTIONS { Err(TooLong(program.len())) } else { Ok(program) }
}

/// Whether a kernel for `native` runs programs of `arch`: calls of others never happen.
fn runs_on(arch: Arch, native: Arch) -> bool {
    const FAMILIES: [&[Arch]; 8] = [
        &[Arch::X86_64, Arch::X86, Arch::X32],
        &[Arch::Aarch64, Arch::Arm],
        &[Arch::S390x, Arch::S390],
        &[Arch::Ppc64, Arch::Ppc64le, Arch::Ppc],
        &[Arch::Mips64, Arch::Mips, Arch::Mips64n32],
        &[Arch::Mipsel64, Arch::Mipsel, Arch::Mipsel64n32],
        &[Arch::Riscv64],
        &[Arch::Loongarch64],
    ];
    FAMILIES.iter().any(|family| family.contains(&arch) && family.contains(&native))
}

/// Numbers with the bit of x32 where x32 is not in the filter: -1, which is no call of any, is answered like a number of x86-64.
fn not_x32(filter: &Filter) -> Code {
    let last = if Verdicts::of(filter, Arch::X86_64).newer_from.is_some() {
        Action::Errno(verdicts::enosys(Arch::X86_64))
    } else {
        filter.default
    };
    branch(EQUAL, u32::MAX, answer(last), answer(Action::KillProcess))
}

fn ranges(filter: &Filter, arch: Arch) -> Vec<Range> {
    let verdicts = Verdicts::of(filter, arch);
    let mut starts = BTreeMap::from([(0, answer(filter.default))]);
    for (number, named) in &verdicts.calls {
        starts.insert(*number, rule::alternatives(named, arch, filter.default));
        starts.insert(number + 1, answer(filter.default));
    }
    if let Some(from) = verdicts.newer_from {
        let newer = answer(Action::Errno(verdicts::enosys(arch)));
        if let Some(unknown) = verdicts.unknown {
            starts.entry(unknown + 1).or_insert_with(|| answer(filter.default));
            starts.insert(unknown, newer.clone());
        }
        if !verdicts.private.contains(&from) {
            starts.insert(from, newer.clone());
        }
        if !verdicts.private.is_empty() {
            starts.entry(verdicts.private.start).or_insert_with(|| answer(filter.default));
            starts.insert(verdicts.private.end, newer);
        }
    }
    let mut ranges: Vec<(u32, Code)> = starts.into_iter().collect();
    ranges.dedup_by(|next, before| next.1 == before.1);
    let hot = hot(arch);
    let ends: Vec<u32> = ranges.iter().skip(1).map(|next| next.0).chain([u32::MAX]).collect();
    let weigh = |((from, code), end): ((u32, Code), u32)| {
        let inside = hot.iter().filter(|number| (from..end).contains(number)).count();
        Range { from, code, weight: 1 + HEAT * inside }
    };
    ranges.into_iter().zip(ends).map(weigh).collect()
}

fn hot(arch: Arch) -> Vec<u32> {
    HOT.iter().filter_map(|name| Syscall::from_name(name)?.number(arch)).collect()
}

/// A search tree whose halves weigh the same.
fn tree(ranges: &[Range]) -> Code {
    let [first, rest @ ..] = ranges else { return Code::new() };
    if rest.is_empty() {
        return first.code.clone();
    }
    let total: usize = ranges.iter().map(|range| range.weight).sum();
    let (mut before, mut split, mut best) = (0, 1, usize::MAX);
    for index in 1..ranges.len() {
        before += ranges[index - 1].weight;
        let difference = total.abs_diff(2 * before);
        if difference < best {
            (split, best) = (index, difference);
        }
    }
    let (left, right) = ranges.split_at(split);
    branch(GREATER_OR_EQUAL, right[0].from, tree(right), tree(left))
}

#[cfg(test)]
mod tests;
