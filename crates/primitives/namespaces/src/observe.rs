//! Which namespaces a process is in, by the kernel's own answer.

use std::io;

use rustix::io::Errno;
use stockade_kernel::namespace::Namespaces;
use stockade_kernel::procfs::{Procfs, Subject};

use crate::maps::IdMap;
use crate::plan::IdMaps;

/// The kinds with their names below `/proc/PID/ns`.
pub const KINDS: [(Namespaces, &str); 8] = [
    (Namespaces::CGROUP, "cgroup"),
    (Namespaces::IPC, "ipc"),
    (Namespaces::MOUNT, "mnt"),
    (Namespaces::NET, "net"),
    (Namespaces::PID, "pid"),
    (Namespaces::TIME, "time"),
    (Namespaces::USER, "user"),
    (Namespaces::UTS, "uts"),
];

/// A process' namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The inode number of each, which is its identity; a kind that the kernel lacks is missing.
    pub inodes: Vec<(Namespaces, u64)>,
    /// The maps of its user namespace, as seen from the reader's.
    pub maps: IdMaps,
}

impl Observed {
    /// The kinds in which `self` and `other` are in different namespaces.
    #[must_use]
    pub fn differing(&self, other: &Self) -> Namespaces {
        differing(&self.inodes, &other.inodes)
    }
}

/// The kinds of `these` that are other namespaces than those of `others`.
#[must_use]
pub fn differing(these: &[(Namespaces, u64)], others: &[(Namespaces, u64)]) -> Namespaces {
    these.iter().filter(|one| !others.contains(one)).fold(Namespaces::empty(), |all, (kind, _)| all | *kind)
}

/// Reads the namespaces of `subject`. Of another user's process that needs the right to trace it (`ptrace(2)`).
///
/// # Errors
/// As `readlink(2)` and `read(2)`; `EBADMSG` if the kernel's answer has another form.
pub fn observe(procfs: &Procfs, subject: Subject) -> io::Result<Observed> {
    let inodes = inodes(procfs, subject)?;
    let user = |subject| procfs.read_link(subject, "ns/user");
    // To a reader in the same one the kernel shows its ids as the parent's, and all others, such as those of `status`, as its own.
    let readers = user(subject)? == user(Subject::Myself)?;
    let map = |file| {
        let text = procfs.read(subject, file)?;
        let map = IdMap::from_text(&String::from_utf8_lossy(&text)).ok_or_else(|| io::Error::from(Errno::BADMSG))?;
        Ok::<_, io::Error>(if readers { map.onto_itself() } else { map })
    };
    Ok(Observed { inodes, maps: IdMaps { users: map("uid_map")?, groups: map("gid_map")? } })
}

/// Only the inode numbers of [`Observed`], which tell which namespaces they are.
///
/// # Errors
/// As [`observe`].
pub fn inodes(procfs: &Procfs, subject: Subject) -> io::Result<Vec<(Namespaces, u64)>> {
    let mut inodes = Vec::with_capacity(KINDS.len());
    for (kind, name) in KINDS {
        match procfs.read_link(subject, &format!("ns/{name}")) {
            Ok(link) => inodes.push((kind, inode(&link, name).ok_or(Errno::BADMSG)?)),
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
    }
    if inodes.is_empty() {
        return Err(Errno::SRCH.into());
    }
    Ok(inodes)
}

/// Whether `setgroups(2)` is allowed in the user namespace of `subject` (`/proc/PID/setgroups`, Linux 3.19).
///
/// # Errors
/// As [`Procfs::read`]; `EBADMSG` if the kernel's answer has another form.
pub fn setgroups(procfs: &Procfs, subject: Subject) -> io::Result<bool> {
    match procfs.read(subject, "setgroups")?.trim_ascii() {
        b"allow" => Ok(true),
        b"deny" => Ok(false),
        _ => Err(Errno::BADMSG.into()),
    }
}

/// The number in `name:[number]`.
pub(crate) fn inode(link: &[u8], name: &str) -> Option<u64> {
    let text = std::str::from_utf8(link).ok()?;
    text.strip_prefix(name)?.strip_prefix(":[")?.strip_suffix(']')?.parse().ok()
}
