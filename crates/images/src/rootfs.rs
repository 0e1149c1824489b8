//! `rootfs:DIR`: a folder as an image.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// The real path of the folder, so that a relative name or a link does not change its meaning later.
///
/// # Errors
/// If it is missing or no folder.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let real = path.canonicalize()?;
    rustix::fs::open(&real, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(real)
}
