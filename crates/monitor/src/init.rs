//! `stockade-init -- PROGRAM [ARGUMENT...]`: the first process of a container that was asked for by `--init`.
//!
//! It starts the program as its child in a process group of its own, which gets the terminal if there is one, sends every
//! signal that it gets on to it, reaps the orphans of the pid namespace, and ends with the program's exit code: 128 and the
//! number if a signal ended it, 127 if there is no such program, 126 if it can not be executed. When it ends, the kernel ends
//! whatever else is in the pid namespace.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::{Command, ExitCode};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, wait};
use stockade_kernel::signal::{Signals, by_number, heed_ignored};
use stockade_kernel::spawn::{own_foreground_group, unblock_signals};

/// Faults of this process itself, which are not to be sent on, and what can not be caught.
const OWN: [Signal; 9] = [
    Signal::KILL,
    Signal::STOP,
    Signal::ILL,
    Signal::TRAP,
    Signal::ABORT,
    Signal::BUS,
    Signal::FPE,
    Signal::SEGV,
    Signal::SYS,
];

/// The highest number of a signal (`signal(7)`).
const HIGHEST_SIGNAL: i32 = 64;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(dashes), Some(program)) = (arguments.next(), arguments.next()) else { return usage() };
    if dashes != "--" {
        return usage();
    }
    match run(&program, arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("stockade-init: cannot wait for the program: {error}");
            ExitCode::from(125)
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: stockade-init -- PROGRAM [ARGUMENT...]");
    ExitCode::from(125)
}

fn run(program: &OsStr, arguments: impl Iterator<Item = OsString>) -> io::Result<u8> {
    heed_ignored()?;
    let all: Vec<Signal> = (1..=HIGHEST_SIGNAL).filter_map(by_number).filter(|one| !OWN.contains(one)).collect();
    // Blocked before the program exists, so that none is lost; SIGTTOU among them, so that the terminal can be handed over.
    let signals = Signals::block(&all)?;
    // Where this is not pid 1 (a shared pid namespace) orphans would go past it.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut command = Command::new(program);
    unblock_signals(own_foreground_group(command.args(arguments)));
    let child = match command.spawn() {
        Ok(child) => Pid::from_child(&child),
        Err(error) => {
            eprintln!("stockade-init: exec {program:?}: {error}");
            return Ok(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 });
        }
    };
    loop {
        let mut wait = [PollFd::new(&signals, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut wait, None))?;
        while let Some(received) = signals.next()? {
            send_on(received.number, child)?;
        }
        if let Some(code) = reap(child)? {
            return Ok(code);
        }
    }
}

/// SIGCHLD is this process' own.
fn send_on(number: i32, child: Pid) -> io::Result<()> {
    let Some(signal) = by_number(number).filter(|signal| *signal != Signal::CHILD) else { return Ok(()) };
    match rustix::process::kill_process(child, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Reaps every child that has ended; the exit code of `program`, if it is among them.
fn reap(program: Pid) -> io::Result<Option<u8>> {
    let mut code = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == program => {
                let signal = status.terminating_signal().map(|signal| (128 + signal) as u8);
                code = status.exit_status().map(|exit| exit as u8).or(signal);
            }
            Ok(Some(_)) => {}
            Ok(None) => return Ok(code),
            Err(Errno::CHILD) if code.is_some() => return Ok(code),
            Err(errno) => return Err(errno.into()),
        }
    }
}
