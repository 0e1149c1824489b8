//! What a child of [`std::process::Command`] does between fork and exec, which the standard library leaves as it is.
//!
//! A child inherits the caller's signal mask (since Rust 1.66), and so the signals that [`crate::signal::Signals::block`] blocked.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fd::{AsRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, FdFlags};
use rustix::process::Signal;
use rustix::termios::tcsetpgrp;

/// Makes `command` start its program with no signal blocked. It forks instead of calling `posix_spawn(3)` then.
pub fn unblock_signals(command: &mut Command) -> &mut Command {
    // SAFETY: the function allocates nothing and calls only signal, sigemptyset and pthread_sigmask, which are
    // async-signal-safe (signal-safety(7)).
    unsafe { command.pre_exec(crate::signal::reset_for_exec) }
}

/// Makes `command` start its program in a process group of its own, which is in the foreground of the terminal that is this
/// process' standard input, if it is one of this session. SIGTTOU must be blocked or ignored by the caller. Before
/// [`unblock_signals`]: what is asked first is done first.
pub fn own_foreground_group(command: &mut Command) -> &mut Command {
    let take = || {
        rustix::process::setpgid(None, None)?;
        match tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid()) {
            // No terminal, a closed one, or another session's.
            Ok(()) | Err(Errno::NOTTY | Errno::BADF | Errno::INVAL | Errno::NXIO | Errno::IO) => Ok(()),
            Err(errno) => Err(io::Error::from(errno)),
        }
    };
    // SAFETY: the closure allocates nothing and makes three system calls, which are async-signal-safe.
    unsafe { command.pre_exec(take) }
}

/// Makes the program that `command` starts end by SIGKILL when the calling thread ends (`PR_SET_PDEATHSIG`, `prctl(2)`), whatever
/// programs it executes in turn. Its own children are not included. Without effect on set-user-id programs.
pub fn die_with_caller(command: &mut Command) -> &mut Command {
    let caller = rustix::process::getpid();
    let tie = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The caller may have ended before the kernel was asked.
        if rustix::process::getppid() == Some(caller) { Ok(()) } else { Err(io::Error::from(Errno::SRCH)) }
    };
    // SAFETY: the closure allocates nothing and makes two system calls, which are async-signal-safe.
    unsafe { command.pre_exec(tie) }
}

/// Makes the program that `command` starts inherit `descriptor` and no other besides the three standard ones, and tells its number
/// there. The descriptor is closed here with `command`.
pub fn only_with(command: &mut Command, descriptor: OwnedFd) -> RawFd {
    let number = descriptor.as_raw_fd();
    only_with_all(command, vec![descriptor]);
    number
}

/// The same for several: each has the number that it has here.
pub fn only_with_all(command: &mut Command, descriptors: Vec<OwnedFd>) {
    let give = move || {
        // The standard library's own, by which it hears that the program could not be executed, is close-on-exec already.
        crate::exec::close_on_exec_from(3)?;
        Ok(descriptors.iter().try_for_each(|descriptor| rustix::io::fcntl_setfd(descriptor, FdFlags::empty()))?)
    };
    // SAFETY: the closure allocates nothing and makes system calls only, which are async-signal-safe.
    unsafe { command.pre_exec(give) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::Signals;

    #[test]
    fn a_child_has_one_descriptor_more_than_the_standard_ones() {
        let given = rustix::fs::open("/", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
        let given = rustix::io::fcntl_dupfd_cloexec(&given, 20).unwrap();
        let leaked = rustix::io::dup(&given).unwrap();
        let mut command = Command::new("ls");
        let number = only_with(command.arg("/proc/self/fd"), given);
        let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
        // 3 is the folder that `ls` reads.
        let numbers: std::collections::BTreeSet<&str> = said.lines().collect();
        assert_eq!(numbers, ["0", "1", "2", "3", &number.to_string()].into());
        drop(leaked);
    }

    #[test]
    fn a_child_has_no_signal_blocked_and_leads_its_group() {
        std::thread::spawn(|| {
            let signals = Signals::block(&[Signal::TERM, Signal::TTOU]).unwrap();
            // Not by a shell, some of which clear the mask themselves.
            let said = |command: &mut Command| String::from_utf8(command.output().unwrap().stdout).unwrap();
            let mut plain = Command::new("grep");
            plain.args(["SigBlk", "/proc/self/status"]);
            assert_ne!(said(&mut plain), "SigBlk:\t0000000000000000\n", "there is no need for this module");
            unblock_signals(&mut plain);
            assert_eq!(said(&mut plain), "SigBlk:\t0000000000000000\n");
            let mut leader = Command::new("cut");
            own_foreground_group(leader.args(["-d ", "-f1,5", "/proc/self/stat"]));
            let said = said(&mut leader);
            let (pid, group) = said.trim().split_once(' ').unwrap();
            assert_eq!(pid, group);
            drop(signals);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_child_dies_with_its_caller() {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        std::thread::spawn(move || {
            let mut sleep = Command::new("sleep");
            // The child holds the writing end until it dies; this thread is its parent as far as the signal goes.
            let child = die_with_caller(sleep.arg("100").stdout(writer)).spawn().unwrap();
            drop(sleep);
            drop(child);
        })
        .join()
        .unwrap();
        assert_eq!(rustix::io::read(&reader, &mut [0; 1]).unwrap(), 0);
    }
}
