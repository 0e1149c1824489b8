//! Running from a program file that no container can change (CVE-2019-5736).
//!
//! The process that becomes a container is a copy of the runtime, and until it has executed the payload `/proc/PID/exe` of
//! it is the runtime's own file. Whoever can open that link for writing, now or through a descriptor kept until the
//! runtime is idle, replaces a program that the host's root will run.
//!
//! # Why every command that starts something in a container is sealed
//! One might leave out `create` with a new pid namespace, in which nobody else is there to look. That is not sound: the
//! payload itself may be the runtime. An image's program may be a link to `/proc/self/exe`, or a script or an ELF file whose
//! interpreter is that path, and the kernel opens the interpreter while the process still is the runtime. The
//! container then *is* the runtime's program, with arguments that the image chose, and stays that for as long as it
//! likes. A process that is not dumpable does not prevent it, as everybody may open their own link, and `execve(2)` makes it
//! dumpable again; nor does looking at the payload beforehand, which may change in between. So [`ensure`] seals always,
//! and makes it cheap instead: about 0.1 ms and one `execve(2)`, and nothing at all in the cases below.
//!
//! # What counts as sealed
//! Only facts that the kernel tells of the opened program file; no argument and no environment variable is believed.
//! - [`How::ReadOnlyFileSystem`]: erofs, squashfs and iso9660 have no code to write.
//! - [`How::Verity`]: fs-verity on ext4, btrfs or f2fs, which can not be taken off a file (`fsverity enable /usr/sbin/stake`).
//! - [`How::Memfd`]: a memfd with the seals against writing, shrinking, growing, and further seals.
//! - [`How::Overlay`]: a read-only overlayfs mount that is in no place of any mount namespace that the caller can reach, as
//!   made by [`seal`]: it has no upper layer, so that the file system itself can not be written, whatever mount it is seen
//!   through, and the layer below can not be reached from it.
//!
//! A bind mount that is read-only is none of these: it can be undone by whoever can mount.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::clone::require_single_thread;
use crate::exec::{Strings, execute_fd};
use crate::mount::{info, stat};

/// The running program.
const MYSELF: &CStr = c"/proc/self/exe";
/// The variable that a program finds when it was executed again by [`ensure`]. It can only turn a further attempt into an
/// error.
const AGAIN: &str = "STOCKADE_SEALED";
/// A folder that is there on every system, for the second of the two layers that an overlay without an upper one needs. The
/// program's own folder lies over it.
const SECOND_LAYER: &str = "/sys/kernel";
/// `MFD_EXEC` (Linux 6.3).
const MFD_EXEC: MemfdFlags = MemfdFlags::from_bits_retain(0x10);
/// `F_SEAL_EXEC` (Linux 6.3): the mode keeps its x bits.
const F_SEAL_EXEC: SealFlags = SealFlags::from_bits_retain(0x20);
/// What a memfd must have.
const SEALS: SealFlags = SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// File system magics of `linux/magic.h`.
mod magic {
    pub(super) const OVERLAYFS: u64 = 0x794c_7630;
    pub(super) const TMPFS: u64 = 0x0102_1994;
    /// erofs, squashfs, iso9660.
    pub(super) const NEVER_WRITTEN: [u64; 3] = [0xe0f5_e1e2, 0x7371_7368, 0x9660];
    /// ext2/3/4, btrfs, f2fs.
    pub(super) const WITH_VERITY: [u64; 3] = [0xef53, 0x9123_683e, 0xf2f5_2010];
}

/// Why nobody can change the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The file system has no way to be written.
    ReadOnlyFileSystem,
    /// fs-verity.
    Verity,
    /// A sealed memfd.
    Memfd,
    /// A read-only overlayfs that is mounted nowhere.
    Overlay,
}

/// Why the program does not run sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// `/proc/self/exe` does not answer.
    #[error("cannot look at the running program through /proc/self/exe")]
    Look(#[source] io::Error),
    /// No way to make a sealed form is left.
    #[error("cannot seal the program: no read-only overlay of it ({overlay}), and no copy in memory")]
    Seal {
        /// Why there is no overlay.
        overlay: io::Error,
        /// Why there is no memfd.
        source: io::Error,
    },
    /// Executing the sealed form failed.
    #[error("cannot execute the sealed program")]
    Execute(#[source] io::Error),
    /// It was executed, and what runs is something else, for instance because an interpreter stands in for it.
    #[error("the program was executed from a sealed file, and yet the kernel says that it does not run from one")]
    StillNot,
}

/// Returns if the running program is sealed, otherwise executes it again from a sealed file, with the same arguments,
/// environment and descriptors. To be called first of all, by a process of one thread.
///
/// # Errors
/// [`SealError`]; the process is what it was.
pub fn ensure() -> Result<How, SealError> {
    let again = std::env::var_os(AGAIN).is_some();
    if let Some(how) = how_is(MYSELF).map_err(SealError::Look)? {
        if again {
            settle().map_err(SealError::Look)?;
        }
        return Ok(how);
    }
    if again {
        return Err(SealError::StillNot);
    }
    let program = rustix::fs::readlinkat(CWD, MYSELF, Vec::new()).map_err(|error| SealError::Look(error.into()))?;
    let sealed = seal(&program)?.program;
    let arguments = Strings::from_bytes(std::env::args_os().map(OsStringExt::into_vec));
    let variables = std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    let variables = Strings::from_bytes(variables.chain([format!("{AGAIN}=1").into_bytes()]));
    let executed = arguments.and_then(|arguments| execute_fd(&sealed, &arguments, &variables?));
    Err(SealError::Execute(executed.err().unwrap_or_else(|| io::ErrorKind::Other.into())))
}

/// A sealed form of a program; both descriptors are close-on-exec.
#[derive(Debug)]
pub struct Sealed {
    /// The file, to be executed.
    program: OwnedFd,
    /// The overlay that it is in. Whoever keeps it open keeps those who end with the program from waiting until the kernel has
    /// taken the overlay apart (`synchronize_rcu_expedited`, twice).
    _overlay: Option<OwnedFd>,
}

/// A sealed form of `program` (absolute, and no link).
///
/// # Errors
/// [`SealError::Seal`]; nothing is left behind.
pub fn seal(program: &CStr) -> Result<Sealed, SealError> {
    overlay(program).or_else(|overlay| memfd(program).map_err(|source| SealError::Seal { overlay, source }))
}

impl Sealed {
    /// Makes what is started by it again with [`Command`] run sealed from the beginning, which saves the program the second
    /// `execve(2)` of [`ensure`]. This must be kept until it was started.
    #[must_use]
    pub fn command(&self, name: &OsStr) -> Command {
        let mut command = Command::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()));
        command.arg0(name).env(AGAIN, "1");
        command
    }
}

/// How the file at `path` is sealed, `None` if it is not. Nothing is assumed of its content.
///
/// # Errors
/// As `openat(2)`, `fstatfs(2)`, `statx(2)`.
fn how_is(path: &CStr) -> io::Result<Option<How>> {
    let file = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let system = rustix::fs::fstatfs(&file)?.f_type as u64;
    if magic::NEVER_WRITTEN.contains(&system) {
        return Ok(Some(How::ReadOnlyFileSystem));
    }
    if magic::WITH_VERITY.contains(&system) {
        let answer = rustix::fs::statx(&file, c"", AtFlags::EMPTY_PATH, StatxFlags::empty())?;
        let verity = answer.stx_attributes_mask & answer.stx_attributes;
        return Ok(verity.contains(StatxAttributes::VERITY).then_some(How::Verity));
    }
    if system == magic::TMPFS {
        let file = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        return match file.and_then(rustix::fs::fcntl_get_seals) {
            Ok(seals) => Ok(seals.contains(SEALS).then_some(How::Memfd)),
            // Ours can be read; a file that is none that seals are for answers EINVAL.
            Err(Errno::ACCESS | Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        };
    }
    let overlay = system == magic::OVERLAYFS
        && rustix::fs::fstatvfs(&file)?.f_flag.contains(StatVfsMountFlags::RDONLY)
        && is_mounted_nowhere(file.as_fd())?;
    Ok(overlay.then_some(How::Overlay))
}

/// Whether the mount of `file` is in no place of the caller's mount namespace.
fn is_mounted_nowhere(file: BorrowedFd<'_>) -> io::Result<bool> {
    let unknown = |error: &io::Error| error.raw_os_error() == Some(Errno::NOSYS.raw_os_error());
    match stat::id_of(file).and_then(stat::stat) {
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => Ok(true),
        Err(error) if unknown(&error) => {
            let id = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id;
            let mounts = info::parse(&std::fs::read("/proc/self/mountinfo")?)?;
            Ok(id != 0 && mounts.iter().all(|mount| u64::from(mount.id) != id))
        }
        // EPERM: mounted, out of the caller's reach.
        _ => Ok(false),
    }
}

/// The program in a read-only overlay of its folder that is mounted nowhere (Linux 5.2; needs CAP_SYS_ADMIN). No byte of it
/// is copied, and it shares the page cache.
fn overlay(program: &CStr) -> io::Result<Sealed> {
    let bytes = program.to_bytes();
    let slash = bytes.iter().rposition(|&byte| byte == b'/').ok_or(Errno::INVAL)?;
    let (folder, name) = (&bytes[..slash.max(1)], &bytes[slash + 1..]);
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(context.as_fd(), "lowerdir", OsStr::from_bytes(&layers(folder)))?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes =
        MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
    let root = rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let program = rustix::fs::openat(&root, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    Ok(Sealed { program, _overlay: Some(root) })
}

/// The option `lowerdir`: `folder` with its colons and backslashes escaped, over the second layer.
fn layers(folder: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(folder.len() + 16);
    for &byte in folder {
        if matches!(byte, b':' | b'\\') {
            text.push(b'\\');
        }
        text.push(byte);
    }
    text.push(b':');
    text.extend_from_slice(SECOND_LAYER.as_bytes());
    text
}

/// A copy of the program in memory, sealed.
fn memfd(program: &CStr) -> io::Result<Sealed> {
    let source = rustix::fs::openat(CWD, program, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let size = usize::try_from(rustix::fs::fstat(&source)?.st_size).map_err(io::Error::other)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = match rustix::fs::memfd_create(c"stake", flags | MFD_EXEC) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(c"stake", flags)?,
        result => result?,
    };
    let mut copied = 0;
    while copied < size {
        match rustix::fs::sendfile(&copy, &source, None, size - copied)? {
            0 => return Err(Errno::IO.into()),
            count => copied += count,
        }
    }
    rustix::fs::fchmod(&copy, Mode::from_raw_mode(0o555))?;
    match rustix::fs::fcntl_add_seals(&copy, SEALS | F_SEAL_EXEC) {
        Err(Errno::INVAL) => rustix::fs::fcntl_add_seals(&copy, SEALS)?,
        result => result?,
    }
    // A file that is open for writing can not be executed, sealed or not.
    let path = CString::new(format!("/proc/self/fd/{}", copy.as_raw_fd()))?;
    let program = rustix::fs::openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(Sealed { program, _overlay: None })
}

/// Takes the marker out of the environment, and gives the process its name again, which after an execution by descriptor
/// is a number.
fn settle() -> io::Result<()> {
    require_single_thread()?;
    // SAFETY: the process has one thread, so nobody reads the environment meanwhile.
    unsafe { std::env::remove_var(AGAIN) };
    let program = std::env::args_os().next().unwrap_or_default();
    let name = program.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    rustix::thread::set_name(&CString::new(name)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_files_are_not_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, "x").unwrap();
        let path = CString::new(path.into_os_string().into_vec()).unwrap();
        for path in [MYSELF, c"/proc/self/status", c"/dev/null", &path] {
            assert_eq!(how_is(path).unwrap(), None, "{path:?}");
        }
        assert!(how_is(c"/nonexistent").is_err());
    }

    #[test]
    fn folders_are_escaped() {
        assert_eq!(layers(b"/a:b\\c"), b"/a\\:b\\\\c:/sys/kernel");
    }

    #[test]
    fn a_memfd_counts_with_all_its_seals_only() {
        let path = |fd: &OwnedFd| CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        for missing in [SealFlags::SEAL, SealFlags::SHRINK, SealFlags::GROW, SealFlags::WRITE] {
            let fd = rustix::fs::memfd_create("test", flags).unwrap();
            rustix::fs::fcntl_add_seals(&fd, SEALS - missing).unwrap();
            assert_eq!(how_is(&path(&fd)).unwrap(), None, "{missing:?}");
        }
        let sealed = memfd(c"/proc/self/exe").unwrap();
        assert_eq!(how_is(&path(&sealed.program)).unwrap(), Some(How::Memfd));
    }
}
