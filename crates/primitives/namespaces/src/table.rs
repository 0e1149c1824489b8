//! The namespaces of this machine with who is in them, as `lsns(8)` shows them.

use std::collections::BTreeMap;
use std::io;

use rustix::fs::{Dir, OFlags};
use rustix::io::Errno;
use stockade_kernel::namespace::Namespaces;
use stockade_kernel::procfs::{Procfs, Subject};

use crate::observe::{KINDS, inode};

/// One namespace that has a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its kind.
    pub kind: Namespaces,
    /// Its inode number.
    pub inode: u64,
    /// How many processes are in it.
    pub processes: u32,
    /// The lowest process id of those.
    pub pid: i32,
    /// The effective user of that process.
    pub uid: u32,
    /// The command line of that process, its arguments parted by blanks, or its name if it has none. Chosen by that process: escape
    /// it before it reaches a terminal.
    pub command: Vec<u8>,
}

/// What could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// By kind and inode number.
    pub rows: Vec<Row>,
    /// How many processes did not let the caller see their namespaces.
    pub hidden: u32,
}

/// Goes through all processes that `procfs` shows. Namespaces without a process, kept by a mount or a descriptor, are missing.
///
/// # Errors
/// As `getdents64(2)` and `readlink(2)`, for other reasons than that a process has ended or is another user's; `EBADMSG` if the
/// kernel's answer has another form.
pub fn table(procfs: &Procfs) -> io::Result<Table> {
    let mut found: BTreeMap<(u32, u64), (u32, i32)> = BTreeMap::new();
    let mut hidden = 0;
    for pid in pids(procfs)? {
        match inodes(procfs, pid) {
            Ok(inodes) => {
                for (kind, inode) in inodes {
                    let (processes, lowest) = found.entry((kind.bits(), inode)).or_insert((0, pid));
                    *processes += 1;
                    *lowest = pid.min(*lowest);
                }
            }
            Err(error) if is(&error, Errno::ACCESS) || is(&error, Errno::PERM) => hidden += 1,
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let rows = found.into_iter().map(|((kind, inode), (processes, pid))| {
        let (uid, command) = match describe(procfs, pid) {
            // Its last process has ended meanwhile.
            Err(error) if is_gone(&error) => return Ok(None),
            described => described?,
        };
        Ok(Some(Row { kind: Namespaces::from_bits_truncate(kind), inode, processes, pid, uid, command }))
    });
    Ok(Table { rows: rows.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect(), hidden })
}

/// The ids of all processes.
fn pids(procfs: &Procfs) -> io::Result<Vec<i32>> {
    let root = procfs.open_at(".", OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut pids = Vec::new();
    for entry in Dir::new(root)? {
        pids.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(pids)
}

/// The namespaces of one process.
fn inodes(procfs: &Procfs, pid: i32) -> io::Result<Vec<(Namespaces, u64)>> {
    let mut inodes = Vec::with_capacity(KINDS.len());
    for (kind, name) in KINDS {
        match procfs.read_link(Subject::Pid(pid), &format!("ns/{name}")) {
            Ok(link) => inodes.push((kind, inode(&link, name).ok_or(Errno::BADMSG)?)),
            // A kind that the kernel lacks, or a process that has ended: then nothing is found at all.
            Err(error) if is(&error, Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(inodes)
}

/// The user and the command of a process.
fn describe(procfs: &Procfs, pid: i32) -> io::Result<(u32, Vec<u8>)> {
    let status = procfs.status(Subject::Pid(pid))?;
    let mut command = procfs.read(Subject::Pid(pid), "cmdline")?;
    while command.last() == Some(&0) {
        command.pop();
    }
    if command.is_empty() {
        command = status.name.into_bytes();
    }
    for byte in &mut command {
        if *byte == 0 {
            *byte = b' ';
        }
    }
    Ok((status.uids[1], command))
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn is_gone(error: &io::Error) -> bool {
    is(error, Errno::NOENT) || is(error, Errno::SRCH)
}
