//! Asking the kernel for mounts by id: `statmount(2)` and `listmount(2)` (Linux 6.8).
//!
//! Ids here are the unique 64-bit ones that are never reused (`STATX_MNT_ID_UNIQUE`), not those of mountinfo, except in
//! [`same_mount`], which works on older kernels too.

use std::io;

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;

use super::{AccessTimes, Attributes, MOUNT_ATTR_IDMAP, Propagation};
use crate::sys::check;

/// `statmount(2)`: the same number on every architecture.
const SYS_STATMOUNT: libc::c_long = 457;
/// `listmount(2)`.
const SYS_LISTMOUNT: libc::c_long = 458;
/// `LSMT_ROOT`: the caller's root mount.
const LSMT_ROOT: u64 = u64::MAX;
/// `STATX_MNT_ID_UNIQUE`.
const STATX_MNT_ID_UNIQUE: u32 = 0x4000;
/// `STATMOUNT_SB_BASIC`, `_MNT_BASIC`, `_MNT_ROOT`, `_MNT_POINT` and `_FS_TYPE`, which Linux 6.8 has.
const WANTED: u64 = 0x1 | 0x2 | 0x8 | 0x10 | 0x20;
/// The size of `struct statmount` before its strings.
const HEADER: usize = 512;
/// The size of a buffer that longer strings than any path limit would have to exceed.
const LARGEST: usize = 1 << 20;

/// The kernel's `struct mnt_id_req` (MNT_ID_REQ_SIZE_VER0).
#[repr(C)]
struct Request {
    size: u32,
    spare: u32,
    id: u64,
    parameter: u64,
}

impl Request {
    fn new(id: u64, parameter: u64) -> Self {
        Self { size: size_of::<Self>() as u32, spare: 0, id, parameter }
    }
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its unique id.
    pub id: u64,
    /// The unique id of the mount that it is mounted on.
    pub parent: u64,
    /// Its id in mountinfo.
    pub short_id: u32,
    /// Major and minor number of the file system's device.
    pub device: (u32, u32),
    /// The file system's magic number, as in `statfs(2)`.
    pub magic: u64,
    /// Whether the file system itself is read-only.
    pub super_read_only: bool,
    /// What the mount forbids.
    pub attributes: Attributes,
    /// When access times are updated; `None` for a mode unknown here.
    pub access_times: Option<AccessTimes>,
    /// Whether owners are shown through an id map.
    pub id_mapped: bool,
    /// How mounts below travel; one that is shared and slave at once counts as shared.
    pub propagation: Propagation,
    /// The directory of the file system that is its root.
    pub root: Vec<u8>,
    /// Where it is mounted, relative to the caller's root.
    pub point: Vec<u8>,
    /// The file system type, without subtype.
    pub fs_type: Vec<u8>,
}

/// The unique id of the mount that `fd` is on.
///
/// # Errors
/// `ENOSYS` before Linux 6.8; otherwise as `statx(2)`.
pub fn id_of(fd: impl AsFd) -> io::Result<u64> {
    let unique = StatxFlags::from_bits_retain(STATX_MNT_ID_UNIQUE);
    let answer = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, unique)?;
    if answer.stx_mask & STATX_MNT_ID_UNIQUE == 0 { Err(Errno::NOSYS.into()) } else { Ok(answer.stx_mnt_id) }
}

/// Whether both descriptors are on the same mount. By the ids of mountinfo, which are not reused as long as the descriptors
/// hold their mounts (`STATX_MNT_ID`, Linux 5.8).
///
/// # Errors
/// `ENOSYS` before Linux 5.8; otherwise as `statx(2)`.
pub fn same_mount(left: impl AsFd, right: impl AsFd) -> io::Result<bool> {
    Ok(short_id_of(left)? == short_id_of(right)?)
}

fn short_id_of(fd: impl AsFd) -> io::Result<u64> {
    let answer = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    if answer.stx_mask & StatxFlags::MNT_ID.bits() == 0 { Err(Errno::NOSYS.into()) } else { Ok(answer.stx_mnt_id) }
}

/// The ids of all mounts below the mount `below` of the caller's namespace, or of all reachable from its root.
///
/// # Errors
/// `ENOSYS` before Linux 6.8; `ENOENT` if `below` is gone or not reachable.
pub fn list(below: Option<u64>) -> io::Result<Vec<u64>> {
    let mut all = Vec::new();
    let mut page = [0u64; 256];
    loop {
        // The parameter is the id after which to go on.
        let request = Request::new(below.unwrap_or(LSMT_ROOT), all.last().copied().unwrap_or(0));
        // SAFETY: `request` and `page` live through the call; the kernel writes at most `page.len()` ids.
        let count =
            check(unsafe { libc::syscall(SYS_LISTMOUNT, &raw const request, page.as_mut_ptr(), page.len(), 0) })?
                as usize;
        all.extend_from_slice(page.get(..count).ok_or(Errno::BADMSG)?);
        if count < page.len() {
            return Ok(all);
        }
    }
}

/// The mount with the unique id `id`.
///
/// # Errors
/// `ENOSYS` before Linux 6.8; `ENOENT` if it is gone; `EPERM` if it is not reachable from the caller's root.
pub fn stat(id: u64) -> io::Result<Mount> {
    let mut size = 4096;
    loop {
        let request = Request::new(id, WANTED);
        let mut buffer = vec![0u64; size / 8];
        // SAFETY: `request` lives through the call and `buffer` has `size` bytes, aligned as the structure is.
        let result = check(unsafe { libc::syscall(SYS_STATMOUNT, &raw const request, buffer.as_mut_ptr(), size, 0) });
        match result {
            Ok(_) => return decode(&buffer).ok_or_else(|| Errno::BADMSG.into()),
            Err(error) if error.raw_os_error() == Some(libc::EOVERFLOW) && size < LARGEST => size *= 4,
            Err(error) => return Err(error),
        }
    }
}

/// Reads the kernel's answer; `None` if something asked for is missing.
fn decode(buffer: &[u64]) -> Option<Mount> {
    let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let narrow = |offset: usize| Some(u32::from_ne_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?));
    let wide = |offset: usize| Some(u64::from_ne_bytes(bytes.get(offset..offset + 8)?.try_into().ok()?));
    let string = |offset: usize| {
        let rest = bytes.get(HEADER.checked_add(narrow(offset)? as usize)?..)?;
        Some(rest[..rest.iter().position(|&byte| byte == 0)?].to_vec())
    };
    if wide(8)? & WANTED != WANTED {
        return None;
    }
    let attributes = wide(64)?;
    let propagation = [Propagation::Shared, Propagation::Slave, Propagation::Unbindable]
        .into_iter()
        .find(|kind| wide(72).is_some_and(|bits| bits & kind.bits() != 0))
        .unwrap_or(Propagation::Private);
    Some(Mount {
        id: wide(40)?,
        parent: wide(48)?,
        short_id: narrow(56)?,
        device: (narrow(16)?, narrow(20)?),
        magic: wide(24)?,
        super_read_only: narrow(32)? & 1 != 0,
        attributes: Attributes::from_bits_truncate(attributes),
        access_times: AccessTimes::from_bits(attributes),
        id_mapped: attributes & MOUNT_ATTR_IDMAP != 0,
        propagation,
        root: string(104)?,
        point: string(108)?,
        fs_type: string(36)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::info;
    use std::collections::BTreeMap;

    #[test]
    fn both_sources_agree_about_every_mount() {
        let ids = match list(None) {
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => return,
            result => result.unwrap(),
        };
        let listed = info::parse(&std::fs::read("/proc/self/mountinfo").unwrap()).unwrap();
        let listed: BTreeMap<u32, info::Mount> = listed.into_iter().map(|mount| (mount.id, mount)).collect();
        let mut compared = 0;
        for id in ids {
            // Another test may have unmounted it since.
            let Ok(mount) = stat(id) else { continue };
            let Some(other) = listed.get(&mount.short_id) else { continue };
            assert_eq!((&mount.root, &mount.point, mount.device), (&other.root, &other.point, other.device));
            assert_eq!(mount.fs_type, other.fs_type.split('.').next().unwrap().as_bytes());
            assert_eq!(mount.attributes.contains(Attributes::READ_ONLY), other.has("ro"));
            assert_eq!(mount.attributes.contains(Attributes::NO_SUID), other.has("nosuid"));
            assert_eq!(mount.access_times == Some(AccessTimes::Never), other.has("noatime"));
            assert_eq!(mount.propagation, other.propagation());
            compared += 1;
        }
        assert!(compared > 1);
    }

    #[test]
    fn the_mount_of_a_descriptor_is_found() {
        let proc = std::fs::File::open("/proc").unwrap();
        let Ok(id) = id_of(&proc) else { return };
        let mount = stat(id).unwrap();
        assert_eq!((&mount.fs_type[..], &mount.point[..]), (&b"proc"[..], &b"/proc"[..]));
    }

    #[test]
    fn one_mount_is_told_from_another() {
        let [proc, inside, root] = ["/proc", "/proc/sys", "/"].map(|path| std::fs::File::open(path).unwrap());
        assert!(same_mount(&proc, &inside).unwrap());
        assert!(!same_mount(&proc, &root).unwrap());
    }

    #[test]
    fn short_answers_are_refused() {
        assert!(decode(&[]).is_none());
        assert!(decode(&[u64::MAX; 16]).is_none());
        assert!(decode(&[u64::MAX; 600]).is_none());
    }
}
