//! Programs that are executed after a container's end, and when it is started again.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::Pid;
use stockade_kernel::spawn::{die_with_caller, unblock_signals};

/// The one variable of its environment.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// It can not be executed.
#[derive(Debug, thiserror::Error)]
#[error("cannot execute {program:?}")]
pub(crate) struct LeaveError {
    program: String,
    #[source]
    source: std::io::Error,
}

/// Executes `words` in `/` with `PATH` alone, without streams and in a process group of its own; its id, or `None` if there are no words. It outlives this process.
///
/// # Errors
/// [`LeaveError`].
pub(crate) fn on_exit(words: &[String]) -> Result<Option<Pid>, LeaveError> {
    command(words).map(|mut command| spawn(unblock_signals(&mut command))).transpose()
}

/// The same with one more word, if there is one, for a program that ends with this process.
///
/// # Errors
/// [`LeaveError`].
pub(crate) fn at_restart(words: &[String], more: Option<String>) -> Result<Option<Pid>, LeaveError> {
    let command = command(words);
    command.map(|mut command| spawn(die_with_caller(unblock_signals(command.args(more))))).transpose()
}

fn command(words: &[String]) -> Option<Command> {
    let [program, arguments @ ..] = words else { return None };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Some(command)
}

fn spawn(command: &mut Command) -> Result<Pid, LeaveError> {
    match command.spawn() {
        Ok(child) => Ok(Pid::from_child(&child)),
        Err(source) => Err(LeaveError { program: command.get_program().to_string_lossy().into_owned(), source }),
    }
}
