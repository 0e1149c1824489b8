//! Records as the kernel writes them (`perf_event_open(2)`, "MMAP layout").

use std::io;

use rustix::io::Errno;

/// `PERF_RECORD_LOST` and `PERF_RECORD_SAMPLE`.
pub(super) const LOST: u32 = 2;
pub(super) const SAMPLE: u32 = 9;

/// `PERF_SAMPLE_REGS_ABI_32` and `_64`.
const ABI_NONE: u64 = 0;
const ABI_64: u64 = 2;

/// Which registers are told, by the bits of `enum perf_event_x86_regs`: BX, CX, DX, SI, DI, BP, SP, IP, R8, R9, R10.
#[cfg(target_arch = "x86_64")]
pub(super) const REGISTERS: u64 = 0b111_0000_0001_1111_1110;
/// Elsewhere the first argument's register has the result by then.
#[cfg(not(target_arch = "x86_64"))]
pub(super) const REGISTERS: u64 = 0;

/// A thread's registers outside of the kernel, during a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Whether the call is of the native interface, and not of that of 32-bit programs.
    pub is_native: bool,
    /// The call's arguments.
    pub arguments: [u64; 6],
    /// Where it goes on, and its stack: together with the arguments two records of the same call have the same.
    pub place: [u64; 2],
}

/// What one tracepoint told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The process, 0 or -1 if it has gone from the watcher's pid namespace.
    pub process: u32,
    /// The thread.
    pub thread: u32,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// The tracepoint's record, which its [`super::Tracepoint`] reads.
    pub raw: Vec<u8>,
    /// The registers; `None` in a thread of the kernel's.
    pub registers: Option<Registers>,
    /// The end of its stack, from the stack's address in `registers` on, as far as its pages are there; empty if it is not told.
    pub stack: Vec<u8>,
}

/// The next `N` bytes.
fn next<const N: usize>(rest: &mut &[u8]) -> io::Result<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>().ok_or(Errno::BADMSG)?;
    *rest = after;
    Ok(*taken)
}

fn word(rest: &mut &[u8]) -> io::Result<u32> {
    next(rest).map(u32::from_ne_bytes)
}

fn long(rest: &mut &[u8]) -> io::Result<u64> {
    next(rest).map(u64::from_ne_bytes)
}

/// How many records were lost.
pub(super) fn lost(mut body: &[u8]) -> io::Result<u64> {
    // The event's id comes first.
    long(&mut body)?;
    long(&mut body)
}

impl Sample {
    /// Reads the body of a record of a sample, without its header.
    pub(super) fn parse(mut rest: &[u8]) -> io::Result<Self> {
        let (process, thread) = (word(&mut rest)?, word(&mut rest)?);
        let time = long(&mut rest)?;
        let length = word(&mut rest)? as usize;
        let (raw, after) = rest.split_at_checked(length).ok_or(Errno::BADMSG)?;
        rest = after;
        let abi = long(&mut rest)?;
        let registers = if abi == ABI_NONE { None } else { Some(registers(&mut rest, abi)?) };
        let stack = if rest.is_empty() { Vec::new() } else { stack(rest)? };
        Ok(Self { process, thread, time, raw: raw.to_vec(), registers, stack })
    }
}

/// The stack: its room in the record, the room's content, and how much of that was filled, which is there if there is room.
fn stack(mut rest: &[u8]) -> io::Result<Vec<u8>> {
    let room = usize::try_from(long(&mut rest)?).unwrap_or(usize::MAX);
    if room == 0 {
        return Ok(Vec::new());
    }
    let (content, mut rest) = rest.split_at_checked(room).ok_or(Errno::BADMSG)?;
    let filled = usize::try_from(long(&mut rest)?).unwrap_or(usize::MAX);
    Ok(content.get(..filled).ok_or(Errno::BADMSG)?.to_vec())
}

/// The registers of [`REGISTERS`], in the order of their bits.
fn registers(rest: &mut &[u8], abi: u64) -> io::Result<Registers> {
    let mut all = [0; 11];
    for register in &mut all {
        *register = long(rest)?;
    }
    let [bx, cx, dx, si, di, bp, sp, ip, r8, r9, r10] = all;
    let is_native = abi == ABI_64;
    let arguments = if is_native { [di, si, dx, r10, r8, r9] } else { [bx, cx, dx, si, di, bp] };
    Ok(Registers { is_native, arguments, place: [ip, sp] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(abi: u64, registers: &[u64]) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend([7u32, 8].iter().flat_map(|word| word.to_ne_bytes()));
        body.extend(9u64.to_ne_bytes());
        body.extend(4u32.to_ne_bytes());
        body.extend(*b"abcd");
        body.extend(abi.to_ne_bytes());
        body.extend(registers.iter().flat_map(|register| register.to_ne_bytes()));
        body
    }

    #[test]
    fn a_sample_has_the_arguments_of_its_interface() {
        let registers: Vec<u64> = (1..=11).collect();
        let sample = Sample::parse(&body(ABI_64, &registers)).unwrap();
        assert_eq!((sample.process, sample.thread, sample.time, sample.raw.as_slice()), (7, 8, 9, &b"abcd"[..]));
        let native = sample.registers.unwrap();
        assert_eq!((native.arguments, native.place), ([5, 4, 3, 11, 9, 10], [8, 7]));
        let other = Sample::parse(&body(1, &registers)).unwrap().registers.unwrap();
        assert_eq!((other.is_native, other.arguments), (false, [1, 2, 3, 4, 5, 6]));
        assert_eq!(Sample::parse(&body(ABI_NONE, &[])).unwrap().registers, None);
    }

    #[test]
    fn the_stack_is_what_was_filled_of_its_room() {
        let mut whole = body(ABI_64, &[0; 11]);
        assert!(Sample::parse(&whole).unwrap().stack.is_empty());
        whole.extend(8u64.to_ne_bytes());
        whole.extend(*b"abcdefgh");
        whole.extend(5u64.to_ne_bytes());
        assert_eq!(Sample::parse(&whole).unwrap().stack, b"abcde");
        let end = whole.len() - 8;
        whole[end..].copy_from_slice(&9u64.to_ne_bytes());
        assert!(Sample::parse(&whole).is_err());
        let mut none = body(ABI_64, &[0; 11]);
        none.extend(0u64.to_ne_bytes());
        assert!(Sample::parse(&none).unwrap().stack.is_empty());
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let whole = body(ABI_64, &[0; 11]);
        for length in 0..whole.len() {
            assert!(Sample::parse(&whole[..length]).is_err(), "{length}");
        }
        assert!(lost(&[0; 15]).is_err());
    }
}
