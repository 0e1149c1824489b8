//! How the kernel schedules this process: processor, disk, memory nodes, and the execution domain.

use std::io;

use crate::sys::check;

/// A scheduling policy (`sched(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `SCHED_OTHER`.
    Other,
    /// `SCHED_FIFO`.
    Fifo,
    /// `SCHED_RR`.
    RoundRobin,
    /// `SCHED_BATCH`.
    Batch,
    /// `SCHED_ISO`: reserved, and refused by every kernel so far.
    Iso,
    /// `SCHED_IDLE`.
    Idle,
    /// `SCHED_DEADLINE`.
    Deadline,
}

impl Policy {
    /// The number in `linux/sched.h`.
    fn number(self) -> u32 {
        match self {
            Policy::Other => 0,
            Policy::Fifo => 1,
            Policy::RoundRobin => 2,
            Policy::Batch => 3,
            Policy::Iso => 4,
            Policy::Idle => 5,
            Policy::Deadline => 6,
        }
    }
}

bitflags::bitflags! {
    /// `SCHED_FLAG_*` of `linux/sched.h`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SchedulerFlags: u64 {
        /// `SCHED_FLAG_RESET_ON_FORK`.
        const RESET_ON_FORK = 0x1;
        /// `SCHED_FLAG_RECLAIM`.
        const RECLAIM = 0x2;
        /// `SCHED_FLAG_DL_OVERRUN`.
        const DEADLINE_OVERRUN = 0x4;
        /// `SCHED_FLAG_KEEP_POLICY`.
        const KEEP_POLICY = 0x8;
        /// `SCHED_FLAG_KEEP_PARAMS`.
        const KEEP_PARAMETERS = 0x10;
        /// `SCHED_FLAG_UTIL_CLAMP_MIN`.
        const UTIL_CLAMP_MIN = 0x20;
        /// `SCHED_FLAG_UTIL_CLAMP_MAX`.
        const UTIL_CLAMP_MAX = 0x40;
    }
}

/// The attributes of `sched_setattr(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduler {
    /// The policy.
    pub policy: Policy,
    /// Flags.
    pub flags: SchedulerFlags,
    /// -20 (first) to 19, for `Other` and `Batch`; the kernel clamps.
    pub nice: i32,
    /// 1 to 99 for `Fifo` and `RoundRobin`, 0 for the others.
    pub priority: u32,
    /// Nanoseconds of `Deadline`.
    pub runtime: u64,
    /// Nanoseconds of `Deadline`.
    pub deadline: u64,
    /// Nanoseconds of `Deadline`.
    pub period: u64,
}

/// The kernel's `struct sched_attr` (SCHED_ATTR_SIZE_VER1, Linux 5.3).
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    util_min: u32,
    util_max: u32,
}

/// Sets the calling thread's scheduling (`sched_setattr(2)`, Linux 3.14); children inherit it.
///
/// # Errors
/// `EINVAL` for attributes that do not go with the policy; `EPERM` without CAP_SYS_NICE; `EBUSY` if a deadline can not be met.
pub fn set_scheduler(wanted: &Scheduler) -> io::Result<()> {
    let attr = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: wanted.policy.number(),
        flags: wanted.flags.bits(),
        nice: wanted.nice,
        priority: wanted.priority,
        runtime: wanted.runtime,
        deadline: wanted.deadline,
        period: wanted.period,
        util_min: 0,
        util_max: 0,
    };
    // SAFETY: `attr` has the layout and the size that it names, and lives through the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) })?;
    Ok(())
}

/// A class of disk scheduling (`ioprio_set(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoClass {
    /// `IOPRIO_CLASS_RT`.
    RealTime,
    /// `IOPRIO_CLASS_BE`.
    BestEffort,
    /// `IOPRIO_CLASS_IDLE`.
    Idle,
}

/// Sets the calling thread's disk priority; `level` is 0 (first) to 7.
///
/// # Errors
/// `EINVAL` for a higher level; `EPERM` for real time without CAP_SYS_ADMIN or CAP_SYS_NICE.
pub fn set_io_priority(class: IoClass, level: u8) -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    if level > 7 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let class = match class {
        IoClass::RealTime => 1,
        IoClass::BestEffort => 2,
        IoClass::Idle => 3,
    };
    let value = class << 13 | libc::c_int::from(level);
    // SAFETY: three integers; 0 is the calling thread.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) })?;
    Ok(())
}

/// Which memory nodes are taken from (`set_mempolicy(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryMode {
    /// `MPOL_DEFAULT`.
    Default,
    /// `MPOL_PREFERRED`.
    Preferred,
    /// `MPOL_BIND`.
    Bind,
    /// `MPOL_INTERLEAVE`.
    Interleave,
    /// `MPOL_LOCAL` (Linux 3.8).
    Local,
    /// `MPOL_PREFERRED_MANY` (Linux 5.15).
    PreferredMany,
    /// `MPOL_WEIGHTED_INTERLEAVE` (Linux 6.9).
    WeightedInterleave,
}

impl MemoryMode {
    /// The number in `linux/mempolicy.h`.
    fn number(self) -> u32 {
        match self {
            MemoryMode::Default => 0,
            MemoryMode::Preferred => 1,
            MemoryMode::Bind => 2,
            MemoryMode::Interleave => 3,
            MemoryMode::Local => 4,
            MemoryMode::PreferredMany => 5,
            MemoryMode::WeightedInterleave => 6,
        }
    }
}

bitflags::bitflags! {
    /// `MPOL_F_*` of `linux/mempolicy.h`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MemoryFlags: u32 {
        /// `MPOL_F_NUMA_BALANCING` (Linux 5.12).
        const NUMA_BALANCING = 1 << 13;
        /// `MPOL_F_RELATIVE_NODES`.
        const RELATIVE_NODES = 1 << 14;
        /// `MPOL_F_STATIC_NODES`.
        const STATIC_NODES = 1 << 15;
    }
}

/// The highest node number that is accepted here: the most that any kernel is built for is 1024 nodes.
pub const HIGHEST_NODE: u32 = 1023;

/// Sets the calling thread's memory policy, inherited by children and kept by `execve`.
///
/// # Errors
/// `EINVAL` for a node above [`HIGHEST_NODE`], one that does not exist, or nodes and flags that do not go with the mode;
/// `ENOSYS` on a kernel without memory nodes.
pub fn set_memory_policy(mode: MemoryMode, flags: MemoryFlags, nodes: &[u32]) -> io::Result<()> {
    const WORD: u32 = libc::c_ulong::BITS;
    let mut mask = [0 as libc::c_ulong; (HIGHEST_NODE as usize + 1) / WORD as usize];
    for &node in nodes {
        let word = mask.get_mut((node / WORD) as usize).ok_or(io::Error::from_raw_os_error(libc::EINVAL))?;
        *word |= 1 << (node % WORD);
    }
    // The kernel reads one bit fewer than it is told. Default and Local want no mask at all when it is empty.
    let (pointer, bits) =
        if nodes.is_empty() { (std::ptr::null(), 0) } else { (mask.as_ptr(), HIGHEST_NODE as usize + 2) };
    // SAFETY: `pointer` is null or a mask of `bits - 1` bits that lives through the call.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode.number() | flags.bits(), pointer, bits) })?;
    Ok(())
}

/// An execution domain (`personality(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personality {
    /// `PER_LINUX`.
    Linux,
    /// `PER_LINUX32`: `uname` tells the 32-bit machine.
    Linux32,
}

/// Sets the calling process' execution domain, without any of its flags.
///
/// # Errors
/// As `personality(2)`; `EIO` if the kernel did not keep it.
pub fn set_personality(wanted: Personality) -> io::Result<()> {
    let wanted: libc::c_ulong = match wanted {
        Personality::Linux => 0,
        Personality::Linux32 => 8,
    };
    // SAFETY: an integer.
    check(unsafe { libc::personality(wanted) })?;
    // SAFETY: asks only.
    let now = check(unsafe { libc::personality(0xffff_ffff) })?;
    if now as libc::c_ulong == wanted { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EIO)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings of a thread end with it.
    fn in_a_thread(work: impl FnOnce() + Send + 'static) {
        std::thread::spawn(work).join().unwrap();
    }

    fn stat_field(number: usize) -> i64 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        after_name.split_ascii_whitespace().nth(number - 3).unwrap().parse().unwrap()
    }

    const PLAIN: Scheduler = Scheduler {
        policy: Policy::Other,
        flags: SchedulerFlags::empty(),
        nice: 0,
        priority: 0,
        runtime: 0,
        deadline: 0,
        period: 0,
    };

    #[test]
    fn policies_are_told_by_procfs() {
        in_a_thread(|| {
            set_scheduler(&Scheduler { policy: Policy::Batch, nice: 5, ..PLAIN }).unwrap();
            assert_eq!((stat_field(41), stat_field(19)), (3, 5));
            set_scheduler(&Scheduler { policy: Policy::Idle, ..PLAIN }).unwrap();
            assert_eq!(stat_field(41), 5);
        });
        in_a_thread(|| assert!(set_scheduler(&Scheduler { policy: Policy::Iso, ..PLAIN }).is_err()));
        in_a_thread(|| assert!(set_scheduler(&Scheduler { policy: Policy::Fifo, ..PLAIN }).is_err()));
    }

    #[test]
    fn disk_priority_is_read_back() {
        in_a_thread(|| {
            set_io_priority(IoClass::Idle, 0).unwrap();
            set_io_priority(IoClass::BestEffort, 6).unwrap();
            // SAFETY: two integers.
            let value = unsafe { libc::syscall(libc::SYS_ioprio_get, 1, 0) };
            assert_eq!(value, 2 << 13 | 6);
            assert!(set_io_priority(IoClass::BestEffort, 8).is_err());
        });
    }

    #[test]
    fn memory_policy_is_told_by_procfs() {
        in_a_thread(|| {
            set_memory_policy(MemoryMode::Bind, MemoryFlags::STATIC_NODES, &[0]).unwrap();
            let maps = std::fs::read_to_string("/proc/thread-self/numa_maps").unwrap();
            assert!(maps.contains("bind=static:0"), "{maps}");
            assert!(set_memory_policy(MemoryMode::Bind, MemoryFlags::empty(), &[HIGHEST_NODE + 1]).is_err());
            assert!(set_memory_policy(MemoryMode::Bind, MemoryFlags::empty(), &[]).is_err());
            set_memory_policy(MemoryMode::Default, MemoryFlags::empty(), &[]).unwrap();
        });
    }

    #[test]
    fn personality_is_kept() {
        in_a_thread(|| {
            set_personality(Personality::Linux32).unwrap();
            let machine: &[u8] = if cfg!(target_arch = "x86_64") { b"i686" } else { b"armv8l" };
            assert_eq!(rustix::system::uname().machine().to_bytes(), machine);
            set_personality(Personality::Linux).unwrap();
        });
    }
}
