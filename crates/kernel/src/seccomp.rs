//! seccomp(2): attaching filters, asking what the kernel knows, serving notifications, and reading filters back.
//!
//! A filter is a program of classic BPF that the kernel runs at every system call of the thread it is attached to
//! (Linux 3.5; `seccomp(2)` since 3.17). Building one is the business of `stockade-seccomp`; here are only the calls.

use std::io;
use std::mem::size_of;

use bitflags::bitflags;
use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

mod attached;
mod notify;
mod probe;

pub use attached::{AttachedFilters, attached_filters};
pub use notify::{Notification, NotificationSizes, Reply, add_fd, id_valid, notification_sizes, receive, reply};
pub use probe::{Abi, Probe, probe};

/// The most instructions that the kernel takes in one filter (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// One instruction of classic BPF, laid out as `struct sock_filter` of `linux/filter.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Instruction {
    /// What it does: class, size, mode or operation, source.
    pub code: u16,
    /// How many instructions a jump skips if its test holds.
    pub if_true: u8,
    /// How many instructions a jump skips if its test fails.
    pub if_false: u8,
    /// The constant: an offset, an operand, or the value returned.
    pub constant: u32,
}

bitflags! {
    /// Flags of `SECCOMP_SET_MODE_FILTER`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct FilterFlags: u32 {
        /// `SECCOMP_FILTER_FLAG_TSYNC`: every thread of the process gets the filter (Linux 3.17).
        const THREAD_SYNC = 1;
        /// `SECCOMP_FILTER_FLAG_LOG`: all actions but ALLOW are logged (Linux 4.14).
        const LOG = 1 << 1;
        /// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`: no mitigation of speculative store bypass for this reason (Linux 4.17).
        const SPEC_ALLOW = 1 << 2;
        /// `SECCOMP_FILTER_FLAG_NEW_LISTENER`: a descriptor that receives notifications is made (Linux 5.0).
        const NEW_LISTENER = 1 << 3;
        /// `SECCOMP_FILTER_FLAG_TSYNC_ESRCH`: a thread that cannot be synchronised gives `ESRCH` (Linux 5.7).
        const THREAD_SYNC_ESRCH = 1 << 4;
        /// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`: once received, a notification's sender only wakes for a fatal
        /// signal (Linux 5.19). Needs `NEW_LISTENER`.
        const WAIT_KILLABLE_RECV = 1 << 5;
    }
}

/// `struct sock_fprog`.
#[repr(C)]
struct ProgramHeader {
    length: u16,
    instructions: *const Instruction,
}

/// Attaches `program` to the calling thread (with `THREAD_SYNC` to all of its process). It runs from the next system
/// call on, survives `execve(2)`, is inherited by children and can never be removed. With `NEW_LISTENER` the
/// listener's descriptor is returned, close-on-exec.
///
/// # Errors
/// `EACCES` without both no_new_privs and CAP_SYS_ADMIN in the thread's user namespace; `EINVAL` for a malformed or too
/// long program or an unknown flag; `ESRCH` if a thread could not be synchronised; `EBUSY` if there is a listener
/// already; otherwise as `seccomp(2)`. Nothing is attached.
pub fn set_mode_filter(flags: FilterFlags, program: &[Instruction]) -> io::Result<Option<OwnedFd>> {
    if program.len() > MAX_INSTRUCTIONS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let header = ProgramHeader { length: program.len() as u16, instructions: program.as_ptr() };
    // SAFETY: `header` points to `program`'s instructions, whose count it says, and both live through the call.
    let answer =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags.bits(), &raw const header) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    if flags.contains(FilterFlags::NEW_LISTENER) {
        // SAFETY: with NEW_LISTENER a non-negative answer is a new descriptor that nobody else owns.
        return Ok(Some(unsafe { OwnedFd::from_raw_fd(answer as i32) }));
    }
    // Without TSYNC_ESRCH the answer names the thread that is in the way.
    if answer > 0 { Err(io::Error::from_raw_os_error(libc::ESRCH)) } else { Ok(None) }
}

/// Whether the kernel knows the action `action`, a `SECCOMP_RET_*` value without data (Linux 4.14).
///
/// # Errors
/// As `seccomp(2)`, but not `EOPNOTSUPP`, which is the answer no.
pub fn action_available(action: u32) -> io::Result<bool> {
    // SAFETY: the kernel reads one u32 from the pointer, which is live.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
    match (answer, io::Error::last_os_error()) {
        (0, _) => Ok(true),
        (_, error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
        (_, error) => Err(error),
    }
}

/// Whether the kernel knows all of `flags`; nothing is attached, because the program's address is null.
///
/// # Errors
/// As `seccomp(2)`, but not `EFAULT` and `EINVAL`, which are the answers yes and no.
pub fn flags_available(flags: FilterFlags) -> io::Result<bool> {
    let nothing = std::ptr::null::<ProgramHeader>();
    // SAFETY: the kernel refuses a null program with EFAULT after it has looked at the flags.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags.bits(), nothing) };
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        _ if answer >= 0 => Err(io::ErrorKind::InvalidData.into()),
        Some(libc::EFAULT) => Ok(true),
        Some(libc::EINVAL) => Ok(false),
        _ => Err(error),
    }
}

/// `ioctl(2)` on a listener with a pointer to one object.
fn listener_call<T>(listener: impl AsFd, request: u32, object: &mut T) -> io::Result<i32> {
    debug_assert_eq!((request >> 16) as usize & 0x3fff, size_of::<T>());
    // SAFETY: `object` is live and of the size that the request names, so the kernel stays inside it.
    let answer =
        unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), request as libc::Ioctl, std::ptr::from_mut(object)) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

#[cfg(test)]
mod tests;
