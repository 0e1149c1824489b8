//! Receiving signals as data (`signalfd(2)`), for processes that wait in a single `poll(2)`, and signals' names.

mod name;

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::FromRawFd;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::Signal;

pub use name::by_name;

use crate::sys::check;

/// The signals that a program which stands for another in the foreground passes on to it. Those that tell of a mistake of one's
/// own, and those that cannot be caught, are not among them.
pub const FORWARDED: [Signal; 19] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::TERM,
    Signal::CONT,
    Signal::TSTP,
    Signal::TTIN,
    Signal::TTOU,
    Signal::URG,
    Signal::XCPU,
    Signal::XFSZ,
    Signal::VTALARM,
    Signal::PROF,
    Signal::IO,
    Signal::POWER,
    Signal::WINCH,
];

/// Signals that are blocked in the calling thread and arrive here instead.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
}

/// Gives SIGPIPE, which Rust's runtime ignores, its default action back and unblocks all signals: both would be inherited by
/// the program that is executed next. Other ignored signals stay as they are: see [`heed_ignored`].
///
/// # Errors
/// As `sigaction(2)` and `sigprocmask(2)`, for which there is no reason.
pub fn reset_for_exec() -> io::Result<()> {
    // SAFETY: the default action runs no code of this process.
    if unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set that the pointer names.
    if unsafe { libc::sigemptyset(none.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the set is initialised; a null pointer asks not to be told the old mask.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// The kernel's `struct sigaction`, of which the handler is the first word; all zero is the default action.
type Action = [libc::c_ulong; 8];

/// The size of the kernel's `sigset_t`.
const MASK_SIZE: usize = 8;

/// The highest signal's number.
const HIGHEST: libc::c_int = 64;

/// What is done at the signal `number`.
fn action(number: libc::c_int) -> io::Result<Action> {
    let mut now: Action = [0; 8];
    let nothing = std::ptr::null::<Action>();
    // SAFETY: a null pointer changes nothing; `now` is larger than the kernel's structure.
    check(unsafe { libc::syscall(libc::SYS_rt_sigaction, number, nothing, &raw mut now, MASK_SIZE) })?;
    Ok(now)
}

/// Gives every signal that is ignored its default action back, except SIGPIPE: what the caller of this program ignored (as
/// `nohup` and a shell's background do) would be ignored by all that it starts. The two signals that libc keeps for itself
/// (32 and 33) and hides in its own `sigaction(3)` are among them.
///
/// # Errors
/// As `rt_sigaction(2)`, for which there is no reason.
pub fn heed_ignored() -> io::Result<()> {
    let mut ignored = 0;
    for number in 1..=HIGHEST {
        if action(number)?[0] == libc::SIG_IGN as libc::c_ulong {
            ignored |= 1 << (number - 1);
        }
    }
    heed(ignored)
}

/// The same where it is known which signals are `ignored` ([`crate::procfs::Status::ignored`] of this process), without asking
/// for each.
///
/// # Errors
/// As [`heed_ignored`].
pub fn heed(ignored: u64) -> io::Result<()> {
    let is_ignored = |number: &libc::c_int| ignored & (1 << (number - 1)) != 0;
    for number in (1..=HIGHEST).filter(|number| *number != libc::SIGPIPE).filter(is_ignored) {
        let default: Action = [0; 8];
        let nothing = std::ptr::null::<Action>();
        // SAFETY: the default action runs no code of this process.
        check(unsafe { libc::syscall(libc::SYS_rt_sigaction, number, &raw const default, nothing, MASK_SIZE) })?;
    }
    Ok(())
}

/// Whether this process ignores `signal`.
///
/// # Errors
/// As `rt_sigaction(2)`, for which there is no reason.
pub fn is_ignored(signal: Signal) -> io::Result<bool> {
    Ok(action(signal.as_raw())?[0] == libc::SIG_IGN as libc::c_ulong)
}

/// Ends this process by `signal`, as if it had never been blocked; returns if that does not end it, because it is ignored or one
/// that ends nobody.
///
/// # Errors
/// As `sigprocmask(2)` and `kill(2)`, for which there is no reason.
pub fn die_of(signal: Signal) -> io::Result<()> {
    reset_for_exec()?;
    Ok(rustix::process::kill_process(rustix::process::getpid(), signal)?)
}

/// The signal `number` if there is one that programs may send: a named or a real-time one.
#[must_use]
pub fn by_number(number: i32) -> Option<Signal> {
    Signal::from_named_raw(number).or_else(|| real_time(number))
}

/// The real-time signal `number`, of those that libc leaves to programs; `None` for any other number.
#[must_use]
pub fn real_time(number: i32) -> Option<Signal> {
    if !(libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number) {
        return None;
    }
    // SAFETY: it is a signal's number, and none that libc keeps for itself.
    Some(unsafe { Signal::from_raw_unchecked(number) })
}

/// One received signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub number: i32,
    /// The process that sent it, or the child that changed state; 0 if the kernel did.
    pub pid: i32,
}

/// These signals as the C library takes them.
///
/// # Errors
/// `EINVAL` for a number that is no signal's.
pub(crate) fn set_of(signals: &[Signal]) -> io::Result<libc::sigset_t> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set that the pointer names.
    if unsafe { libc::sigemptyset(set.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: sigemptyset returned success, so the set is initialised.
    let mut set = unsafe { set.assume_init() };
    for signal in signals {
        // SAFETY: the set is initialised and exclusively ours.
        if unsafe { libc::sigaddset(&raw mut set, signal.as_raw()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(set)
}

impl Signals {
    /// Blocks `signals` in the calling thread and opens a non-blocking, close-on-exec descriptor that receives them.
    ///
    /// The mask is inherited by threads made later and by executed programs, those of [`std::process::Command`] among them
    /// unless [`crate::spawn::unblock_signals`] is asked for. Call this while the process has a single thread. It stays
    /// blocked after the value is dropped.
    ///
    /// # Errors
    /// As `signalfd(2)`; on failure the signals may be blocked already.
    pub fn block(signals: &[Signal]) -> io::Result<Self> {
        let set = set_of(signals)?;
        // SAFETY: the set is initialised; a null pointer asks not to be told the old mask.
        let code = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if code != 0 {
            return Err(io::Error::from_raw_os_error(code));
        }
        // SAFETY: the set is initialised; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd just made this descriptor and nobody else knows it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// The next signal that has arrived, if any.
    ///
    /// # Errors
    /// As `read(2)`; `EIO` for a short read, which the kernel never makes.
    pub fn next(&self) -> io::Result<Option<Received>> {
        let mut buffer = [0u8; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.fd, &mut buffer)) {
            Ok(length) if length == buffer.len() => {}
            Ok(_) => return Err(Errno::IO.into()),
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let word = |at: usize| {
            let mut bytes = [0u8; 4];
            bytes.copy_from_slice(&buffer[at..at + 4]);
            i32::from_ne_bytes(bytes)
        };
        let number = word(std::mem::offset_of!(libc::signalfd_siginfo, ssi_signo));
        Ok(Some(Received { number, pid: word(std::mem::offset_of!(libc::signalfd_siginfo, ssi_pid)) }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a process of its own, because what a signal does is the whole process's.
    #[test]
    fn what_procfs_calls_ignored_is_heeded() {
        const CHILD: &str = "STOCKADE_TEST_HEED";
        if std::env::var_os(CHILD).is_none() {
            let script = "trap '' HUP USR1; exec \"$0\" --exact signal::tests::what_procfs_calls_ignored_is_heeded";
            let myself = std::env::current_exe().unwrap();
            let status = std::process::Command::new("sh").args(["-c", script]).arg(myself).env(CHILD, "1").status();
            assert!(status.unwrap().success());
            return;
        }
        let ignored = || {
            let procfs = crate::procfs::Procfs::host().unwrap();
            procfs.status(crate::procfs::Subject::Myself).unwrap().ignored
        };
        assert_eq!(ignored() & 0b10_0000_0001, 0b10_0000_0001);
        heed(ignored()).unwrap();
        assert_eq!(ignored(), 1 << (libc::SIGPIPE - 1), "Rust's own stays");
    }

    #[test]
    fn a_blocked_signal_arrives_as_data() {
        std::thread::spawn(|| {
            let signals = Signals::block(&[Signal::USR1]).unwrap();
            assert_eq!(signals.next().unwrap(), None);
            let myself = rustix::thread::gettid().as_raw_nonzero().get();
            let process = std::process::id();
            // SAFETY: tgkill has no memory effects; the signal is blocked in this thread.
            let code = unsafe { libc::syscall(libc::SYS_tgkill, process, myself, libc::SIGUSR1) };
            assert_eq!(code, 0);
            assert_eq!(signals.next().unwrap().unwrap().number, libc::SIGUSR1);
            assert_eq!(signals.next().unwrap(), None);
        })
        .join()
        .unwrap();
    }
}
