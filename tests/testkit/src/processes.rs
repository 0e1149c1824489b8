//! Processes of this machine, by what the kernel says now.

use rustix::process::{Pid, Signal};

/// Their command lines, words apart by spaces, which have all of `words` in them.
///
/// # Panics
/// If there is no `/proc`.
#[must_use]
pub fn with(words: &[&str]) -> Vec<(i32, String)> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let all = pids.map(|pid| (pid, command_line(pid)));
    all.filter(|(_, line)| words.iter().all(|word| line.contains(word))).collect()
}

/// The ids of the same.
///
/// # Panics
/// As [`with`].
#[must_use]
pub fn ids_with(words: &[&str]) -> Vec<i32> {
    with(words).into_iter().map(|(pid, _)| pid).collect()
}

/// What the process was executed with; empty if it is gone.
#[must_use]
pub fn command_line(pid: i32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned()
}

/// Kills a process, which may have ended by itself.
///
/// # Panics
/// If it is not to be killed.
pub fn kill(pid: i32) {
    match rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("kill {pid}: {error}"),
    }
}
