//! Layers that are unpacked and not yet written through to the disk: they count until the machine is started again.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use stockade_kernel::resolve;

use super::{OpenError, open_folder};

/// Where the kernel says which start of the machine this is (`random(4)`).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// This start of the machine.
pub(super) fn boot_id() -> Result<String, OpenError> {
    let path = PathBuf::from(BOOT_ID);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim_end().to_owned()),
        Err(source) => Err(OpenError::Open { path, source }),
    }
}

/// Removes what earlier starts of the machine left below `path`.
pub(super) fn sweep(path: &Path, boot: &str) -> Result<(), OpenError> {
    let failed = |source| OpenError::Sweep { path: path.to_owned(), source };
    let folder = open_folder(path)?;
    for entry in rustix::fs::Dir::read_from(&folder).map_err(|errno| failed(errno.into()))? {
        let entry = entry.map_err(|errno| failed(errno.into()))?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && name != boot.as_bytes() {
            resolve::remove_tree(&folder, OsStr::from_bytes(name)).map_err(failed)?;
        }
    }
    Ok(())
}
