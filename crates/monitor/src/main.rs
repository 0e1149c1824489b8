//! `stockade-monitor FOLDER`: the process that stays with one container. See the library of this package for who starts it and how.
//! `stockade-monitor --hold` only waits: it keeps the user namespace of an ordinary user's containers while none runs.
//!
//! One thread and one `poll(2)` ([`serve`]): signals, the engine, clients, the container's streams. What it is about to do
//! next is a value ([`life`]). It is not ended by signals: SIGTERM goes on to the container's first process, SIGUSR1 and SIGUSR2
//! say that it is not to be started again, SIGINT, SIGHUP and SIGQUIT are ignored, and it is in a session of its own, so
//! that no terminal's signals reach it.
//! If it is killed, the container goes on without anybody who reads its output, and `delete --force` of the runtime removes it.

mod adopt;
mod again;
mod birth;
mod check_group;
mod checks;
mod clients;
mod console;
mod end;
mod errors;
mod execs;
mod folder;
mod happened;
mod input;
mod joined;
mod leave;
mod life;
mod limits;
mod log;
mod runtime;
mod serve;
mod streams;

use std::process::ExitCode;
use stockade_kernel::chain::chain;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: stockade-monitor FOLDER");
        return ExitCode::from(125);
    };
    if folder == stockade_monitor::HOLD {
        return hold();
    }
    let given = match adopt::Given::take() {
        Ok(given) => given,
        Err(error) => {
            eprintln!("stockade-monitor: {}", chain(&error));
            return ExitCode::from(125);
        }
    };
    match life::live(folder.as_ref(), given) {
        Ok(()) => ExitCode::SUCCESS,
        Err(()) => ExitCode::from(125),
    }
}

/// Waits for a signal, the default action of which ends the process.
fn hold() -> ExitCode {
    let Err(error) = loop {
        match rustix::io::retry_on_intr(|| rustix::event::poll(&mut [], None)) {
            Ok(_) => {}
            Err(errno) => break Err::<std::convert::Infallible, _>(errno),
        }
    };
    eprintln!("stockade-monitor: cannot wait: {error}");
    ExitCode::from(125)
}
