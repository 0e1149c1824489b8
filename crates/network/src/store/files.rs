//! Files and folders of this store.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::StoreError;

/// No file is larger.
const LARGEST: u64 = 1 << 20;

/// Makes a folder (mode 0700) unless it is there.
pub(super) fn make_folder(path: &Path) -> Result<(), StoreError> {
    match rustix::fs::mkdirat(CWD, path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(StoreError::at("make the folder", path)(errno)),
    }
}

/// Opens a folder of ours; a link as last name is refused.
pub(super) fn open_folder(path: &Path) -> Result<OwnedFd, StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(StoreError::at("open", path))
}

/// The folder, locked.
pub(super) fn locked(path: &Path, how: FlockOperation) -> Result<OwnedFd, StoreError> {
    let folder = open_folder(path)?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(folder.as_fd(), how)).map_err(StoreError::at("lock", path))?;
    Ok(folder)
}

/// The file's content; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(StoreError::at("open", path)(errno)),
    };
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text).map_err(StoreError::at("read", path))?;
    Ok(Some(text))
}

/// Makes the file, or makes it anew after a kill, with `content` on the disk.
pub(super) fn write_new(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let mut file = create(path)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(StoreError::at("write", path))
}

/// Puts `content` into the place of the file `path` by way of `new` beside it. It need not outlive the machine.
pub(super) fn replace(new: &Path, path: &Path, content: &[u8]) -> Result<(), StoreError> {
    create(new)?.write_all(content).map_err(StoreError::at("write", new))?;
    rustix::fs::renameat(CWD, new, CWD, path).map_err(StoreError::at("write", path))
}

fn create(path: &Path) -> Result<File, StoreError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map(File::from).map_err(StoreError::at("make", path))
}

/// Removes the file if it is there.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(StoreError::at("remove", path)(errno)),
    }
}
