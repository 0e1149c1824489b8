//! Reading the filters of another process back (`PTRACE_SECCOMP_GET_FILTER`, Linux 4.4).
//!
//! Needs CAP_SYS_ADMIN in the initial user namespace, a kernel with CONFIG_CHECKPOINT_RESTORE, and a caller that is
//! not itself under seccomp. The process is stopped for as long as the reading takes.

use std::io;
use std::ptr;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Instruction;
use crate::signal::set_of;

const PTRACE_SECCOMP_GET_FILTER: libc::c_uint = 0x420c;

/// The filters of a process, in the order in which they were attached.
pub type AttachedFilters = Vec<Vec<Instruction>>;

/// Traces `pid` while it lives; dropping lets it run on.
struct Tracee {
    pid: i32,
    /// The signal that it was about to receive when it stopped.
    signal: i32,
}

impl Tracee {
    /// Attaches to `pid` without sending it a signal and waits until it has stopped.
    fn seize(pid: i32) -> io::Result<Self> {
        let news = News::listen()?;
        request(libc::PTRACE_SEIZE, pid, 0)?;
        let mut tracee = Self { pid, signal: 0 };
        request(libc::PTRACE_INTERRUPT, pid, 0)?;
        let status = stopped(pid, &news)?;
        if !libc::WIFSTOPPED(status) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        // A stop with an event number is ptrace's own; one without is a signal's, which must still be delivered.
        if status >> 16 == 0 {
            tracee.signal = libc::WSTOPSIG(status);
        }
        Ok(tracee)
    }

    /// The filter number `index`, `None` past the last. The kernel counts from the first that was attached (`get_nth_filter`
    /// of kernel/seccomp.c), and not from the latest, as `ptrace(2)` says.
    fn filter(&self, index: usize) -> io::Result<Option<Vec<Instruction>>> {
        let length = match get_filter(self.pid, index, ptr::null_mut()) {
            Ok(length) => length,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut program = vec![Instruction::default(); length];
        // The thread is stopped and filters never change, so the length is still the same.
        get_filter(self.pid, index, program.as_mut_ptr())?;
        Ok(Some(program))
    }
}

/// How long a thread may take to stop: it does at once, unless it is frozen (cgroup v1) or in the middle of what cannot be interrupted.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is looked at meanwhile, where the kernel's word of it may have gone to another thread.
const PAUSE: Duration = Duration::from_millis(1);
/// The same where it cannot be heard at all.
const BLIND_PAUSE: Duration = Duration::from_micros(200);

/// The calling thread hears of what it traces (SIGCHLD, which is held back from it) until this is dropped.
struct News {
    before: libc::sigset_t,
    /// SIGCHLD alone; `None` where it was held back already: then somebody else waits for it, from whom none may be taken.
    awaited: Option<libc::sigset_t>,
}

impl News {
    /// Begins to listen: before anything can have happened.
    fn listen() -> io::Result<Self> {
        let (awaited, mut before) = (set_of(&[Signal::CHILD])?, set_of(&[])?);
        // SAFETY: both sets are live; only the calling thread's mask changes, until the value is dropped.
        match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const awaited, &raw mut before) } {
            0 => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
        // SAFETY: `before` is live and was just written.
        let taken = unsafe { libc::sigismember(&raw const before, libc::SIGCHLD) } == 1;
        Ok(Self { before, awaited: (!taken).then_some(awaited) })
    }

    /// Waits until there may be something new.
    fn wait(&self) {
        let Some(awaited) = &self.awaited else { return std::thread::sleep(BLIND_PAUSE) };
        let limit = libc::timespec { tv_sec: 0, tv_nsec: i64::from(PAUSE.subsec_nanos()) };
        // A signal, none in time, or another one that came between: whoever waits looks again in all cases.
        // SAFETY: both are live and only read; nothing is asked about the signal.
        unsafe { libc::sigtimedwait(awaited, ptr::null_mut(), &raw const limit) };
    }
}

impl Drop for News {
    fn drop(&mut self) {
        // SAFETY: the mask is the one that the thread had before; it cannot fail with a valid first argument.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }
}

/// Waits until `pid` stops or ends; its status.
fn stopped(pid: i32, news: &News) -> io::Result<libc::c_int> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut status = 0;
        // SAFETY: `status` is live; waiting changes no memory of ours but this.
        match unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL | libc::WNOHANG) } {
            0 if Instant::now() >= deadline => return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
            0 => news.wait(),
            answer if answer > 0 => return Ok(status),
            _ => {
                let error = io::Error::last_os_error();
                if error.raw_os_error() != Some(libc::EINTR) {
                    return Err(error);
                }
            }
        }
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        // It fails if the process is gone, and then there is nothing to let go; and if it has not stopped, and then it goes on by
        // itself as soon as this process ends.
        drop(request(libc::PTRACE_DETACH, self.pid, self.signal as usize));
    }
}

/// All filters of the thread `pid`, in the order in which they were attached.
///
/// # Errors
/// `EACCES` without CAP_SYS_ADMIN or if the caller is itself filtered; `EINVAL` if the thread is not in filter mode, or
/// the kernel lacks CONFIG_CHECKPOINT_RESTORE; `ETIMEDOUT` if the thread does not stop within a second, as one that is frozen by
/// cgroup v1; `EMEDIUMTYPE` for a filter that is not classic BPF; `EPERM` or `ESRCH` as
/// `ptrace(2)`. The thread runs on in every case.
pub fn attached_filters(pid: i32) -> io::Result<AttachedFilters> {
    let tracee = Tracee::seize(pid)?;
    let mut filters = Vec::new();
    while let Some(filter) = tracee.filter(filters.len())? {
        filters.push(filter);
    }
    Ok(filters)
}

/// A ptrace request without a pointer.
fn request(request: libc::c_uint, pid: i32, data: usize) -> io::Result<()> {
    // SAFETY: none of the requests that are made here reads or writes memory of ours.
    let answer = unsafe { libc::ptrace(request as _, pid, ptr::null_mut::<u8>(), data) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How many instructions filter `index` has; they are stored at `target` if it is not null.
fn get_filter(pid: i32, index: usize, target: *mut Instruction) -> io::Result<usize> {
    // SAFETY: `target` is null, or has room for the whole filter, whose length the same call told before.
    let answer = unsafe { libc::ptrace(PTRACE_SECCOMP_GET_FILTER as _, pid, index, target) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer as usize) }
}
