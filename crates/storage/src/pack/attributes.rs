//! Extended attributes of a file or directory: those that mean something elsewhere, and the marks of overlayfs.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::Owners;

/// The kernel's largest list of names and largest value (XATTR_LIST_MAX, XATTR_SIZE_MAX).
const LARGEST: usize = 64 << 10;

/// Whether the attribute goes into an archive. Labels of this machine's security modules, `trusted.*`, and all that is
/// overlayfs's do not.
pub(super) fn is_packed(name: &[u8]) -> bool {
    let starts = |prefix: &str| name.starts_with(prefix.as_bytes());
    match name {
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => true,
        _ => starts("user.") && !starts("user.overlay."),
    }
}

/// The attributes that go into an archive, sorted, as the container reads them.
///
/// # Errors
/// As `flistxattr(2)` and `fgetxattr(2)`. One that vanishes meanwhile is left out.
pub(super) fn read(file: BorrowedFd<'_>, owners: &Owners) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    for name in names(file)?.into_iter().filter(|name| is_packed(name)) {
        if let Some(value) = value(file, &name)? {
            let value = owners.attribute(&name, value);
            found.push((name, value));
        }
    }
    found.sort();
    Ok(found)
}

/// The names of all attributes.
fn names(file: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut buffer = Vec::with_capacity(LARGEST);
    match rustix::fs::flistxattr(file, rustix::buffer::spare_capacity(&mut buffer)) {
        Ok(_) => {}
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    }
    let names = buffer.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(<[u8]>::to_vec).collect())
}

/// The value of the attribute; `None` if there is none.
pub(crate) fn value(file: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = Vec::with_capacity(LARGEST);
    match rustix::fs::fgetxattr(file, name, rustix::buffer::spare_capacity(&mut buffer)) {
        Ok(_) => Ok(Some(buffer)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::is_packed;

    #[test]
    fn what_is_this_machines_or_overlayfss_stays() {
        for name in ["security.capability", "user.mime", "system.posix_acl_default"] {
            assert!(is_packed(name.as_bytes()), "{name}");
        }
        for name in
            ["security.selinux", "trusted.overlay.opaque", "trusted.x", "user.overlay.opaque", "system.nfs4_acl"]
        {
            assert!(!is_packed(name.as_bytes()), "{name}");
        }
    }
}
