//! Copying a folder as it is: modes, owners, links and device nodes.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown, lchown, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};

/// Copies the tree `from` to `to`, which must not exist.
///
/// # Errors
/// The first error; the half-made copy stays.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let data = from.symlink_metadata()?;
    let kind = FileType::from_raw_mode(data.mode());
    match kind {
        FileType::Symlink => {
            symlink(std::fs::read_link(from)?, to)?;
            return lchown(to, Some(data.uid()), Some(data.gid()));
        }
        FileType::Directory => {
            std::fs::create_dir(to)?;
            for entry in std::fs::read_dir(from)? {
                let name = entry?.file_name();
                copy(&from.join(&name), &to.join(&name))?;
            }
            lchown(to, Some(data.uid()), Some(data.gid()))?;
        }
        FileType::RegularFile => {
            std::fs::copy(from, to)?;
            fchown(std::fs::File::open(to)?, Some(data.uid()), Some(data.gid()))?;
        }
        _ => {
            rustix::fs::mknodat(CWD, to, kind, Mode::from_raw_mode(data.mode()), data.rdev())?;
            lchown(to, Some(data.uid()), Some(data.gid()))?;
        }
    }
    std::fs::set_permissions(to, PermissionsExt::from_mode(data.mode() & 0o7777))
}
