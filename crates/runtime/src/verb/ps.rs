//! `ps`: the processes of a container.

use std::io;
use std::process::Command;

use stockade_cgroups::{FileError, Group};
use stockade_kernel::procfs::{Procfs, Subject};

use super::Context;
use crate::store::{ContainerId, StoreError};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PsError {
    /// The container's folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// In runc's words.
    #[error("container not running")]
    NotRunning,
    /// The pid namespace, where there is no cgroup.
    #[error("cannot look at the pid namespace of the container")]
    Namespaces(#[source] io::Error),
    /// The cgroup.
    #[error(transparent)]
    Group(#[from] FileError),
    /// `ps(1)`.
    #[error("cannot run ps")]
    Run(#[source] io::Error),
    /// `ps(1)` refused its options.
    #[error("ps: {0}")]
    Refused(String),
    /// `ps(1)` was given options that hide the process ids.
    #[error("ps shows no column PID with these options")]
    NoPid,
}

/// The ids, on the host, of all processes of the container, sorted.
///
/// # Errors
/// [`PsError`].
pub fn processes(context: &Context, id: &ContainerId) -> Result<Vec<i32>, PsError> {
    let record = context.store.read(id)?.ok_or(PsError::NotRunning)?;
    let mut pids = match (record.places.is_empty(), record.process) {
        // Where there is no cgroup there is a pid namespace.
        (true, Some(first)) => in_pid_namespace_of(first.pid).map_err(PsError::Namespaces)?,
        _ => Group::open_remaining(&record.places)?.processes()?,
    };
    pids.sort_unstable();
    Ok(pids)
}

/// The processes of the pid namespace that process `first` is in, and that is not the caller's.
fn in_pid_namespace_of(first: i32) -> io::Result<Vec<i32>> {
    let procfs = Procfs::host()?;
    let namespace = |pid: i32| procfs.read_link(Subject::Pid(pid), "ns/pid");
    let theirs = namespace(first)?;
    if theirs == procfs.read_link(Subject::Myself, "ns/pid")? {
        return Err(rustix::io::Errno::SRCH.into());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        // Those that end meanwhile, and those that may not be looked into, are not the container's.
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok())
            && namespace(pid).is_ok_and(|other| other == theirs)
        {
            found.push(pid);
        }
    }
    Ok(found)
}

/// What `ps(1)` with `options` (`-ef` if there are none) says of these processes.
///
/// # Errors
/// [`PsError`].
pub fn table(pids: &[i32], options: &[String]) -> Result<String, PsError> {
    let default = ["-ef".to_owned()];
    let options = if options.is_empty() { &default } else { options };
    let ps = |more: &[String]| Command::new("ps").args(options).args(more).output().map_err(PsError::Run);
    // Only these are asked for, as Docker does it: many options show the caller's own processes otherwise. Some options cannot go
    // with that.
    let only_ours = pids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    let output = match ps(&[format!("-q{only_ours}")])? {
        refused if !refused.status.success() => ps(&[])?,
        output => output,
    };
    if !output.status.success() {
        return Err(PsError::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    only(pids, &String::from_utf8_lossy(&output.stdout))
}

/// The head of a table of `ps(1)`, and its lines of these processes.
fn only(pids: &[i32], text: &str) -> Result<String, PsError> {
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_ascii_whitespace().position(|name| name == "PID").ok_or(PsError::NoPid)?;
    let ours = |line: &&str| {
        let pid = line.split_ascii_whitespace().nth(column).and_then(|word| word.parse::<i32>().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    Ok(std::iter::once(head).chain(lines.filter(ours)).map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_chosen_by_the_column_of_process_ids() {
        let text = "UID  PID PPID CMD\nroot  7    1 sh\nroot  1    7 init\nroot 77    7 sh 7\n";
        assert_eq!(only(&[7], text).unwrap(), "UID  PID PPID CMD\nroot  7    1 sh\n");
        assert_eq!(only(&[1, 77, 5], text).unwrap().lines().count(), 3);
        assert_eq!(only(&[], text).unwrap(), "UID  PID PPID CMD\n");
        assert!(matches!(only(&[7], "COMMAND\nsh\n"), Err(PsError::NoPid)));
        assert!(matches!(only(&[7], ""), Err(PsError::NoPid)));
    }
}
