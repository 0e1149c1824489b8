//! The program that is executed after a container's end.

use std::process::{Command, Stdio};

use rustix::process::Pid;
use stockade_kernel::spawn::unblock_signals;

/// The one variable of its environment.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// It can not be executed.
#[derive(Debug, thiserror::Error)]
#[error("cannot execute {program:?} after the container's end")]
pub(crate) struct LeaveError {
    program: String,
    #[source]
    source: std::io::Error,
}

/// Executes `words` in `/` with `PATH` alone and without streams; its id, or `None` if there are no words.
///
/// # Errors
/// [`LeaveError`].
pub(crate) fn on_exit(words: &[String]) -> Result<Option<Pid>, LeaveError> {
    let [program, arguments @ ..] = words else { return Ok(None) };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match unblock_signals(&mut command).spawn() {
        Ok(child) => Ok(Some(Pid::from_child(&child))),
        Err(source) => Err(LeaveError { program: program.clone(), source }),
    }
}
