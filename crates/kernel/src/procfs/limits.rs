//! Reading `/proc/PID/limits`: the resource limits of a process (`getrlimit(2)`).

use std::io;

use rustix::io::Errno;

use super::{Procfs, Subject};

/// The kernel's names of the limits in that file, with those of `getrlimit(2)` (`fs/proc/base.c`, `lnames`).
const NAMES: [(&str, &str); 16] = [
    ("Max cpu time", "RLIMIT_CPU"),
    ("Max file size", "RLIMIT_FSIZE"),
    ("Max data size", "RLIMIT_DATA"),
    ("Max stack size", "RLIMIT_STACK"),
    ("Max core file size", "RLIMIT_CORE"),
    ("Max resident set", "RLIMIT_RSS"),
    ("Max processes", "RLIMIT_NPROC"),
    ("Max open files", "RLIMIT_NOFILE"),
    ("Max locked memory", "RLIMIT_MEMLOCK"),
    ("Max address space", "RLIMIT_AS"),
    ("Max file locks", "RLIMIT_LOCKS"),
    ("Max pending signals", "RLIMIT_SIGPENDING"),
    ("Max msgqueue size", "RLIMIT_MSGQUEUE"),
    ("Max nice priority", "RLIMIT_NICE"),
    ("Max realtime priority", "RLIMIT_RTPRIO"),
    ("Max realtime timeout", "RLIMIT_RTTIME"),
];

/// One limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name, such as `RLIMIT_NOFILE`.
    pub name: &'static str,
    /// What is in force; `u64::MAX` is no limit.
    pub soft: u64,
    /// What an unprivileged process may raise it to.
    pub hard: u64,
}

impl Procfs {
    /// The resource limits of `subject`, in the order of the kernel. Limits that are newer than this table are left out.
    ///
    /// # Errors
    /// As [`Procfs::read`]; `EBADMSG` if a known line is malformed or missing.
    pub fn limits(&self, subject: Subject) -> io::Result<Vec<Limit>> {
        Ok(parse(&self.read(subject, "limits")?).ok_or(Errno::BADMSG)?)
    }
}

/// Reads the file's text.
fn parse(content: &[u8]) -> Option<Vec<Limit>> {
    let text = std::str::from_utf8(content).ok()?;
    let of = |&(shown, name): &(&str, &'static str)| {
        let rest = text.lines().find_map(|line| line.strip_prefix(shown)?.strip_prefix(' '))?;
        let mut words = rest.split_ascii_whitespace();
        Some(Limit { name, soft: bound(words.next()?)?, hard: bound(words.next()?)? })
    };
    NAMES.iter().map(of).collect()
}

/// A number, or none.
fn bound(word: &str) -> Option<u64> {
    if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Resource, getrlimit};

    #[test]
    fn the_file_agrees_with_the_system_call() {
        let limits = Procfs::host().unwrap().limits(Subject::Myself).unwrap();
        assert_eq!(limits.len(), NAMES.len());
        for (name, resource) in [("RLIMIT_NOFILE", Resource::Nofile), ("RLIMIT_CORE", Resource::Core)] {
            let limit = limits.iter().find(|limit| limit.name == name).unwrap();
            let asked = getrlimit(resource);
            assert_eq!(
                (limit.soft, limit.hard),
                (asked.current.unwrap_or(u64::MAX), asked.maximum.unwrap_or(u64::MAX))
            );
        }
    }

    #[test]
    fn damaged_text_is_refused() {
        assert_eq!(parse(b""), None);
        let whole = Procfs::host().unwrap().read(Subject::Myself, "limits").unwrap();
        let text = String::from_utf8(whole).unwrap();
        assert!(parse(text.as_bytes()).is_some());
        assert_eq!(parse(text.replace("Max open files", "Max closed files").as_bytes()), None);
        assert_eq!(parse(text.replace("Max cpu time              unlimited", "Max cpu time  x").as_bytes()), None);
    }
}
