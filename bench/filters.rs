//! Filters that are there, of whichever compiler: how long the way through them is, what loading them costs, and what a call under
//! them costs.

use std::time::Instant;

use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use stockade_kernel::sched::{Personality, set_personality};
use stockade_kernel::seccomp::{FilterFlags, Instruction, set_mode_filter};
use stockade_seccomp::architecture::Arch;

use super::{Result, summary};

/// The highest number of a call that is looked at, above all that there are.
const LAST_CALL: u32 = 600;
/// How many calls are timed together.
const BATCH: u32 = 1000;

/// Reads a file of instructions, eight bytes each, in this machine's order.
fn read(path: &str) -> Result<Vec<Instruction>> {
    let bytes = std::fs::read(path)?;
    let (whole, rest) = bytes.as_chunks::<8>();
    if whole.is_empty() || !rest.is_empty() {
        return Err(format!("{path} is no file of instructions").into());
    }
    let one = |bytes: &[u8; 8]| Instruction {
        code: u16::from_ne_bytes([bytes[0], bytes[1]]),
        if_true: bytes[2],
        if_false: bytes[3],
        constant: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    };
    Ok(whole.iter().map(one).collect())
}

/// The number of instructions, and the most conditional jumps that a call of this machine's own architecture meets, whatever its
/// arguments are.
pub(super) fn path(file: &str) -> Result<String> {
    let program = read(file)?;
    let jumps = (0..=LAST_CALL).map(|number| Way { program: &program, number }.longest(0, None));
    let most = jumps.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
    let most = most.ok_or("an instruction is none that a compiler of filters is known to use")?;
    Ok(format!("instructions {} jumps {most}", program.len()))
}

/// The way of one call.
struct Way<'a> {
    program: &'a [Instruction],
    number: u32,
}

impl Way<'_> {
    /// The most jumps from `at` on; `accumulator` is `None` if it depends on arguments. Jumps lead forwards only.
    fn longest(&self, mut at: usize, mut accumulator: Option<u32>) -> Option<u32> {
        loop {
            let instruction = self.program.get(at)?;
            let (code, constant) = (instruction.code, instruction.constant);
            at += 1;
            match code {
                0x20 => {
                    accumulator = match constant {
                        0 => Some(self.number),
                        4 => Some(Arch::NATIVE.audit()),
                        _ => None,
                    }
                }
                0x54 => accumulator = accumulator.map(|value| value & constant),
                0x05 => at = at.checked_add(constant as usize)?,
                0x06 => return Some(0),
                0x15 | 0x25 | 0x35 | 0x45 => {
                    let ways = [at + usize::from(instruction.if_true), at + usize::from(instruction.if_false)];
                    let holds = accumulator.map(|value| match code {
                        0x15 => value == constant,
                        0x25 => value > constant,
                        0x35 => value >= constant,
                        _ => value & constant != 0,
                    });
                    let rest = match holds {
                        Some(holds) => self.longest(ways[usize::from(!holds)], accumulator)?,
                        None => self.longest(ways[0], accumulator)?.max(self.longest(ways[1], accumulator)?),
                    };
                    return Some(1 + rest);
                }
                _ => return None,
            }
        }
    }
}

/// What it takes to load the filter, each time in a thread of its own, for it never goes away.
pub(super) fn load(file: &str, times: &str) -> Result<String> {
    let program = read(file)?;
    each(times, || {
        let start = Instant::now();
        set_mode_filter(FilterFlags::SPEC_ALLOW, &program)?;
        Ok(start.elapsed().as_nanos())
    })
}

/// What one call takes under the filter: one whose argument it looks at, or one that it denies.
pub(super) fn call(file: &str, which: &str, times: &str) -> Result<String> {
    let program = read(file)?;
    // `set_personality` calls twice.
    let (act, calls): (fn() -> std::io::Result<()>, u32) = match which {
        "checked" => (|| set_personality(Personality::Linux), 2),
        "denied" => (denied, 1),
        _ => return Err("there are checked and denied calls".into()),
    };
    each(times, || {
        set_mode_filter(FilterFlags::SPEC_ALLOW, &program)?;
        let start = Instant::now();
        for _ in 0..BATCH {
            act()?;
        }
        Ok(start.elapsed().as_nanos() / u128::from(BATCH * calls))
    })
}

/// A call that no profile lets a container make, about nothing; it must fail by the filter.
fn denied() -> std::io::Result<()> {
    match rustix::mount::unmount("/nonexistent/stockade-bench", UnmountFlags::empty()) {
        Err(Errno::PERM) => Ok(()),
        other => Err(std::io::Error::other(format!("the filter let umount2 through: {other:?}"))),
    }
}

/// Has `work` done in so many threads, one after the other; the fewest and the median of what they return.
fn each(times: &str, work: impl Fn() -> std::io::Result<u128> + Sync) -> Result<String> {
    let mut took = Vec::new();
    for _ in 0..times.parse::<usize>()?.max(1) {
        let one = std::thread::scope(|scope| scope.spawn(&work).join());
        took.push(one.map_err(|_panic| "a thread panicked")??);
    }
    Ok(summary(took))
}
