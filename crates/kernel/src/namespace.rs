//! Entering and leaving namespaces, and asking a namespace descriptor what it is (`namespaces(7)`, `ioctl_nsfs(2)`).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd};

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;

use crate::clone::require_single_thread;
use crate::procfs::{Procfs, Subject};
use crate::sys::check;

bitflags::bitflags! {
    /// A set of namespace types: the kernel's `CLONE_NEW*` flags.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Namespaces: u32 {
        /// `CLONE_NEWTIME` (Linux 5.6).
        const TIME = 0x80;
        /// `CLONE_NEWNS`.
        const MOUNT = 0x2_0000;
        /// `CLONE_NEWCGROUP` (Linux 4.6).
        const CGROUP = 0x200_0000;
        /// `CLONE_NEWUTS`.
        const UTS = 0x400_0000;
        /// `CLONE_NEWIPC`.
        const IPC = 0x800_0000;
        /// `CLONE_NEWUSER`.
        const USER = 0x1000_0000;
        /// `CLONE_NEWPID`.
        const PID = 0x2000_0000;
        /// `CLONE_NEWNET`.
        const NET = 0x4000_0000;
    }
}

/// The file system magic of nsfs, from `linux/magic.h`.
const NSFS_MAGIC: u64 = 0x6e73_6673;
/// `NS_GET_USERNS` of `linux/nsfs.h` (Linux 4.9): `_IO(0xb7, 1)`.
const NS_GET_USERNS: libc::c_ulong = request_number(1);
/// `NS_GET_PARENT` (Linux 4.9).
const NS_GET_PARENT: libc::c_ulong = request_number(2);
/// `NS_GET_NSTYPE` (Linux 4.11).
const NS_GET_NSTYPE: libc::c_ulong = request_number(3);
/// `NS_GET_OWNER_UID` (Linux 4.11).
const NS_GET_OWNER_UID: libc::c_ulong = request_number(4);

/// `_IO(NSIO, number)`: these architectures have `_IOC_NONE` at 1 instead of 0.
const fn request_number(number: libc::c_ulong) -> libc::c_ulong {
    let none =
        if cfg!(any(target_arch = "powerpc64", target_arch = "mips64", target_arch = "sparc64")) { 1 << 29 } else { 0 };
    none | 0xb7 << 8 | number
}

/// Whether `map`, the content of a process' `uid_map` as that process reads it, is of the host's user namespace: it covers all ids
/// (`user_namespaces(7)`).
#[must_use]
pub fn is_hosts_id_map(map: &[u8]) -> bool {
    map.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).eq([&b"0"[..], b"0", b"4294967295"])
}

/// Moves the calling thread into the namespace `fd` (one flag, checked against its type; none: any type) or, if `fd` is
/// a pidfd, into those of that process' namespaces that `which` names, all or none (Linux 5.8).
///
/// A pid namespace is entered by children made afterwards only. Entering a user namespace gives all its capabilities.
/// Entering a mount namespace sets root and working directory to its root.
///
/// # Errors
/// `EDEADLK` if the process has other threads; `EINVAL` for another type, the own user namespace, or a pid namespace
/// that is no descendant; `EPERM`, `ESRCH` as `setns(2)`. Nothing has changed.
pub fn setns(fd: impl AsFd, which: Namespaces) -> io::Result<()> {
    require_single_thread()?;
    // SAFETY: the descriptor is borrowed for the call; the only thread of the process moves, so no two threads differ.
    check(unsafe { libc::setns(fd.as_fd().as_raw_fd(), which.bits() as libc::c_int) })?;
    Ok(())
}

/// Does something in the namespace `target` of the one kind `which`, and comes back. For kinds that a process can leave and enter again
/// at will: [`Namespaces::NET`], [`Namespaces::IPC`] and [`Namespaces::UTS`].
///
/// # Errors
/// As [`setns`], before anything was done. [`InsideError::Stranded`] if there is no way back: the caller should end.
pub fn inside<T>(target: impl AsFd, which: Namespaces, act: impl FnOnce() -> T) -> Result<T, InsideError> {
    let name = match which {
        Namespaces::NET => "net",
        Namespaces::IPC => "ipc",
        Namespaces::UTS => "uts",
        _ => return Err(InsideError::Enter(Errno::INVAL.into())),
    };
    let home = Procfs::host().and_then(|procfs| procfs.open_namespace(Subject::Myself, name));
    let home = home.map_err(InsideError::Enter)?;
    setns(target, which).map_err(InsideError::Enter)?;
    let done = act();
    setns(home, which).map_err(InsideError::Stranded)?;
    Ok(done)
}

/// Why nothing was done in a namespace, or there was no way back.
#[derive(Debug, thiserror::Error)]
pub enum InsideError {
    /// It could not be entered.
    #[error("cannot enter the namespace")]
    Enter(#[source] io::Error),
    /// The caller is still in it.
    #[error("cannot return from the namespace")]
    Stranded(#[source] io::Error),
}

/// Moves the caller into new namespaces; for [`Namespaces::PID`] and [`Namespaces::TIME`] only children made afterwards.
/// With [`Namespaces::USER`] among them the others belong to the new user namespace.
///
/// # Errors
/// `EDEADLK` if the process has other threads; otherwise as `unshare(2)`. Nothing has changed.
pub fn unshare(which: Namespaces) -> io::Result<()> {
    require_single_thread()?;
    // SAFETY: only namespace flags can be in `which`; descriptors stay shared with nobody, as there is no other thread.
    check(unsafe { libc::unshare(which.bits() as libc::c_int) })?;
    Ok(())
}

/// `ENOTSUP` unless `fd` is on nsfs: a path given by a user may be any file.
fn require_nsfs(fd: impl AsFd) -> io::Result<()> {
    if rustix::fs::fstatfs(fd)?.f_type as u64 == NSFS_MAGIC { Ok(()) } else { Err(Errno::NOTSUP.into()) }
}

/// The type of the namespace `fd`.
///
/// # Errors
/// `ENOTSUP` if `fd` is no namespace or of a type unknown here.
pub fn kind(fd: impl AsFd) -> io::Result<Namespaces> {
    require_nsfs(&fd)?;
    // SAFETY: `fd` is on nsfs, where this request takes no argument and changes nothing.
    let bits = check(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), NS_GET_NSTYPE) })?;
    u32::try_from(bits).ok().and_then(Namespaces::from_bits).ok_or_else(|| Errno::NOTSUP.into())
}

/// The user namespace that owns the namespace `fd`; of a user namespace, its parent.
///
/// # Errors
/// `EPERM` if that is outside the caller's user namespace; `ENOTSUP` if `fd` is no namespace.
pub fn owner(fd: impl AsFd) -> io::Result<OwnedFd> {
    related(fd, NS_GET_USERNS)
}

/// The parent of the pid or user namespace `fd`.
///
/// # Errors
/// `EPERM` if there is none in the caller's scope, `EINVAL` for other types, `ENOTSUP` if `fd` is no namespace.
pub fn parent(fd: impl AsFd) -> io::Result<OwnedFd> {
    related(fd, NS_GET_PARENT)
}

/// The descriptor that `request` answers with.
fn related(fd: impl AsFd, request: libc::c_ulong) -> io::Result<OwnedFd> {
    require_nsfs(&fd)?;
    // SAFETY: `fd` is on nsfs, where both requests used here take no argument.
    let number = check(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), request) })?;
    // SAFETY: the kernel just made this close-on-exec descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number as libc::c_int) })
}

/// The user that made the user namespace `fd`, as an id of the caller's user namespace (65534 if it has none there).
///
/// # Errors
/// `EINVAL` if `fd` is another namespace; `ENOTSUP` if it is none.
pub fn owner_uid(fd: impl AsFd) -> io::Result<u32> {
    require_nsfs(&fd)?;
    let mut uid: libc::uid_t = 0;
    // SAFETY: on nsfs this request writes one uid_t to the address given, which is valid through the call.
    check(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), NS_GET_OWNER_UID, &raw mut uid) })?;
    Ok(uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, OFlags};

    fn open(path: &str) -> OwnedFd {
        rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    #[test]
    fn the_hosts_map_covers_all_ids() {
        assert!(is_hosts_id_map(b"         0          0 4294967295\n"));
        for other in [&b""[..], b"0 0 65536\n", b"0 1000 1\n", b"0 0 4294967295\n1 1 1\n"] {
            assert!(!is_hosts_id_map(other), "{:?}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn the_type_of_every_namespace_is_told() {
        let files = [
            ("mnt", Namespaces::MOUNT),
            ("pid", Namespaces::PID),
            ("net", Namespaces::NET),
            ("ipc", Namespaces::IPC),
            ("uts", Namespaces::UTS),
            ("user", Namespaces::USER),
            ("cgroup", Namespaces::CGROUP),
            ("time", Namespaces::TIME),
        ];
        for (file, expected) in files {
            assert_eq!(kind(open(&format!("/proc/self/ns/{file}"))).unwrap(), expected, "{file}");
        }
    }

    #[test]
    fn what_is_no_namespace_is_refused() {
        for error in
            [kind(open("/")).unwrap_err(), owner(open("/")).unwrap_err(), owner_uid(open("/dev/null")).unwrap_err()]
        {
            assert_eq!(error.raw_os_error(), Some(Errno::NOTSUP.raw_os_error()));
        }
    }

    #[test]
    fn the_owner_of_the_network_is_this_user_namespace() {
        let owner = owner(open("/proc/self/ns/net")).unwrap();
        assert_eq!(kind(&owner).unwrap(), Namespaces::USER);
        assert!(owner_uid(&owner).is_ok());
        assert_eq!(owner_uid(open("/proc/self/ns/net")).unwrap_err().raw_os_error(), Some(Errno::INVAL.raw_os_error()));
    }

    #[test]
    fn a_process_with_threads_is_refused() {
        std::thread::spawn(|| {
            assert_eq!(unshare(Namespaces::UTS).unwrap_err().raw_os_error(), Some(Errno::DEADLK.raw_os_error()));
        })
        .join()
        .unwrap();
    }
}
