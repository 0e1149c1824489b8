//! What given processes do, told by the kernel's tracepoints into memory that is shared with it (`perf_event_open(2)`).
//!
//! [`Watch`] is a set of tracepoints for chosen threads and, from then on, for all their children. Nobody is stopped or slowed down but
//! by the writing of a record, and only what the filter of a tracepoint lets through is written. A filter cannot be changed; a second
//! [`Point`] of the same tracepoint, which waits ([`Begins::Later`]), can take the place of one ([`Watch::replace`]). It works where processors tell all
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
const WATERMARK: u64 = 1 << 14;
const USE_CLOCK: u64 = 1 << 25;
/// `PERF_FLAG_FD_CLOEXEC`.
const CLOSE_ON_EXEC: libc::c_ulong = 8;
/// `PERF_EVENT_IOC_ENABLE`, `_DISABLE`, `_SET_OUTPUT` and `_SET_FILTER`: `_IO('$', 0)`, `_IO('$', 1)`, `_IO('$', 5)`, `_IOW('$', 6, char *)`.
const ENABLE: libc::c_ulong = 0x2400;
const DISABLE: libc::c_ulong = 0x2401;
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
    /// The condition that its records must meet, in the language of `Documentation/trace/events.rst`; empty if there is none.
    pub filter: &'a str,
    /// Whether the thread's stack is told.
    pub stack: Stack,
    /// From when on.
    pub begins: Begins,
}

/// From when on a point is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// From when its thread is watched.
    Watched,
    /// Not before it takes the place of another ([`Watch::replace`]), which gives it its filter.
    Later,
}

/// How much room there is for records that were not taken yet, and when their reader is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// In bytes, for each processor: a power of two of pages.
    bytes: usize,
    /// The reader is woken when so many bytes are there; 0 for each record.
    wake: u32,
}

impl Room {
    /// For few records, of each of which the reader wants to know at once.
    pub const SMALL: Self = Self { bytes: 2 << 20, wake: 0 };
    /// For many: the reader is woken by a part of the room that is small enough for it to be late.
    pub const LARGE: Self = Self { bytes: 8 << 20, wake: 256 << 10 };
}

/// Whether a thread's stack is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Its end, 16 KiB at most, copied while the thread stands there: what a program was called with is in it, if it is a small one.
    Told,
    /// It is not.
    Untold,
}

/// How much of a stack is told, at most: the kernel's copy ends at the first page that is not there, which may be in the gap of
/// random size, 8 KiB at most, that execve(2) leaves between a program's frames and the strings of its command line.
const MOST_STACK: u32 = 16 << 10;

/// Tracepoints of chosen threads and of all that these make.
#[derive(Debug)]
pub struct Watch {
    points: Vec<Kept>,
    room: Room,
    /// One for each processor.
    rings: Vec<Ring>,
    /// With the number of their points; the rings' own are of the first.
    events: Vec<(usize, OwnedFd)>,
}

/// A point as it is for those who are watched from now on.
#[derive(Debug)]
struct Kept {
    config: u64,
    /// Empty if there is none.
    filter: CString,
    stack: Stack,
    begins: Begins,
}

impl Watch {
    /// For records of `points`, of which the first begins at once, with `room` for them. Nobody is watched yet.
    ///
    /// # Errors
    /// `ENOTSUP` on other processors than x86-64.
    pub fn new(points: &[Point<'_>], room: Room) -> io::Result<Self> {
        if record::REGISTERS == 0 {
            return Err(Errno::NOTSUP.into());
        }
        let keep = |point: &Point<'_>| {
            let filter = CString::new(point.filter).map_err(io::Error::other)?;
            Ok(Kept { config: point.tracepoint.id(), filter, stack: point.stack, begins: point.begins })
        };
        let points = points.iter().map(keep).collect::<io::Result<_>>()?;
        Ok(Self { points, room, rings: Vec::new(), events: Vec::new() })
    }

    /// Watches the thread `tid`, and all that it makes.
    ///
    /// # Errors
    /// As `perf_event_open(2)`: `ESRCH` if there is no such thread (any more), `EACCES` or `EPERM` without CAP_PERFMON, `EINVAL` for a filter
    /// that means nothing. Those that were watched before still are.
    pub fn add(&mut self, tid: i32, from: From) -> io::Result<()> {
        let processors = processors()?;
        let first = self.events.len();
        let has_rings = !self.rings.is_empty();
        for (place, &processor) in processors.iter().enumerate() {
            for (number, point) in self.points.iter().enumerate() {
                let event = open(point, self.room, tid, processor, from)?;
                if point.begins == Begins::Watched {
                    set_filter(&event, &point.filter)?;
                }
                match self.rings.get(place) {
                    // SAFETY: both descriptors are events of this process; nothing but numbers is given.
                    Some(ring) => drop(check(unsafe { libc::ioctl(event.as_raw_fd(), SET_OUTPUT, ring.fd()) })?),
                    None => {
                        self.rings.push(Ring::map(event, self.room.bytes)?);
                        continue;
                    }
                }
                self.events.push((number, event));
            }
        }
        if from == From::Now {
            let rings = self.rings.iter().filter(|_| !has_rings).map(|ring| (0, ring.fd()));
            let others = self.events[first..].iter().map(|(number, event)| (*number, event.as_raw_fd()));
            for (number, event) in rings.chain(others) {
                if self.points[number].begins == Begins::Watched {
                    // SAFETY: an event of this process; nothing but a number is given.
                    check(unsafe { libc::ioctl(event, ENABLE, 0) })?;
                }
            }
        }
        Ok(())
    }

    /// Has the point `next`, which begins later, be told with `filter` instead of the point `before`, for all that are watched, and all that
    /// they will make. For an instant both are told, and at no time none.
    ///
    /// # Errors
    /// `EINVAL` for a filter that means nothing, `EEXIST` if `next` was given one before. Both may be told then.
    pub fn replace(&mut self, before: usize, next: usize, filter: &str) -> io::Result<()> {
        let filter = CString::new(filter).map_err(io::Error::other)?;
        for (_, event) in self.events.iter().filter(|(number, _)| *number == next) {
            set_filter(event, &filter)?;
            // SAFETY: an event of this process; nothing but a number is given.
            check(unsafe { libc::ioctl(event.as_raw_fd(), ENABLE, 0) })?;
        }
        let rings = self.rings.iter().filter(|_| before == 0).map(Ring::fd);
        let events = self.events.iter().filter(|(number, _)| *number == before).map(|(_, event)| event.as_raw_fd());
        for event in rings.chain(events) {
            // SAFETY: an event of this process; nothing but a number is given.
            check(unsafe { libc::ioctl(event, DISABLE, 0) })?;
        }
        self.points[before].begins = Begins::Later;
        self.points[next].begins = Begins::Watched;
        self.points[next].filter = filter;
        Ok(())
    }

    /// Takes the records that are there, each processor's in its order; `lost` grows by those for which there was no room: by one where it is not
    /// known yet how many they are, and where the room was so full that there may be some.
    ///
    /// # Errors
    /// `EBADMSG` for a record that makes no sense.
    pub fn take(&mut self, lost: &mut u64) -> io::Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for ring in &mut self.rings {
            ring.take(lost, |body| Sample::parse(body).map(|sample| samples.push(sample)))?;
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

/// Gives an event its filter, if there is one.
fn set_filter(event: &OwnedFd, filter: &CString) -> io::Result<()> {
    if filter.is_empty() {
        return Ok(());
    }
    // SAFETY: the text is terminated and outlives the call, which reads it only.
    check(unsafe { libc::ioctl(event.as_raw_fd(), SET_FILTER, filter.as_ptr()) }).map(drop)
}

/// One tracepoint for one thread on one processor.
fn open(point: &Kept, room: Room, tid: i32, processor: i32, from: From) -> io::Result<OwnedFd> {
    let (with_stack, most_stack) = if point.stack == Stack::Told { (SAMPLE_STACK, MOST_STACK) } else { (0, 0) };
    let on_exec = if from == From::Exec && point.begins == Begins::Watched { ENABLE_ON_EXEC } else { 0 };
    let (by_bytes, wakeup) = if room.wake > 0 { (WATERMARK, room.wake) } else { (0, 1) };
    let mut attributes = Attributes {
        kind: TYPE_TRACEPOINT,
        size: size_of::<Attributes>() as u32,
        config: point.config,
        period: 1,
        sample: SAMPLE | with_stack,
        stack: most_stack,
        flags: DISABLED | INHERIT | USE_CLOCK | on_exec | by_bytes,
        wakeup,
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
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// `None` where the kernel does not let this process watch.
    fn watch(filter: &str) -> Option<Watch> {
        let found = Tracepoint::find("raw_syscalls", "sys_exit");
        let watched = |tracepoint: Tracepoint| {
            let begins = Begins::Watched;
            Watch::new(&[Point { tracepoint: &tracepoint, filter, stack: Stack::Told, begins }], Room::SMALL)
        };
        match found.and_then(watched) {
            Ok(watch) => Some(watch),
            Err(error) => {
                eprintln!("skipped: {error}");
                None
            }
        }
    }

    /// What a shell that runs `script` is told to have done once it has ended, by others than itself.
    fn told_of_children(watch: &mut Watch, script: &str) -> io::Result<Vec<Sample>> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", &format!("read go; ({script}; true)")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        watch.add(child.id().cast_signed(), From::Now)?;
        drop(child.stdin.take());
        child.wait()?;
        let mut lost = 0;
        let samples = watch.take(&mut lost)?;
        assert_eq!(lost, 0);
        assert!(watch.take(&mut lost)?.is_empty());
        Ok(samples.into_iter().filter(|sample| sample.process != child.id()).collect())
    }

    /// Nothing is written any more into the memory that was full, so that the kernel has no occasion to tell of it.
    #[test]
    fn what_was_lost_at_the_very_end_is_known() {
        let Some(mut watch) = watch("id == 0") else { return };
        let mut child = Command::new("/bin/sh")
            .args(["-c", "read go; exec taskset -c 0 dd if=/dev/zero of=/dev/null bs=1 count=20000"])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        watch.add(child.id().cast_signed(), From::Now).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        let mut lost = 0;
        let taken = watch.take(&mut lost).unwrap().len();
        assert!(taken < 20_000 && lost == 1, "{taken} were taken, {lost} lost");
        assert!(watch.take(&mut lost).unwrap().is_empty() && lost == 1);
    }

    #[test]
    fn a_call_of_a_child_of_a_watched_process_is_told_with_its_arguments() {
        // openat of a name that is not there, by a child of the process that is watched.
        let Some(mut watch) = watch("ret == -2 && id == 257") else { return };
        let told = told_of_children(&mut watch, "cat /there/is/nothing/like/that").unwrap();
        assert!(!told.is_empty());
        for sample in &told {
            let registers = sample.registers.as_ref().unwrap();
            // AT_FDCWD, at the width that the kernel uses of it.
            assert_eq!(registers.arguments[0] as u32, 0xffff_ff9c, "{sample:?}");
            assert!(registers.is_native);
        }
    }

    #[test]
    fn what_a_call_points_to_on_its_stack_is_told_with_it() {
        // realpath(1) has the name that it asks readlink for in an array on its stack.
        let Some(mut watch) = watch("ret == -2 && id == 89") else { return };
        let told = told_of_children(&mut watch, "realpath /there-is-nothing-like-that").unwrap();
        assert_eq!(told.len(), 1, "{told:?}");
        let registers = told[0].registers.as_ref().unwrap();
        let offset = usize::try_from(registers.arguments[0] - registers.place[1]).unwrap();
        let name = b"/there-is-nothing-like-that\0";
        assert_eq!(told[0].stack.get(offset..offset + name.len()), Some(&name[..]));
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
    fn a_point_takes_the_place_of_another_for_children_too() {
        let Ok(tracepoint) = Tracepoint::find("raw_syscalls", "sys_enter") else { return };
        let point = |begins| Point { tracepoint: &tracepoint, filter: "", stack: Stack::Untold, begins };
        let mut watch = Watch::new(&[point(Begins::Watched), point(Begins::Later)], Room::LARGE).unwrap();
        let script =
            "exec 3<&0; read go; (exec <&3; read go; kill -s 0 $$; umask; read go; kill -s 0 $$; umask) & wait";
        let mut child = Command::new("/bin/sh");
        let mut child = child.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        watch.add(child.id().cast_signed(), From::Now).unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut lost = 0;
        // kill(2), umask(2)
        let mut told = |watch: &mut Watch, wanted: &[i64]| {
            let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
            let mut all: Vec<i64> = Vec::new();
            while !wanted.iter().all(|id| all.contains(id)) && std::time::Instant::now() < end {
                let samples = watch.take(&mut lost).unwrap();
                all.extend(samples.iter().filter_map(|sample| tracepoint.number(&sample.raw, "id")));
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            all
        };
        input.write_all(b"go\ngo\n").unwrap();
        let before = told(&mut watch, &[62, 95]);
        assert!(before.contains(&62) && before.contains(&95), "{before:?}");
        watch.replace(0, 1, "id != 62").unwrap();
        drop(watch.take(&mut 0).unwrap());
        input.write_all(b"go\n").unwrap();
        let after = told(&mut watch, &[95]);
        assert!(!after.contains(&62) && after.contains(&95), "{after:?}");
        child.wait().unwrap();
        assert!(watch.replace(0, 1, "id != 1").is_err());
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
