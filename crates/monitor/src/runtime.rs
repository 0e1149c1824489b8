//! Executing the OCI runtime, and finding out what it said.
//!
//! The runtime's errors are read from its log (`--log FILE --log-format json`, which runc, crun and stake have), since its
//! standard error is the container's.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, WaitStatus, kill_process_group};
use serde::Deserialize;
use stockade_kernel::chain::chain;
use stockade_kernel::sealed::{self, Sealed};
use stockade_kernel::spawn::{die_with_caller, only_with, only_with_all, unblock_signals};
use stockade_monitor::control::LONGEST_MESSAGE;

use crate::folder::Folder;
use crate::streams::Inner;

/// Name of the runtime's log in the container's folder: what it said of this container, warnings too.
const LOG: &str = "runtime.log";

/// The most that is read of what the runtime said at one verb.
const MOST_SAID: usize = 16 << 10;

/// Docker's exit code for a container that can not be had.
pub(crate) const NO_CONTAINER: u8 = 125;
/// Docker's exit code for a program that is there and can not be executed.
const NOT_EXECUTABLE: u8 = 126;
/// Docker's exit code for a program that is not there.
const NOT_FOUND: u8 = 127;

/// Why there is no container, or why it did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// 125, 126 or 127.
    pub(crate) code: u8,
    /// What was said, of at most [`LONGEST_MESSAGE`] bytes.
    pub(crate) message: String,
}

impl Refusal {
    /// One that is not about the container's program.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        let mut message = message.into();
        let end = (0..=LONGEST_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
        message.truncate(end);
        Self { code: NO_CONTAINER, message }
    }

    /// One that the runtime said.
    fn said(message: &str) -> Self {
        Self { code: exit_code(message), ..Self::new(message) }
    }
}

/// The runtime, for one container.
#[derive(Debug)]
pub(crate) struct Runtime {
    words: Vec<String>,
    id: String,
    /// How long the log was when the verb that runs now began.
    mark: u64,
}

impl Runtime {
    /// `words` are its program and its global options; not empty.
    pub(crate) fn new(words: Vec<String>, id: String) -> Self {
        Self { words, id, mark: 0 }
    }

    /// Executes `create`, which is not waited for. `inner` is what the container inherits, closed here when this returns.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) fn create(&mut self, folder: &Folder, places: &Places<'_>, inner: Inner) -> Result<Pid, Refusal> {
        let mut command = self.command(folder, "create")?;
        self.new_container(&mut command, places, inner);
        spawn(&mut command)
    }

    /// Executes stake's `run`, which waits for its word once the container is made. `inner` is what the container inherits, closed here
    /// when this returns.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) fn run(
        &mut self,
        folder: &Folder,
        places: &Places<'_>,
        inner: Inner,
    ) -> Result<(Pid, Waiting), Refusal> {
        self.mark(folder)?;
        let program = self.words.first().map(String::as_str).unwrap_or_default();
        let fail = |error: String| Refusal::new(format!("cannot execute the runtime {program}: {error}"));
        // The file itself, where the program is a link.
        let path = std::fs::canonicalize(program).map_err(|error| fail(error.to_string()))?;
        let path = CString::new(path.into_os_string().into_vec()).map_err(|error| fail(error.to_string()))?;
        let sealed = sealed::seal(&path).map_err(|error| fail(chain(&error)))?;
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (ours, theirs) = pair.map_err(|errno| Refusal::new(format!("cannot make a pair of sockets: {errno}")))?;
        let mut command = sealed.command(program.as_ref());
        self.complete(&mut command, folder, LOG, "run");
        command.args(["--detach", "--start-fd", &theirs.as_raw_fd().to_string()]);
        self.new_container(&mut command, places, inner);
        only_with(&mut command, theirs);
        Ok((spawn(&mut command)?, Waiting { socket: ours, _sealed: sealed }))
    }

    /// Executes `start`, which is not waited for.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) fn start(&mut self, folder: &Folder) -> Result<Pid, Refusal> {
        let mut command = self.command(folder, "start")?;
        spawn(command.arg(&self.id))
    }

    /// Executes `delete --force`, which is not waited for.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) fn delete(&mut self, folder: &Folder) -> Result<Pid, Refusal> {
        let mut command = self.command(folder, "delete")?;
        spawn(command.arg("--force").arg(&self.id))
    }

    /// Executes `exec --detach` with a log of its own, which is not waited for.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(crate) fn exec(
        &self,
        folder: &Folder,
        files: &ExecFiles,
        Joining { process, inner, console, group }: Joining,
    ) -> Result<Pid, Refusal> {
        let mut command = self.plain_command(folder, &files.log, "exec")?;
        let number = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
        command.args(["--detach", "--process", &number(&process), "--pid-file"]).arg(folder.path(&files.pid));
        if let Some(socket) = &console {
            command.args(["--console-socket", &number(socket)]);
        }
        if let Some(group) = &group {
            command.args(["--cgroup", group]);
        }
        command.arg(&self.id).stdin(inner.stdin).stdout(inner.stdout).stderr(inner.stderr);
        only_with_all(&mut command, std::iter::once(process).chain(console).collect());
        spawn(&mut command)
    }

    /// What the verb that ended with `status` said; `stderr` is asked if the log has nothing.
    pub(crate) fn refusal(
        &self,
        folder: &Folder,
        verb: &str,
        status: WaitStatus,
        stderr: impl FnOnce() -> String,
    ) -> Refusal {
        self.refusal_in(folder, (LOG, self.mark), verb, status, stderr)
    }

    /// The same for what stands in another log from a place on.
    pub(crate) fn refusal_in(
        &self,
        folder: &Folder,
        (log, mark): (&str, u64),
        verb: &str,
        status: WaitStatus,
        stderr: impl FnOnce() -> String,
    ) -> Refusal {
        let text = match folder.read_from(log, mark, MOST_SAID as u64) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => return Refusal::new(format!("cannot read the runtime's log: {}", chain(&error))),
        };
        if let Some(message) = last_error(&text) {
            return Refusal::said(&message);
        }
        let said = stderr();
        if !said.trim().is_empty() {
            return Refusal::said(said.trim());
        }
        let end = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown status".to_owned(),
        };
        Refusal::new(format!("{} {verb} ended with {end} and did not say why", self.words.join(" ")))
    }

    fn command(&mut self, folder: &Folder, verb: &str) -> Result<Command, Refusal> {
        self.mark(folder)?;
        self.plain_command(folder, LOG, verb)
    }

    /// Remembers where in the log the verb begins that is executed next.
    fn mark(&mut self, folder: &Folder) -> Result<(), Refusal> {
        let fail = |error: io::Error| Refusal::new(format!("cannot look at the runtime's log: {}", chain(&error)));
        self.mark = folder.length(LOG).map_err(fail)?;
        Ok(())
    }

    fn plain_command(&self, folder: &Folder, log: &str, verb: &str) -> Result<Command, Refusal> {
        let program = self.words.first().ok_or_else(|| Refusal::new("there is no runtime"))?;
        let mut command = Command::new(program);
        self.complete(&mut command, folder, log, verb);
        Ok(command)
    }

    /// Adds what every verb is given to the program.
    fn complete(&self, command: &mut Command, folder: &Folder, log: &str, verb: &str) {
        let options = self.words.iter().skip(1);
        command.args(options).arg("--log").arg(folder.path(log)).args(["--log-format", "json", verb]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    }

    /// Adds what the verbs are given that make a container.
    fn new_container(&self, command: &mut Command, places: &Places<'_>, inner: Inner) {
        command.arg("--bundle").arg(places.bundle).arg("--pid-file").arg(places.pid_file);
        if let Some(socket) = places.console_socket {
            command.arg("--console-socket").arg(socket);
        }
        command.arg(&self.id).stdin(inner.stdin).stdout(inner.stdout).stderr(inner.stderr);
    }
}

/// A `run` of stake's that makes a container and waits for its word.
#[derive(Debug)]
pub(crate) struct Waiting {
    socket: OwnedFd,
    /// Kept until the container has started: it would wait for the kernel's taking it apart.
    _sealed: Sealed,
}

impl AsFd for Waiting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Waiting {
    /// Once there is something to be read: whether the container is there; otherwise the runtime has ended, or is about to.
    pub(crate) fn hear(&self) -> bool {
        matches!(rustix::net::recv(&self.socket, &mut [0; 1], RecvFlags::DONTWAIT), Ok((1.., _)))
    }

    /// Lets the container start.
    ///
    /// # Errors
    /// As `send(2)`: the runtime has ended.
    pub(crate) fn start(&self) -> Result<(), Errno> {
        rustix::net::send(&self.socket, b"s", SendFlags::NOSIGNAL).map(drop)
    }
}

/// The files of one process that joins the container, in its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExecFiles {
    /// Where the runtime writes the process' id.
    pub(crate) pid: String,
    /// The runtime's log.
    pub(crate) log: String,
}

/// A process that is to join the container.
#[derive(Debug)]
pub(crate) struct Joining {
    /// What it is, in OCI's form.
    pub(crate) process: OwnedFd,
    /// Its streams.
    pub(crate) inner: Inner,
    /// The socket (`O_PATH`) that gets its terminal, if it has one.
    pub(crate) console: Option<OwnedFd>,
    /// The control group below the container's that it is in (`--cgroup`); `None` for that itself.
    pub(crate) group: Option<String>,
}

/// What `create` is told besides the id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    pub(crate) bundle: &'a Path,
    pub(crate) pid_file: &'a Path,
    pub(crate) console_socket: Option<&'a Path>,
}

/// Starts a program whose end is waited for by its id, in a process group of its own. It dies with this process: whoever finds this one's
/// lock free may rely on it that nothing of the container is still being made.
fn spawn(command: &mut Command) -> Result<Pid, Refusal> {
    let program = command.get_program().to_owned();
    match die_with_caller(unblock_signals(command.process_group(0))).spawn() {
        Ok(child) => Ok(Pid::from_child(&child)),
        Err(error) => Err(Refusal::new(format!("cannot execute the runtime {}: {error}", program.display()))),
    }
}

/// Kills a program that was started here and not waited for, so that its number is its own, with what is in its process group.
///
/// # Errors
/// As `kill(2)`, but for processes that have ended.
pub(crate) fn kill(program: Pid) -> Result<(), Errno> {
    match kill_process_group(program, Signal::KILL) {
        Err(Errno::SRCH) => Ok(()),
        result => result,
    }
}

/// The last error of a log; the last line of one that is no JSON.
fn last_error(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        level: String,
        msg: String,
    }
    let mut last = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match serde_json::from_str::<Line>(line) {
            Ok(line) if matches!(line.level.as_str(), "error" | "fatal" | "panic") => last = Some(line.msg),
            Ok(_) => {}
            Err(_) => last = Some(line.to_owned()),
        }
    }
    last
}

/// Docker's exit code for what a runtime said. Only a message about executing counts: a mount's source that does not exist is
/// 125. The words are Go's (`exec: "x": executable file not found in $PATH`, which stake and runc say), `execve(2)`'s
/// (`exec /x: no such file or directory`), and crun's (``executable file `x` not found``, `open executable`).
fn exit_code(message: &str) -> u8 {
    let message = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if !has(&["exec: ", "exec /", "exec `", "exec '", "executable"]) {
        return NO_CONTAINER;
    }
    if has(&["executable file not found", "no such file or directory"])
        || has(&["executable file"]) && has(&["not found"])
    {
        return NOT_FOUND;
    }
    if has(&["permission denied", "is a directory", "exec format error", "not a directory", "text file busy"]) {
        return NOT_EXECUTABLE;
    }
    NO_CONTAINER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_dockers() {
        for (message, code) in [
            ("cannot find the program: exec: \"x\": executable file not found in $PATH", 127),
            ("cannot find the program: exec: \"/x\": stat /x: no such file or directory", 127),
            ("cannot exec /bin/x: No such file or directory (os error 2)", 127),
            (
                "runc create failed: unable to start container process: error during container init: exec: \"x\": executable file not found in $PATH",
                127,
            ),
            ("executable file `x` not found in $PATH: No such file or directory", 127),
            ("cannot find the program: exec: \"/etc\": is a directory", 126),
            ("exec: \"/etc/passwd\": permission denied", 126),
            ("open executable: Permission denied", 126),
            ("cannot exec /x: Exec format error (os error 8)", 126),
            ("cannot mount /no/such: no such file or directory", 125),
            ("cannot open config.json: permission denied", 125),
            ("", 125),
        ] {
            assert_eq!(exit_code(message), code, "{message}");
        }
    }

    #[test]
    fn the_last_error_is_what_counts() {
        let log = concat!(
            "{\"level\":\"error\",\"msg\":\"first\",\"time\":\"t\"}\n",
            "{\"level\":\"warning\",\"msg\":\"w\",\"time\":\"t\"}\n",
        );
        assert_eq!(last_error(log).as_deref(), Some("first"));
        assert_eq!(last_error(&format!("{log}plain text\n")).as_deref(), Some("plain text"));
        assert_eq!(last_error("{\"level\":\"warning\",\"msg\":\"w\",\"time\":\"t\"}\n"), None);
    }

    #[test]
    fn a_message_is_cut_at_a_character() {
        let refusal = Refusal::new("\u{20ac}".repeat(LONGEST_MESSAGE));
        assert!(refusal.message.len() <= LONGEST_MESSAGE && refusal.message.len() > LONGEST_MESSAGE - 4);
    }
}
