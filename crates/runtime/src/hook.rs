//! Hooks: programs of the host that the configuration's author runs at points of a container's life.
//!
//! A hook gets the container's state as JSON on its standard input, exactly the environment that is configured, and, if it has
//! one, a time limit (`config.md`, "POSIX-platform Hooks").

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
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
        /// What it wrote to its standard error.
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

/// The most of a hook's standard error that goes into a message.
const MOST_OUTPUT: u64 = 4 << 10;

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
    // Not a pipe, which a hook could fill while nobody reads.
    let output = rustix::fs::memfd_create("hook", MemfdFlags::CLOEXEC).map_err(|errno| fail(errno.into()))?;
    let mut output = File::from(output);
    let mut child = output.try_clone().and_then(|output| spawn(hook, output)).map_err(fail)?;
    let told = tell(&mut child, state);
    let ended = wait(&mut child, hook.timeout).map_err(fail)?;
    let Some(status) = ended else {
        let seconds = hook.timeout.unwrap_or_default();
        return Err(HookError::TimedOut { path: hook.path.clone(), seconds });
    };
    told.map_err(fail)?;
    if status.success() {
        return Ok(());
    }
    let output = read_start(&mut output).map_err(fail)?;
    Err(HookError::Failed { path: hook.path.clone(), status, output })
}

fn spawn(hook: &Hook, output: File) -> io::Result<Child> {
    let mut command = Command::new(&hook.path);
    if let Some((name, rest)) = hook.args.split_first() {
        command.arg0(name).args(rest);
    }
    let environment = hook.env.iter().filter_map(|entry| entry.split_once('='));
    command.env_clear().envs(environment).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(output);
    // The runtime blocks signals that it forwards, which is no business of the hook's.
    unblock_signals(command.process_group(0)).spawn()
}

/// Writes the state; a hook that does not read it is no error. A state always fits into the pipe.
fn tell(child: &mut Child, state: &[u8]) -> io::Result<()> {
    let Some(mut input) = child.stdin.take() else { return Ok(()) };
    match input.write_all(state) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Waits for the hook; `None`: it took longer than `seconds`, and was killed with its process group.
fn wait(child: &mut Child, seconds: Option<i64>) -> io::Result<Option<ExitStatus>> {
    let pid = Pid::from_child(child);
    if let Some(seconds) = seconds {
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let timeout = Timespec { tv_sec: seconds, tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout));
        if ended? == 0 {
            rustix::process::kill_process_group(pid, Signal::KILL)?;
            child.wait()?;
            return Ok(None);
        }
    }
    child.wait().map(Some)
}

/// The beginning of what the hook wrote.
fn read_start(output: &mut File) -> io::Result<String> {
    let mut text = Vec::new();
    output.rewind()?;
    output.take(MOST_OUTPUT).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
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
        let mut hook = shell("cat > $OUT; env >> $OUT");
        hook.env = vec![format!("OUT={}", folder.path().join("out").display())];
        run(&[hook], &state()).unwrap();
        let text = std::fs::read_to_string(folder.path().join("out")).unwrap();
        let (json, environment) = text.split_once('}').unwrap();
        assert!(json.contains(r#""id":"x""#) && json.contains(r#""status":"creating""#), "{json}");
        assert!(!environment.contains("CARGO"), "{environment}");
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
    fn a_hook_that_does_not_exist_is_named() {
        let hook = Hook { path: "/no/such/hook".into(), ..Hook::default() };
        assert!(run(&[hook], &state()).unwrap_err().to_string().contains("/no/such/hook"));
    }
}
