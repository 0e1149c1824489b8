//! Why a container ended, as far as anybody can know.
//!
//! The kernel tells a parent a status, and neither who sent a signal nor which system call a filter did not let through. What is here
//! comes from there, from the container's control groups, which are read before they are removed, and from the commands of the
//! engine, which say beforehand what they are about to send ([`Asked`]).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Name of the file in the container's folder with what the engine has [`Asked`] for.
pub const ASKED: &str = "asked.json";

/// What the engine is about to send to the container's first process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The signal's number.
    pub signal: i32,
    /// The command: `stop`, `kill`, `rm --force`.
    pub by: String,
    /// The command's process id.
    pub pid: u32,
    /// When: RFC 3339 with nanoseconds, UTC.
    pub at: String,
}

/// Why it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// What ended the first process.
    pub end: Ending,
    /// The first process' name, as the kernel had it (`comm`).
    #[serde(default)]
    pub process: Option<String>,
    /// What became of its memory; `None` where it is not counted.
    #[serde(default)]
    pub memory: Option<Memory>,
    /// What became of its processes.
    #[serde(default)]
    pub pids: Option<Pids>,
}

/// What ended the first process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Ending {
    /// It ended by itself.
    #[default]
    Exit,
    /// The kernel, for want of memory: a process of the container was killed so, and this one by the same signal.
    OutOfMemory,
    /// The kernel, because of a system call that its filter answers so. Which one is only in the kernel's audit log.
    Seccomp,
    /// A signal that the engine was asked to send.
    Asked {
        /// Its number.
        signal: i32,
        /// The command.
        by: String,
        /// The command's process id.
        pid: u32,
    },
    /// Another signal, from a process that the kernel does not name.
    Signal {
        /// Its number.
        signal: i32,
    },
}

/// What became of its memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// How many of its processes the kernel killed for want of memory.
    pub killed: u64,
    /// The most that was used; `None` if the kernel does not say.
    pub peak: Option<u64>,
    /// The limit that was in the way, or would have been.
    pub limit: Option<Limit>,
}

/// A limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// How much.
    pub value: u64,
    /// Whose, if not the container's own: the name of the group above it.
    pub group: Option<String>,
}

/// What became of its processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pids {
    /// How often none could be made because of a limit.
    pub refused: u64,
    /// The most at one time; `None` if the kernel does not say.
    pub peak: Option<u64>,
    /// The container's limit.
    pub limit: Option<u64>,
}

impl Cause {
    /// Whether the kernel killed a process of it for want of memory: Docker's `OOMKilled`.
    #[must_use]
    pub fn out_of_memory(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.killed > 0)
    }

    /// Whether there is more to tell than that it ended by itself or was asked to.
    #[must_use]
    pub fn is_remarkable(&self) -> bool {
        self.out_of_memory() || self.end == Ending::Seccomp || self.refused() > 0
    }

    fn refused(&self) -> u64 {
        self.pids.as_ref().map_or(0, |pids| pids.refused)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self.process.as_deref().map_or_else(|| "its first process".to_owned(), |name| format!("{name:?}"));
        match &self.end {
            Ending::Exit => write!(out, "{who} ended by itself")?,
            Ending::OutOfMemory => write!(out, "the kernel killed {who} for want of memory")?,
            Ending::Seccomp => write!(
                out,
                "the kernel killed {who} for a system call that its seccomp filter forbids; which one is in the kernel's audit log only"
            )?,
            Ending::Asked { signal, by, pid } => {
                write!(out, "signal {signal} ended {who}, sent by \"stockade {by}\" (process {pid})")?;
            }
            Ending::Signal { signal } => {
                write!(out, "signal {signal} ended {who}; the kernel does not tell who sent it")?;
            }
        }
        if let Some(memory) = self.memory.as_ref().filter(|memory| memory.killed > 0) {
            memory.tell(&self.end, out)?;
        }
        if let Some(pids) = self.pids.as_ref().filter(|pids| pids.refused > 0) {
            write!(out, "; {} times no process could be made", pids.refused)?;
            match pids.limit {
                Some(limit) => write!(out, " because of its limit of {limit}")?,
                None => write!(out, " because of a limit above the container")?,
            }
        }
        Ok(())
    }
}

impl Memory {
    fn tell(&self, end: &Ending, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *end == Ending::OutOfMemory {
            write!(out, ":")?;
        } else {
            write!(out, "; the kernel killed {} of its processes for want of memory:", self.killed)?;
        }
        match &self.limit {
            Some(Limit { value, group: None }) => write!(out, " its limit of {value} bytes was reached")?,
            Some(Limit { value, group: Some(group) }) => {
                write!(out, " the limit of {value} bytes of the group {group} above it was reached")?;
            }
            None => write!(out, " the machine had no more")?,
        }
        self.peak.map_or(Ok(()), |peak| write!(out, " (it used {peak} bytes at most)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_in_one_line() {
        let memory = |group: Option<&str>| Memory {
            killed: 2,
            peak: Some(4096),
            limit: Some(Limit { value: 4096, group: group.map(str::to_owned) }),
        };
        let cause = |end| Cause { end, process: Some("sh".into()), memory: None, pids: None };
        let oom = Cause { memory: Some(memory(None)), ..cause(Ending::OutOfMemory) };
        assert_eq!(
            oom.to_string(),
            "the kernel killed \"sh\" for want of memory: its limit of 4096 bytes was reached (it used 4096 bytes at most)"
        );
        let child = Cause { memory: Some(memory(Some("/up"))), ..cause(Ending::Exit) };
        assert_eq!(
            child.to_string(),
            "\"sh\" ended by itself; the kernel killed 2 of its processes for want of memory: \
             the limit of 4096 bytes of the group /up above it was reached (it used 4096 bytes at most)"
        );
        assert!(oom.out_of_memory() && child.is_remarkable() && !cause(Ending::Exit).is_remarkable());
        let pids = Pids { refused: 3, peak: None, limit: Some(10) };
        let refused = Cause { pids: Some(pids), ..cause(Ending::Signal { signal: 9 }) };
        assert_eq!(
            refused.to_string(),
            "signal 9 ended \"sh\"; the kernel does not tell who sent it; 3 times no process could be made because of its limit of 10"
        );
        let asked = cause(Ending::Asked { signal: 15, by: "stop".into(), pid: 7 });
        assert_eq!(asked.to_string(), "signal 15 ended \"sh\", sent by \"stockade stop\" (process 7)");
        let text = serde_json::to_string(&oom).unwrap();
        assert_eq!(serde_json::from_str::<Cause>(&text).unwrap(), oom);
    }
}
