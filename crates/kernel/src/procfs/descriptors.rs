//! What descriptors a process has, and on which mounts they are (`proc_pid_fd(5)`, `proc_pid_fdinfo(5)`).

use std::io;

use rustix::fs::{Dir, OFlags};
use rustix::io::Errno;

use super::{Procfs, Subject};

/// One descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Its number.
    pub number: u32,
    /// What it is open on, as the kernel writes it: a path of the reader's view, or `socket:[7]`, `pipe:[7]`, `anon_inode:x`.
    pub target: Vec<u8>,
    /// The id of the mount that it is on, as in mountinfo; mounts of the kernel's own, for pipes and the like, have one too.
    pub mount: Option<u64>,
}

impl Procfs {
    /// The descriptors of `subject`. Those that are closed meanwhile are left out. Of another user's process that needs the right to
    /// trace it (`ptrace(2)`).
    ///
    /// # Errors
    /// As `getdents64(2)`, `readlink(2)` and `read(2)`; `EBADMSG` if the kernel's answer has another form.
    pub fn descriptors(&self, subject: Subject) -> io::Result<Vec<Descriptor>> {
        let folder = self.open(subject, "fd", OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut found = Vec::new();
        for entry in Dir::new(folder)? {
            let entry = entry?;
            let Some(number) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) else { continue };
            match self.descriptor(subject, number) {
                Ok(one) => found.push(one),
                Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
        }
        found.sort_unstable_by_key(|one| one.number);
        Ok(found)
    }

    fn descriptor(&self, subject: Subject, number: u32) -> io::Result<Descriptor> {
        let target = self.read_link(subject, &format!("fd/{number}"))?;
        let information = self.read(subject, &format!("fdinfo/{number}"))?;
        Ok(Descriptor { number, target, mount: mount_of(&information) })
    }
}

/// The value of `mnt_id`.
fn mount_of(information: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(information);
    text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsRawFd;

    #[test]
    fn an_open_file_is_listed_with_its_mount() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        let procfs = Procfs::host().unwrap();
        let all = procfs.descriptors(Subject::Pid(std::process::id().cast_signed())).unwrap();
        let one = all.iter().find(|one| i64::from(one.number) == i64::from(file.as_raw_fd())).unwrap();
        assert!(one.target.ends_with(b"/status"), "{one:?}");
        let mounts = crate::mount::info::parse(&procfs.read(Subject::Myself, "mountinfo").unwrap()).unwrap();
        let proc = mounts.iter().rfind(|mount| mount.point == b"/proc").unwrap();
        assert_eq!(one.mount, Some(u64::from(proc.id)));
    }
}
