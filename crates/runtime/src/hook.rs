//! Hooks: programs of the host that the configuration's author runs at points of a container's life.
//!
//! A hook gets the container's state as JSON on its standard input, exactly the environment that is configured, and, if it has
//! one, a time limit (`config.md`, "POSIX-platform Hooks").

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal};
use stockade_kernel::spawn::unblock_signals;
use stockade_spec::{Hook, State};

/// A hook that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It could not be executed, or not be spoken to.
    #[error("cannot run the hook {}", path.display())]
    Run {
        /// The program.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It said that it failed.
    #[error("the hook {} failed: {status}{}", path.display(), said(output))]
    Failed {
        /// The program.
        path: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The beginning of what it wrote.
        output: String,
    },
    /// It took longer than it may, and was killed.
    #[error("the hook {} did not end within {seconds} s and was killed", path.display())]
    TimedOut {
        /// The program.
        path: PathBuf,
        /// The limit.
        seconds: i64,
    },
    /// The state could not be written as JSON.
    #[error("cannot describe the container to its hooks")]
    State(#[source] serde_json::Error),
}

/// The output as a part of a message.
fn said(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!(", and said: {output}") }
}

/// The most of a hook's output that goes into a message; the rest is read and dropped.
const MOST_OUTPUT: usize = 4 << 10;

/// Runs `hooks` in order and stops at the first that fails.
///
/// # Errors
/// [`HookError`] naming the hook. A hook that timed out was killed; what it started may go on.
pub fn run(hooks: &[Hook], state: &State) -> Result<(), HookError> {
    if hooks.is_empty() {
        return Ok(());
    }
    let state = serde_json::to_vec(state).map_err(HookError::State)?;
    hooks.iter().try_for_each(|hook| run_one(hook, &state))
}

/// Runs all of `hooks` though some fail: those after the payload's start or end, which can not be undone any more.
#[must_use]
pub fn run_all(hooks: &[Hook], state: &State) -> Vec<HookError> {
    hooks.iter().filter_map(|hook| run(std::slice::from_ref(hook), state).err()).collect()
}

fn run_one(hook: &Hook, state: &[u8]) -> Result<(), HookError> {
    let fail = |source| HookError::Run { path: hook.path.clone(), source };
    let (output, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| fail(errno.into()))?;
    let child = spawn(hook, state, writer).map_err(fail)?;
    let (ended, output) = watch(child, &output, hook.timeout).map_err(fail)?;
    match ended {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            let output = String::from_utf8_lossy(&output).trim_end().to_owned();
            Err(HookError::Failed { path: hook.path.clone(), status, output })
        }
        None => {
            let seconds = hook.timeout.unwrap_or_default();
            Err(HookError::TimedOut { path: hook.path.clone(), seconds })
        }
    }
}

/// Starts the hook with the state on its standard input: in a file and not in a pipe, which a large state would fill while the
/// hook does not read.
fn spawn(hook: &Hook, state: &[u8], output: OwnedFd) -> io::Result<Child> {
    let in_memory = |flags| rustix::fs::memfd_create("state", MemfdFlags::CLOEXEC | flags);
    let mut input = File::from(match in_memory(MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3.
        Err(Errno::INVAL) => in_memory(MemfdFlags::empty())?,
        result => result?,
    });
    input.write_all(state)?;
    input.rewind()?;
    let mut command = Command::new(&hook.path);
    if let Some((name, rest)) = hook.args.split_first() {
        command.arg0(name).args(rest);
    }
    let environment = hook.env.iter().filter_map(|entry| entry.split_once('='));
    // Not where the runtime's caller or the payload stands: a hook must not find its files by accident of that.
    command.current_dir("/").env_clear().envs(environment).stdin(input).stdout(output.try_clone()?).stderr(output);
    // The runtime blocks signals that it forwards, which is no business of the hook's.
    unblock_signals(command.process_group(0)).spawn()
}

/// Waits for the hook, and reads what it says meanwhile: how it ended, `None` if it took longer than `seconds` and was killed
/// with its process group, and the beginning of its output. What the hook leaves running is not waited for.
fn watch(mut child: Child, output: &OwnedFd, seconds: Option<i64>) -> io::Result<(Option<ExitStatus>, Vec<u8>)> {
    let pid = Pid::from_child(&child);
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    rustix::io::ioctl_fionbio(output, true)?;
    // A limit beyond the clock's end is none.
    let deadline = seconds.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds.unsigned_abs())));
    let mut said = Vec::new();
    let mut talks = true;
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(output, PollFlags::IN)];
        match poll(&mut fds[..if talks { 2 } else { 1 }], timeout.as_ref()) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        let over = !fds[0].revents().is_empty();
        talks = talks && hear(output, &mut said)?;
        if over {
            return Ok((Some(child.wait()?), said));
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            rustix::process::kill_process_group(pid, Signal::KILL)?;
            child.wait()?;
            return Ok((None, said));
        }
    }
}

/// Reads what there is, and keeps the beginning; whether there may be more later.
fn hear(output: &OwnedFd, said: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 4 << 10];
    // Bounded, so that a hook that never stops does not keep its time limit from being looked at.
    for _ in 0..16 {
        match rustix::io::retry_on_intr(|| rustix::io::read(output, &mut buffer)) {
            Ok(0) => return Ok(false),
            Ok(length) => said.extend_from_slice(&buffer[..length.min(MOST_OUTPUT - said.len())]),
            Err(Errno::AGAIN) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_spec::ContainerStatus;

    fn state() -> State {
        State {
            oci_version: "1.3.0".to_owned(),
            id: "x".to_owned(),
            status: ContainerStatus::Creating,
            pid: 7,
            bundle: "/b".into(),
            annotations: Default::default(),
        }
    }

    fn shell(script: &str) -> Hook {
        Hook { path: "/bin/sh".into(), args: ["sh", "-c", script].map(str::to_owned).to_vec(), ..Hook::default() }
    }

    #[test]
    fn the_state_comes_on_standard_input_and_the_environment_is_exact() {
        let folder = tempfile::tempdir().unwrap();
        let mut hook = shell("cat > $OUT; env >> $OUT; pwd >> $OUT");
        hook.env = vec![format!("OUT={}", folder.path().join("out").display())];
        run(&[hook], &state()).unwrap();
        let text = std::fs::read_to_string(folder.path().join("out")).unwrap();
        let (json, environment) = text.split_once('}').unwrap();
        assert!(json.contains(r#""id":"x""#) && json.contains(r#""status":"creating""#), "{json}");
        assert!(!environment.contains("CARGO"), "{environment}");
        assert!(environment.ends_with("\n/\n"), "{environment}");
    }

    #[test]
    fn a_hook_has_no_signal_blocked() {
        let blocked = std::thread::spawn(|| {
            let _signals = stockade_kernel::signal::Signals::block(&[Signal::TERM]).unwrap();
            // Not by a shell, some of which clear the mask themselves.
            let hook = Hook {
                path: "/bin/grep".into(),
                args: ["grep", "-q", "SigBlk:.0000000000000000", "/proc/self/status"].map(str::to_owned).to_vec(),
                ..Hook::default()
            };
            run(&[hook], &state())
        });
        blocked.join().unwrap().unwrap();
    }

    #[test]
    fn the_first_failure_ends_the_list_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let later = shell(&format!("touch {}/later", folder.path().display()));
        let error = run(&[shell("echo why >&2; exit 3"), later.clone()], &state()).unwrap_err().to_string();
        assert!(error.contains("/bin/sh") && error.contains("exit status: 3") && error.ends_with("why"), "{error}");
        assert!(!folder.path().join("later").exists());
        assert_eq!(run_all(&[shell("exit 1"), later], &state()).len(), 1);
        assert!(folder.path().join("later").exists());
    }

    #[test]
    fn a_hook_that_takes_too_long_is_killed() {
        let hook = Hook { timeout: Some(1), ..shell("sleep 30 & sleep 30") };
        let started = std::time::Instant::now();
        assert!(matches!(run(&[hook], &state()), Err(HookError::TimedOut { seconds: 1, .. })));
        assert!(started.elapsed() < std::time::Duration::from_secs(20));
    }

    #[test]
    fn a_hook_that_takes_too_long_talking_is_killed_too() {
        let hook = Hook { timeout: Some(1), ..shell("yes") };
        assert!(matches!(run(&[hook], &state()), Err(HookError::TimedOut { .. })));
        run(&[Hook { timeout: Some(i64::MAX), ..shell("exit 0") }], &state()).unwrap();
    }

    #[test]
    fn a_state_that_is_not_read_and_an_output_without_end_are_no_reason_to_hang() {
        let annotations = [("a".to_owned(), "x".repeat(1 << 20))].into();
        let state = State { annotations, ..state() };
        run(&[shell("exec 0<&-; exit 0")], &state).unwrap();
        let error = run(&[shell("head -c 10000000 /dev/zero | tr '\\0' y >&2; exit 3")], &state).unwrap_err();
        assert!(matches!(&error, HookError::Failed { output, .. } if output.len() == MOST_OUTPUT), "{error}");
        // What it leaves running does not count.
        run(&[shell("sleep 30 & exit 0")], &state).unwrap();
    }

    #[test]
    fn both_outputs_are_told() {
        let error = run(&[shell("echo one; echo two > /dev/stderr; exit 1")], &state()).unwrap_err().to_string();
        assert!(error.ends_with("one\ntwo"), "{error}");
    }

    #[test]
    fn a_hook_that_does_not_exist_is_named() {
        let hook = Hook { path: "/no/such/hook".into(), ..Hook::default() };
        assert!(run(&[hook], &state()).unwrap_err().to_string().contains("/no/such/hook"));
    }
}
