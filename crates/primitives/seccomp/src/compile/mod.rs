//! From a filter to a program of classic BPF.
//!
//! One balanced tree of number comparisons per architecture, the often used calls nearer to its root; its leaves are
//! few, for all that have the same answer share it as far as jumps reach. A call that is allowed
//! whatever its arguments is answered without a look at them: the kernel (5.11) finds such calls when the filter is loaded,
//! and does not run it for them at all.

mod code;
mod rule;
mod size;
pub(crate) mod verdicts;

use stockade_kernel::seccomp::{Instruction, MAX_INSTRUCTIONS};

use crate::architecture::Arch;
use crate::model::{Action, Filter};
use crate::syscall::{Syscall, X32_BIT};
pub(crate) use code::RETURN;
use code::{AND, ARCHITECTURE, Backwards, EQUAL, GREATER_OR_EQUAL, LOAD, NUMBER, Place, plain};
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
    assemble(filter, |program, ranges| {
        let (first, rest) = ranges.all.split_first().expect("there is one range at least");
        // Each test leads to its range, and else to those before it.
        let tests: Vec<_> = rest.iter().rev().map(|range| (range.from, put(program, range.code))).collect();
        let first = put(program, first.code);
        // Those with the lowest numbers are looked for last.
        tests.into_iter().rev().fold(first, |no, (from, yes)| program.test(GREATER_OR_EQUAL, from, yes, no))
    })
}

/// A range of numbers, up to where the next one begins.
struct Range<'a> {
    from: u32,
    /// What happens there.
    code: &'a rule::Code,
    /// How often numbers before it are looked for.
    before: usize,
}

/// The ranges of all numbers.
struct Ranges<'a> {
    all: Vec<Range<'a>>,
    /// How often any number is looked for.
    weight: usize,
}

fn assemble(
    filter: &Filter,
    search: impl Fn(&mut Backwards, &Ranges<'_>) -> Place,
) -> Result<Vec<Instruction>, TooLong> {
    let native = filter.architectures[0];
    let mut program = Backwards::new();
    let mut tests = Vec::new();
    for arch in filter.architectures.iter().filter(|arch| **arch != Arch::X32 && runs_on(**arch, native)) {
        let own = starts(filter, *arch);
        let tree = search(&mut program, &Ranges::weighed(&own, *arch));
        let x32 = match *arch {
            Arch::X86_64 if filter.architectures.contains(&Arch::X32) => {
                program.lead_to(tree);
                let same = program.push(plain(AND, !X32_BIT));
                let only = unlike(&starts(filter, Arch::X32), &own, same);
                Some(search(&mut program, &Ranges::weighed(&only, Arch::X32)))
            }
            Arch::X86_64 => Some(not_x32(filter, &mut program)),
            _ => None,
        };
        let first = x32.map_or(tree, |x32| program.test(GREATER_OR_EQUAL, X32_BIT, x32, tree));
        program.lead_to(first);
        tests.push((arch.audit(), program.push(plain(LOAD, NUMBER))));
    }
    let other = program.answer(Action::KillProcess);
    let first = tests.into_iter().rev().fold(other, |no, (audit, yes)| program.test(EQUAL, audit, yes, no));
    program.lead_to(first);
    program.push(plain(LOAD, ARCHITECTURE));
    let program = program.finish();
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
fn not_x32(filter: &Filter, program: &mut Backwards) -> Place {
    let last = if Verdicts::of(filter, Arch::X86_64).newer_from.is_some() {
        Action::Errno(verdicts::enosys(Arch::X86_64))
    } else {
        filter.default
    };
    let (yes, no) = (program.answer(last), program.answer(Action::KillProcess));
    program.test(EQUAL, u32::MAX, yes, no)
}

/// Where which code begins, in ascending order.
struct Starts(Vec<(u32, rule::Code)>);

impl Starts {
    /// From `number` on there is `code`.
    fn insert(&mut self, number: u32, code: rule::Code) {
        // Most come in their order.
        if self.0.last().is_some_and(|last| last.0 < number) {
            return self.0.push((number, code));
        }
        match self.0.binary_search_by_key(&number, |start| start.0) {
            Ok(index) => self.0[index].1 = code,
            Err(index) => self.0.insert(index, (number, code)),
        }
    }

    /// The same unless something begins there.
    fn insert_if_none(&mut self, number: u32, code: rule::Code) {
        if let Err(index) = self.0.binary_search_by_key(&number, |start| start.0) {
            self.0.insert(index, (number, code));
        }
    }
}

/// Where which code begins for the numbers of `arch`; no two neighbours are the same.
fn starts(filter: &Filter, arch: Arch) -> Vec<(u32, rule::Code)> {
    let verdicts = Verdicts::of(filter, arch);
    let default = rule::Code::Answer(filter.default);
    let mut starts = Starts(vec![(0, default.clone())]);
    for all in verdicts.by_number() {
        let number = all[0].call.number;
        starts.insert(number, rule::alternatives(all, arch, filter.default));
        starts.insert(number + 1, default.clone());
    }
    if let Some(from) = verdicts.newer_from {
        let newer = rule::Code::Answer(Action::Errno(verdicts::enosys(arch)));
        if let Some(unknown) = verdicts.unknown {
            starts.insert_if_none(unknown + 1, default.clone());
            starts.insert(unknown, newer.clone());
        }
        if !verdicts.private.contains(&from) {
            starts.insert(from, newer.clone());
        }
        if !verdicts.private.is_empty() {
            starts.insert_if_none(verdicts.private.start, default);
            starts.insert(verdicts.private.end, newer);
        }
    }
    let Starts(mut starts) = starts;
    starts.dedup_by(|next, before| next.1 == before.1);
    starts
}

/// The same for x32, where numbers that are answered like those of x86-64 without their bit lead to `same`, which takes that bit away: most
/// are, and a program that does not say it twice is loaded faster.
fn unlike(x32: &[(u32, rule::Code)], x86_64: &[(u32, rule::Code)], same: Place) -> Vec<(u32, rule::Code)> {
    let (mut theirs, mut ours) = (x32.iter().peekable(), x86_64.iter().peekable());
    let (mut their, mut our) = (None, None);
    let mut starts: Vec<(u32, rule::Code)> = Vec::with_capacity(x32.len());
    loop {
        // Where the next one of either begins; what lies below that bit is not asked for.
        let bounds = (theirs.peek().map(|start| start.0.max(X32_BIT)), ours.peek().map(|start| start.0 | X32_BIT));
        let from = match bounds {
            (Some(one), Some(other)) => one.min(other),
            (one, other) => match one.or(other) {
                Some(last) => last,
                None => return starts,
            },
        };
        while let Some((_, code)) = theirs.next_if(|start| start.0.max(X32_BIT) == from) {
            their = Some(code);
        }
        while let Some((_, code)) = ours.next_if(|start| start.0 | X32_BIT == from) {
            our = Some(code);
        }
        let shared = rule::Code::There(same);
        let Some(code) = (if their == our { Some(&shared) } else { their }) else { continue };
        if starts.last().is_none_or(|last| last.1 != *code) {
            starts.push((from, code.clone()));
        }
    }
}

impl<'a> Ranges<'a> {
    /// How often each of `starts` is looked for by programs for `arch`.
    fn weighed(starts: &'a [(u32, rule::Code)], arch: Arch) -> Self {
        let hot = hot(arch);
        let below = |number| hot.partition_point(|hot| *hot < number);
        let weigh = |(index, (from, code)): (usize, &'a (u32, rule::Code))| Range {
            from: *from,
            code,
            before: index + HEAT * below(*from),
        };
        let weight = starts.len() + HEAT * hot.len();
        Self { all: starts.iter().enumerate().map(weigh).collect(), weight }
    }
}

/// The numbers of [`HOT`], in ascending order.
fn hot(arch: Arch) -> Vec<u32> {
    let mut hot: Vec<u32> = HOT.iter().filter_map(|name| Syscall::from_name(name)?.number(arch)).collect();
    hot.sort_unstable();
    hot
}

/// Writes what happens in a range, if it is not there.
fn put(program: &mut Backwards, code: &rule::Code) -> Place {
    match code {
        rule::Code::Answer(action) => program.answer(*action),
        rule::Code::Look(code) => program.extend(code),
        rule::Code::There(place) => *place,
    }
}

/// Writes a search tree whose halves weigh the same.
fn tree(program: &mut Backwards, ranges: &Ranges<'_>) -> Place {
    halves(program, &ranges.all, ranges.weight)
}

/// The same for some of them, of which there is one at least; `end` is how often numbers before their end are looked for.
fn halves(program: &mut Backwards, ranges: &[Range<'_>], end: usize) -> Place {
    let (first, rest) = (&ranges[0], &ranges[1..]);
    if rest.is_empty() {
        return put(program, first.code);
    }
    // Twice the weight to the left of a split is to be near that of all.
    let away = |range: &Range| (first.before + end).abs_diff(2 * range.before);
    let middle = rest.partition_point(|range| 2 * range.before < first.before + end);
    let split = match middle {
        0 => 0,
        past if past == rest.len() || away(&rest[past - 1]) <= away(&rest[past]) => past - 1,
        near => near,
    };
    let (left, right) = ranges.split_at(split + 1);
    let yes = halves(program, right, end);
    let no = halves(program, left, right[0].before);
    program.test(GREATER_OR_EQUAL, right[0].from, yes, no)
}

#[cfg(test)]
mod tests;
