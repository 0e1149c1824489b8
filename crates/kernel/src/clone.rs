//! Making a process with `clone3(2)` (Linux 5.3), in new namespaces and in a cgroup, in one call.
//!
//! The child is a copy of the caller as after `fork(2)`: memory is never shared. That is safe only if the caller
//! has no other thread, for a lock that another thread held would stay locked in the child for ever, so
//! [`clone3`] refuses in a process with threads. libc is not told of the fork: `pthread_atfork` handlers do not
//! run, and libc's cached thread id in the child is the parent's (Rust's standard library uses neither).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd};

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::namespace::Namespaces;
use crate::sys::check;

/// `CLONE_PIDFD` of `linux/sched.h`.
const CLONE_PIDFD: u64 = 0x1000;
/// `CLONE_PARENT`.
const CLONE_PARENT: u64 = 0x8000;
/// `CLONE_INTO_CGROUP` (Linux 5.7).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The kernel's `struct clone_args` up to `cgroup` (CLONE_ARGS_SIZE_VER2, Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// The process to make.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'fd> {
    /// The namespaces that are made new for it. With [`Namespaces::USER`] among them the others belong to the new
    /// user namespace. [`Namespaces::TIME`] gives a time namespace with the offsets of the caller's.
    pub new: Namespaces,
    /// The cgroup v2 folder that it is born in (Linux 5.7).
    pub into_cgroup: Option<BorrowedFd<'fd>>,
    /// Whether it becomes the caller's sibling (`CLONE_PARENT`): then the caller's parent is its parent, waits for it, and
    /// gets the signal that the caller's own end sends.
    pub sibling: bool,
}

/// Which side of the fork the caller is on.
#[derive(Debug)]
pub enum Forked {
    /// The new process. Values of the caller that it copied are dropped on both sides: files that `Drop` would remove
    /// must be forgotten, or the child must end by `exec` or [`crate::exec::exit_now`].
    Child,
    /// The caller.
    Parent {
        /// The child's id in the caller's pid namespace.
        pid: Pid,
        /// The child (`CLONE_PIDFD`), close-on-exec.
        pidfd: OwnedFd,
    },
}

/// Makes a process; returns twice. The child's end is told by SIGCHLD, unless it is a sibling.
///
/// # Errors
/// `EDEADLK` if the caller has more than one thread; otherwise as `clone3(2)`: `EPERM` (also where a new user
/// namespace would be needed), `ENOSPC` at a limit of namespaces, `EUSERS`, `EAGAIN` at a limit of processes, `EBUSY` and
/// `EACCES` from the cgroup. No process is left behind.
pub fn clone3(request: &Request<'_>) -> io::Result<Forked> {
    require_single_thread()?;
    let mut pidfd: libc::c_int = -1;
    let mut arguments = CloneArgs {
        flags: u64::from(request.new.bits()) | CLONE_PIDFD,
        pidfd: (&raw mut pidfd) as u64,
        ..CloneArgs::default()
    };
    if request.sibling {
        arguments.flags |= CLONE_PARENT;
    } else {
        arguments.exit_signal = Signal::CHILD.as_raw() as u64;
    }
    if let Some(cgroup) = request.into_cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `arguments` and `pidfd` live through the call and have the layout of `struct clone_args`. Without CLONE_VM
    // the child has a copy of all memory, with no stack of its own to set up, and as this process has one thread, no
    // other thread's lock or half-made change is copied with it.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<CloneArgs>()) };
    let Some(pid) = Pid::from_raw(check(result)? as i32) else { return Ok(Forked::Child) };
    // SAFETY: the call went well in the parent, so the kernel stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Forked::Parent { pid, pidfd })
}

/// Whether the calling thread is alone in its process, and no other process shares its memory.
///
/// Asked by `unshare(CLONE_VM)`, which has no other effect than to answer that (`unshare(2)`), and needs no procfs.
///
/// # Errors
/// As `unshare(2)` other than `EINVAL`: a seccomp filter's errno.
pub fn is_single_threaded() -> io::Result<bool> {
    // SAFETY: unshare(CLONE_VM) changes nothing when it goes well, and when it fails.
    match check(unsafe { libc::unshare(libc::CLONE_VM) }) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// `EDEADLK` unless [`is_single_threaded`].
pub(crate) fn require_single_thread() -> io::Result<()> {
    if is_single_threaded()? { Ok(()) } else { Err(Errno::DEADLK.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_is_refused() {
        std::thread::spawn(|| {
            let error = clone3(&Request::default()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::DEADLK.raw_os_error()));
        })
        .join()
        .unwrap();
    }
}
