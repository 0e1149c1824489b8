//! Reading and writing procfs through a file descriptor that is known to be procfs.
//!
//! A path below `/proc` may be redirected by whoever can mount over it (CVE-2019-16884, CVE-2025-52881). A
//! [`Procfs`] is a directory descriptor whose file system type was checked, or, inside a container, a private
//! instance that nobody else has ever seen ([`Procfs::private`]). Files below it are opened without following
//! symbolic links and without crossing mounts, so what is read is the kernel's answer.

mod descriptors;
mod limits;

pub use descriptors::Descriptor;
pub use limits::Limit;

use std::io;

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

/// The file system magic of procfs, from `linux/magic.h`.
const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// The most that is read of one procfs file: far more than any file that is read here has.
const READ_LIMIT: usize = 16 << 20;

/// A process as seen from the reader's pid namespace, or the reading thread itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The calling thread (`thread-self`).
    Myself,
    /// The process with this id in the pid namespace that the procfs instance belongs to.
    Pid(i32),
}

impl Subject {
    /// The path of `file` of this process, relative to procfs' root.
    fn path(self, file: &str) -> String {
        match self {
            Subject::Myself => format!("thread-self/{file}"),
            Subject::Pid(pid) => format!("{pid}/{file}"),
        }
    }
}

/// A procfs instance.
#[derive(Debug)]
pub struct Procfs {
    root: OwnedFd,
}

impl Procfs {
    /// The instance mounted at `/proc` of the calling process.
    ///
    /// # Errors
    /// `ENOTSUP` if `/proc` is not the root of a procfs; otherwise as `openat2(2)`.
    pub fn host() -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, "/proc", flags, Mode::empty())?;
        Self::from_fd(root)
    }

    /// A new instance for the caller's pid namespace, mounted nowhere (`fsopen(2)`, Linux 5.2), so that no other
    /// process can mount anything over a part of it. Needs CAP_SYS_ADMIN in the caller's user namespace, which
    /// must own its pid namespace; a user namespace also needs one procfs that is fully visible (`mount_too_revealing`).
    ///
    /// # Errors
    /// As `fsopen(2)`, `fsconfig(2)` and `fsmount(2)`. Nothing is left behind.
    pub fn private() -> io::Result<Self> {
        let context = rustix::mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_create(context.as_fd())?;
        let attributes =
            MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let root = rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        Self::from_fd(root)
    }

    /// Takes `root` if it is on procfs.
    ///
    /// # Errors
    /// `ENOTSUP` if it is on another file system.
    pub fn from_fd(root: OwnedFd) -> io::Result<Self> {
        if rustix::fs::fstatfs(&root)?.f_type as u64 == PROC_SUPER_MAGIC {
            Ok(Self { root })
        } else {
            Err(Errno::NOTSUP.into())
        }
    }

    /// Opens `file` of `subject`, for instance `attr/apparmor/exec`. Only `thread-self` itself is followed as a link.
    ///
    /// # Errors
    /// `EXDEV` if something is mounted on the way, `ELOOP` at a magic link; otherwise as `openat2(2)`.
    pub fn open(&self, subject: Subject, file: &str, flags: OFlags) -> io::Result<OwnedFd> {
        self.open_at(&subject.path(file), flags)
    }

    /// Opens `path` relative to procfs' root, for instance `sys/kernel/hostname`.
    ///
    /// # Errors
    /// As [`Procfs::open`].
    pub fn open_at(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
    }

    /// Opens the namespace `name` (`net`, `user`, ...) of `subject`: the one magic link that is followed.
    ///
    /// # Errors
    /// As [`Procfs::open`]; `EACCES` without the right to trace the process (`ptrace(2)`).
    pub fn open_namespace(&self, subject: Subject, name: &str) -> io::Result<OwnedFd> {
        let folder = self.open(subject, "ns", OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(rustix::fs::openat(&folder, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Opens what the magic link `link` (`root`, `cwd`, `exe` or `fd/N`) of `subject` leads to, which its process chose: nothing of
    /// it is trusted, and it is opened to be looked at (`O_PATH`) only.
    ///
    /// # Errors
    /// As [`Procfs::open`]; `EACCES` without the right to trace the process (`ptrace(2)`); `ENOENT` if it is a kernel thread's.
    pub fn open_link(&self, subject: Subject, link: &str) -> io::Result<OwnedFd> {
        let (folder, name) = link.rsplit_once('/').unwrap_or((".", link));
        let folder = self.open(subject, folder, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(rustix::fs::openat(&folder, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// When `subject` was started, in clock ticks since boot (`proc_pid_stat(5)`, `starttime`): with its id it tells the process
    /// from all others that ever had the id.
    ///
    /// # Errors
    /// As [`Procfs::read`]; `EBADMSG` if the kernel's answer has another form.
    pub fn start_time(&self, subject: Subject) -> io::Result<u64> {
        let content = self.read(subject, "stat")?;
        // The name, in parentheses, may contain anything.
        let text = String::from_utf8_lossy(&content);
        let after = text.rsplit_once(')').map(|(_, after)| after);
        let field = after.and_then(|after| after.split_ascii_whitespace().nth(19)?.parse().ok());
        Ok(field.ok_or(Errno::BADMSG)?)
    }

    /// Opens once more what `file` of the calling thread is open on, with other `flags`: an `O_PATH` descriptor whose type was
    /// looked at becomes one that can be used, and no path is resolved again. This instance must be of the caller's pid namespace.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn reopen(&self, file: impl AsFd, flags: OFlags) -> io::Result<OwnedFd> {
        let folder = self.open(Subject::Myself, "fd", OFlags::PATH | OFlags::DIRECTORY)?;
        let number = file.as_fd().as_raw_fd().to_string();
        Ok(rustix::fs::openat(&folder, number, flags | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// The whole of `file` of `subject`, at most 16 MiB.
    ///
    /// # Errors
    /// As [`Procfs::open`]; `EFBIG` if there is more.
    pub fn read(&self, subject: Subject, file: &str) -> io::Result<Vec<u8>> {
        read_all(self.open(subject, file, OFlags::RDONLY)?.as_fd())
    }

    /// The whole of the file at `path` relative to procfs' root, at most 16 MiB.
    ///
    /// # Errors
    /// As [`Procfs::read`].
    pub fn read_at(&self, path: &str) -> io::Result<Vec<u8>> {
        read_all(self.open_at(path, OFlags::RDONLY)?.as_fd())
    }

    /// Writes `value` to the file at `path` relative to procfs' root in a single `write(2)`.
    ///
    /// # Errors
    /// As [`Procfs::open`]; `EIO` if the kernel took only a part.
    pub fn write_at(&self, path: &str, value: &[u8]) -> io::Result<()> {
        let file = self.open_at(path, OFlags::WRONLY)?;
        write_once(file.as_fd(), value)
    }

    /// Writes `value` to `file` of `subject` in a single `write(2)`.
    ///
    /// # Errors
    /// As [`Procfs::write_at`].
    pub fn write(&self, subject: Subject, file: &str, value: &[u8]) -> io::Result<()> {
        self.write_at(&subject.path(file), value)
    }

    /// The target text of the link `file` of `subject`, for instance `ns/mnt` -> `mnt:[4026531841]`.
    ///
    /// # Errors
    /// As `readlinkat(2)`.
    pub fn read_link(&self, subject: Subject, file: &str) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&self.root, subject.path(file), Vec::new())?.into_bytes())
    }

    /// The parsed `status` file of `subject`.
    ///
    /// # Errors
    /// As [`Procfs::read`]; `EBADMSG` if a line that every kernel since 4.10 writes is missing.
    pub fn status(&self, subject: Subject) -> io::Result<Status> {
        Status::parse(&self.read(subject, "status")?)
    }
}

impl AsFd for Procfs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// Reads `file` from its current position to its end, at most 16 MiB.
///
/// # Errors
/// As `read(2)`; `EFBIG` if there is more.
pub fn read_all(file: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    /// A page, which is what the kernel mostly tells at once, and the room with which it is worth asking for more.
    const AT_ONCE: usize = 4096;
    const ROOM: usize = 512;
    let mut content = Vec::with_capacity(AT_ONCE);
    loop {
        if content.capacity() - content.len() < ROOM {
            content.reserve(content.len().max(AT_ONCE));
        }
        match rustix::io::read(file, rustix::buffer::spare_capacity(&mut content)) {
            Ok(0) => return Ok(content),
            Ok(_) if content.len() > READ_LIMIT => return Err(Errno::FBIG.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes `value` to `file` in a single `write(2)`, as kernel files with structure demand.
///
/// # Errors
/// As `write(2)`; `EIO` if the kernel took only a part.
pub fn write_once(file: BorrowedFd<'_>, value: &[u8]) -> io::Result<()> {
    let written = rustix::io::retry_on_intr(|| rustix::io::write(file, value))?;
    if written == value.len() { Ok(()) } else { Err(Errno::IO.into()) }
}

/// What `/proc/PID/status` says of a process' identity and walls (`proc_pid_status(5)`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Status {
    /// `Name`: the command name, at most 15 bytes, escaped as the kernel does.
    pub name: String,
    /// `State`: the one-letter state, for instance `S` or `Z`.
    pub state: char,
    /// `PPid`: the parent's id in the reader's pid namespace, 0 if it is outside.
    pub parent: i32,
    /// `Uid`: real, effective, saved, file system.
    pub uids: [u32; 4],
    /// `Gid`: real, effective, saved, file system.
    pub gids: [u32; 4],
    /// `Groups`: the supplementary groups.
    pub groups: Vec<u32>,
    /// `NSpid`: the id in each pid namespace from the reader's inwards.
    pub pids: Vec<i32>,
    /// `Threads`.
    pub threads: u32,
    /// `SigIgn`: the signals that the process ignores, the lowest bit for number 1.
    pub ignored: u64,
    /// `CapInh`.
    pub inheritable: u64,
    /// `CapPrm`.
    pub permitted: u64,
    /// `CapEff`.
    pub effective: u64,
    /// `CapBnd`.
    pub bounding: u64,
    /// `CapAmb`.
    pub ambient: u64,
    /// `NoNewPrivs` (Linux 4.10).
    pub no_new_privs: bool,
    /// `Seccomp`: 0 off, 1 strict, 2 filter.
    pub seccomp: u8,
    /// `Seccomp_filters` (Linux 5.9): how many filters are attached.
    pub seccomp_filters: Option<u32>,
}

impl Status {
    /// Parses the file's content.
    ///
    /// # Errors
    /// `EBADMSG` if a known line is malformed or a line that every kernel since 4.10 writes is missing.
    pub fn parse(content: &[u8]) -> io::Result<Self> {
        let text = String::from_utf8_lossy(content);
        let mut status = Self::default();
        let mut seen = 0u32;
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            if status.take(key, value.trim()).ok_or(Errno::BADMSG)? {
                seen += 1;
            }
        }
        // Name, State, PPid, Uid, Gid, Groups, Threads, SigIgn, five capability sets, NoNewPrivs, Seccomp.
        if seen < 15 { Err(Errno::BADMSG.into()) } else { Ok(status) }
    }

    /// Stores one line; `Some(false)` for a line that is not always there or not of interest, `None` if it is malformed.
    fn take(&mut self, key: &str, value: &str) -> Option<bool> {
        let hex = || u64::from_str_radix(value, 16).ok();
        match key {
            "Name" => self.name = value.to_owned(),
            "State" => self.state = value.chars().next()?,
            "PPid" => self.parent = value.parse().ok()?,
            "Uid" => self.uids = four(value)?,
            "Gid" => self.gids = four(value)?,
            "Groups" => self.groups = numbers(value)?,
            "Threads" => self.threads = value.parse().ok()?,
            "SigIgn" => self.ignored = hex()?,
            "CapInh" => self.inheritable = hex()?,
            "CapPrm" => self.permitted = hex()?,
            "CapEff" => self.effective = hex()?,
            "CapBnd" => self.bounding = hex()?,
            "CapAmb" => self.ambient = hex()?,
            "NoNewPrivs" => self.no_new_privs = value != "0",
            "Seccomp" => self.seccomp = value.parse().ok()?,
            "Seccomp_filters" => {
                self.seccomp_filters = Some(value.parse().ok()?);
                return Some(false);
            }
            "NSpid" => {
                self.pids = numbers(value)?;
                return Some(false);
            }
            _ => return Some(false),
        }
        Some(true)
    }
}

/// The white-space separated numbers of `value`.
fn numbers<T: std::str::FromStr>(value: &str) -> Option<Vec<T>> {
    value.split_ascii_whitespace().map(|word| word.parse().ok()).collect()
}

/// Exactly four numbers.
fn four(value: &str) -> Option<[u32; 4]> {
    numbers(value)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_of_this_thread_agrees_with_the_system_calls() {
        let status = Procfs::host().unwrap().status(Subject::Myself).unwrap();
        assert_eq!(status.uids[1], rustix::process::geteuid().as_raw());
        assert_eq!(status.gids[0], rustix::process::getgid().as_raw());
        assert_eq!(status.no_new_privs, rustix::thread::no_new_privs().unwrap());
        let sets = rustix::thread::capabilities(None).unwrap();
        assert_eq!(status.effective, sets.effective.bits());
        assert_eq!(status.permitted, sets.permitted.bits());
    }

    #[test]
    fn what_is_not_procfs_is_refused() {
        let root = rustix::fs::openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        assert_eq!(Procfs::from_fd(root).unwrap_err().raw_os_error(), Some(Errno::NOTSUP.raw_os_error()));
    }

    #[test]
    fn magic_links_are_not_followed() {
        let procfs = Procfs::host().unwrap();
        let error = procfs.open(Subject::Myself, "root/etc", OFlags::PATH).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::LOOP.raw_os_error()));
    }

    #[test]
    fn what_a_process_stands_on_is_opened() {
        let procfs = Procfs::host().unwrap();
        let root = procfs.open_link(Subject::Myself, "root").unwrap();
        let (ours, found) = (rustix::fs::stat("/").unwrap(), rustix::fs::fstat(&root).unwrap());
        assert_eq!((ours.st_dev, ours.st_ino), (found.st_dev, found.st_ino));
        assert!(procfs.open_link(Subject::Myself, "fd/4000000").is_err());
        assert!(procfs.start_time(Subject::Myself).unwrap() >= procfs.start_time(Subject::Pid(1)).unwrap());
    }

    #[test]
    fn a_descriptor_that_only_names_becomes_one_that_reads() {
        let file = rustix::fs::openat(CWD, "/proc/self/status", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let mut byte = [0];
        assert_eq!(rustix::io::read(&file, &mut byte), Err(Errno::BADF));
        let opened = Procfs::host().unwrap().reopen(&file, OFlags::RDONLY).unwrap();
        assert_eq!(rustix::io::read(&opened, &mut byte), Ok(1));
    }

    #[test]
    fn malformed_and_short_files_are_refused() {
        assert!(Status::parse(b"").is_err());
        assert!(Status::parse(b"Name:\tx\n").is_err());
        let whole = Procfs::host().unwrap().read(Subject::Myself, "status").unwrap();
        let broken = String::from_utf8(whole).unwrap().replace("CapEff:\t", "CapEff:\tzz");
        assert!(Status::parse(broken.as_bytes()).is_err());
    }
}
