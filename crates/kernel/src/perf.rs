//! What given processes do, told by the kernel's tracepoints into memory that is shared with it (`perf_event_open(2)`).
//!
//! [`Watch`] is a set of tracepoints for chosen threads and, from then on, for all their children. Nobody is stopped or slowed down but
//! by the writing of a record, and only what the filter of a tracepoint lets through is written. It works where processors tell all
//! arguments of a system call after it (x86-64).

mod record;
mod ring;
mod tracepoint;

pub use record::{Registers, Sample};
pub use tracepoint::Tracepoint;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

use crate::sys::check;
use ring::Ring;

/// `PERF_TYPE_TRACEPOINT`.
const TYPE_TRACEPOINT: u32 = 2;
/// `PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_RAW | PERF_SAMPLE_REGS_USER`, in whose order a record has them.
const SAMPLE: u64 = 0x2 | 0x4 | 0x400 | 0x1000;
/// `PERF_SAMPLE_STACK_USER`, which comes last.
const SAMPLE_STACK: u64 = 0x2000;
/// `disabled`, `inherit`, `use_clockid`.
const DISABLED: u64 = 1;
const INHERIT: u64 = 1 << 1;
const ENABLE_ON_EXEC: u64 = 1 << 12;
const USE_CLOCK: u64 = 1 << 25;
/// `PERF_FLAG_FD_CLOEXEC`.
const CLOSE_ON_EXEC: libc::c_ulong = 8;
/// `PERF_EVENT_IOC_ENABLE`, `_SET_OUTPUT` and `_SET_FILTER`: `_IO('$', 0)`, `_IO('$', 5)`, `_IOW('$', 6, char *)`.
const ENABLE: libc::c_ulong = 0x2400;
const SET_OUTPUT: libc::c_ulong = 0x2405;
const SET_FILTER: libc::c_ulong = 0x4008_2406;

/// `struct perf_event_attr` of Linux 4.1 (`PERF_ATTR_SIZE_VER5`).
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    period: u64,
    sample: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    breakpoint: u32,
    config1: u64,
    config2: u64,
    branches: u64,
    registers: u64,
    stack: u32,
    clock: i32,
    interrupt_registers: u64,
    auxiliary: u32,
    most_stack: u16,
    reserved: u16,
}

/// From when on a thread is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// From now on.
    Now,
    /// From its next `execve(2)` on: nothing before it is told.
    Exec,
}

/// A tracepoint with what is to be told of it.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// Which.
    pub tracepoint: &'a Tracepoint,
    /// The condition that its records must meet, in the language of `Documentation/trace/events.rst`.
    pub filter: &'a str,
    /// Whether the thread's stack is told.
    pub stack: Stack,
}

/// Whether a thread's stack is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Its end, 16 KiB at most, copied while the thread stands there: what a program was called with is in it, if it is a small one.
    Told,
    /// It is not.
    Untold,
}

/// How much of a stack is told.
const MOST_STACK: u32 = 16 << 10;

/// Tracepoints of chosen threads and of all that these make.
#[derive(Debug)]
pub struct Watch {
    points: Vec<(u64, CString, Stack)>,
    /// One for each processor.
    rings: Vec<Ring>,
    events: Vec<OwnedFd>,
}

impl Watch {
    /// For records of `points`. Nobody is watched yet.
    ///
    /// # Errors
    /// `ENOTSUP` on other processors than x86-64.
    pub fn new(points: &[Point<'_>]) -> io::Result<Self> {
        if record::REGISTERS == 0 {
            return Err(Errno::NOTSUP.into());
        }
        let filter = |text: &str| CString::new(text).map_err(io::Error::other);
        let points = points.iter().map(|point| Ok((point.tracepoint.id(), filter(point.filter)?, point.stack)));
        Ok(Self { points: points.collect::<io::Result<_>>()?, rings: Vec::new(), events: Vec::new() })
    }

    /// Watches the thread `tid`, and all that it makes.
    ///
    /// # Errors
    /// As `perf_event_open(2)`: `ESRCH` if there is no such thread (any more), `EACCES` or `EPERM` without CAP_PERFMON, `EINVAL` for a filter
    /// that means nothing. Those that were watched before still are.
    pub fn add(&mut self, tid: i32, from: From) -> io::Result<()> {
        let processors = processors()?;
        let mut opened = Vec::new();
        for (place, &processor) in processors.iter().enumerate() {
            for (config, filter, stack) in &self.points {
                let event = open(*config, *stack, tid, processor, from)?;
                // SAFETY: the text is terminated and outlives the call, which reads it only.
                check(unsafe { libc::ioctl(event.as_raw_fd(), SET_FILTER, filter.as_ptr()) })?;
                match self.rings.get(place) {
                    // SAFETY: both descriptors are events of this process; nothing but numbers is given.
                    Some(ring) => drop(check(unsafe { libc::ioctl(event.as_raw_fd(), SET_OUTPUT, ring.fd()) })?),
                    None => {
                        self.rings.push(Ring::map(event)?);
                        continue;
                    }
                }
                opened.push(event);
            }
        }
        if from == From::Now {
            for event in opened.iter().map(AsRawFd::as_raw_fd).chain(self.rings.iter().map(Ring::fd)) {
                // SAFETY: an event of this process; nothing but a number is given.
                check(unsafe { libc::ioctl(event, ENABLE, 0) })?;
            }
        }
        self.events.extend(opened);
        Ok(())
    }

    /// Takes the records that are there, each processor's in its order; `lost` grows by those for which there was no room.
    ///
    /// # Errors
    /// `EBADMSG` for a record that makes no sense.
    pub fn take(&mut self, lost: &mut u64) -> io::Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for ring in &mut self.rings {
            ring.take(|kind, body| match kind {
                record::SAMPLE => Sample::parse(body).map(|sample| samples.push(sample)),
                record::LOST => record::lost(body).map(|count| *lost += count),
                _ => Ok(()),
            })?;
        }
        Ok(samples)
    }

    /// What becomes readable when there are records (`poll(2)`), and hung up when all that were watched have ended.
    pub fn descriptors(&self) -> impl Iterator<Item = rustix::fd::BorrowedFd<'_>> {
        self.rings.iter().map(Ring::descriptor)
    }
}

/// The processors that are on, by number.
fn processors() -> io::Result<Vec<i32>> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    let malformed = || io::Error::from(Errno::BADMSG);
    let mut all = Vec::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<i32>().map_err(|_wrong| malformed());
        all.extend(number(first)?..=number(last)?);
    }
    if all.is_empty() { Err(malformed()) } else { Ok(all) }
}

/// One tracepoint for one thread on one processor.
fn open(config: u64, stack: Stack, tid: i32, processor: i32, from: From) -> io::Result<OwnedFd> {
    let (with_stack, most_stack) = if stack == Stack::Told { (SAMPLE_STACK, MOST_STACK) } else { (0, 0) };
    let on_exec = if from == From::Exec { ENABLE_ON_EXEC } else { 0 };
    let mut attributes = Attributes {
        kind: TYPE_TRACEPOINT,
        size: size_of::<Attributes>() as u32,
        config,
        period: 1,
        sample: SAMPLE | with_stack,
        stack: most_stack,
        flags: DISABLED | INHERIT | USE_CLOCK | on_exec,
        wakeup: 1,
        registers: record::REGISTERS,
        clock: libc::CLOCK_MONOTONIC,
        ..Attributes::default()
    };
    let pointer = std::ptr::from_mut(&mut attributes);
    // SAFETY: the pointer is to a live structure of the size that it says, of which the kernel writes the size at most.
    let result = unsafe { libc::syscall(libc::SYS_perf_event_open, pointer, tid, processor, -1, CLOSE_ON_EXEC) };
    let fd = RawFd::try_from(check(result)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us and nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// `None` where the kernel does not let this process watch.
    fn watch(filter: &str) -> Option<Watch> {
        let found = Tracepoint::find("raw_syscalls", "sys_exit");
        let watched =
            |tracepoint: Tracepoint| Watch::new(&[Point { tracepoint: &tracepoint, filter, stack: Stack::Told }]);
        match found.and_then(watched) {
            Ok(watch) => Some(watch),
            Err(error) => {
                eprintln!("skipped: {error}");
                None
            }
        }
    }

    #[test]
    fn a_call_of_a_child_of_a_watched_process_is_told_with_its_arguments() {
        // openat of a name that is not there, by a child of the process that is watched.
        let Some(mut watch) = watch("ret == -2 && id == 257") else { return };
        let mut child = Command::new("/bin/sh")
            .args(["-c", "read go; (cat /there/is/nothing/like/that; true)"])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        watch.add(child.id().cast_signed(), From::Now).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        let mut lost = 0;
        let samples = watch.take(&mut lost).unwrap();
        assert_eq!(lost, 0);
        let own = child.id();
        let other: Vec<&Sample> = samples.iter().filter(|sample| sample.process != own).collect();
        assert!(!other.is_empty(), "{samples:?}");
        for sample in &other {
            let registers = sample.registers.as_ref().unwrap();
            // AT_FDCWD, at the width that the kernel uses of it.
            assert_eq!(registers.arguments[0] as u32, 0xffff_ff9c, "{sample:?}");
            assert!(registers.is_native);
            // What it was called with is on its stack.
            let said = sample.stack.windows(24).any(|bytes| bytes == b"/there/is/nothing/like/t");
            assert!(said, "{} bytes", sample.stack.len());
        }
        assert!(watch.take(&mut lost).unwrap().is_empty());
    }

    #[test]
    fn nothing_is_told_before_the_exec() {
        let Some(mut watch) = watch("ret == -2 && id == 257") else { return };
        let script = "read go; echo x > /not/there/before; exec cat /not/there/after";
        let mut child =
            Command::new("/bin/sh").args(["-c", script]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn();
        let child = child.as_mut().unwrap();
        watch.add(child.id().cast_signed(), From::Exec).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        let mut lost = 0;
        let calls = watch.take(&mut lost).unwrap();
        let flags: Vec<u64> = calls.iter().map(|call| call.registers.as_ref().unwrap().arguments[2]).collect();
        // Only the shell wanted to make a file.
        assert!(!flags.is_empty() && flags.iter().all(|flags| flags & libc::O_CREAT as u64 == 0), "{flags:?}");
    }

    #[test]
    fn a_filter_that_means_nothing_and_a_thread_that_is_not_there_are_errors() {
        let Some(mut wrong) = watch("nothing == 1") else { return };
        assert!(wrong.add(std::process::id().cast_signed(), From::Now).is_err());
        let Some(mut gone) = watch("ret == -1") else { return };
        let error = gone.add(i32::MAX, From::Now).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    }
}
