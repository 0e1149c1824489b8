//! The folder of unpacked layers.
//!
//! `<data>/layers/sha256/<hex>` is a layer that is complete. `<data>/layers/unpacking/<hex>` is the work of whoever holds
//! the lock (`flock(2)`) on that folder, or the leftover of a process that died, which the next one removes: the layer is
//! unpacked in `layer` in there by a confined program ([`crate::confined`]) and, when every byte was compared, renamed to
//! `<data>/layers/pending/<boot id>/<hex>`. There it is whole for as long as the machine runs, whoever dies; after a crash of the
//! machine it may not be, and is thrown away. [`Layers::commit`] writes any number of layers through to the disk at once and gives
//! them their final names. So a layer has its final name if and only if it is whole, however a process or the machine ends.

mod pending;
mod remove;

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use stockade_kernel::resolve;

use crate::unpack::answer::Refusal;
use crate::unpack::child::{self, ChildError, ProgramError};
use crate::unpack::{is_opaque, set_opaque};
use crate::{Compression, Digest};

/// The program that unpacks.
const PROGRAM: &str = "stockade-unpack";

/// The layers below one data directory.
#[derive(Debug)]
pub struct Layers {
    /// `<data>/layers`.
    path: PathBuf,
    /// `<data>/layers/sha256`.
    complete: OwnedFd,
    /// `<data>/layers/unpacking`.
    unpacking: OwnedFd,
    /// `<data>/layers/pending/<boot id>`.
    pending: OwnedFd,
    /// The program that unpacks.
    program: PathBuf,
}

/// Why the folder of layers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder could not be made or opened.
    #[error("open the folder of layers {path}")]
    Open {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What a process that died left behind could not be removed.
    #[error("remove the half-unpacked layer {path}")]
    Sweep {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Why a layer is not there. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum EnsureError {
    /// The archive does not have the digest that the image says it has.
    #[error("layer {expected} has the content of {found}: the image is damaged or forged")]
    Digest {
        /// The digest that was asked for.
        expected: Digest,
        /// The digest that the archive has.
        found: Digest,
    },
    /// The archive could not be unpacked.
    #[error("unpack layer {diff_id}")]
    Unpack {
        /// The layer.
        diff_id: Digest,
        /// Why not.
        source: Refusal,
    },
    /// The layer as it comes could not be read: the network, or a digest that it was compared with.
    #[error("read layer {diff_id}")]
    Blob {
        /// The layer.
        diff_id: Digest,
        /// Why not.
        source: io::Error,
    },
    /// The program that unpacks.
    #[error("unpack layer {diff_id}")]
    Program {
        /// The layer.
        diff_id: Digest,
        /// What went wrong.
        source: ProgramError,
    },
    /// The folders of the store failed.
    #[error("{step} of layer {diff_id}")]
    Store {
        /// The layer.
        diff_id: Digest,
        /// What was done.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The name of the folder that a layer is unpacked in.
const NEW: &str = "layer";

impl Layers {
    /// Opens the layers below `data_dir`, making the folders (mode 0700) where they are missing, and removes what
    /// processes that died left half-unpacked, and what the machine did when it crashed. `programs` is the folder of
    /// `stockade-unpack`.
    ///
    /// # Errors
    /// If a folder cannot be made, opened or removed; what was made stays.
    pub fn open(data_dir: &Path, programs: &Path) -> Result<Self, OpenError> {
        let path = data_dir.join("layers");
        let complete = open_folder(&path.join("sha256"))?;
        let unpacking = open_folder(&path.join("unpacking"))?;
        let boot = pending::boot_id()?;
        let pending = open_folder(&path.join("pending").join(&boot))?;
        let layers = Self { path, complete, unpacking, pending, program: programs.join(PROGRAM) };
        layers.sweep().map_err(|source| OpenError::Sweep { path: layers.path.join("unpacking"), source })?;
        pending::sweep(&layers.path.join("pending"), &boot)?;
        Ok(layers)
    }

    /// The folder of the complete layer with this diff id, `None` if it was not unpacked yet.
    #[must_use]
    pub fn find(&self, diff_id: &Digest) -> Option<PathBuf> {
        let hex = diff_id.hex();
        rustix::fs::statat(&self.complete, &hex, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(self.path.join("sha256").join(hex))
    }

    /// Whether the complete layer with this diff id hides all layers below it (`.wh..wh..opq` in its root), which overlayfs
    /// does not know of roots: whoever stacks layers leaves those below out.
    ///
    /// # Errors
    /// If it is not there, or cannot be looked at.
    pub fn hides_below(&self, diff_id: &Digest) -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let layer = resolve::open_no_links(&self.complete, diff_id.hex(), flags, Mode::empty())?;
        is_opaque(layer.as_fd())
    }

    /// The folder of the layer with this diff id: [`Layers::unpack`] and [`Layers::commit`] of one.
    ///
    /// # Errors
    /// See [`EnsureError`].
    pub fn ensure(&self, diff_id: &Digest, compression: Compression, blob: impl Read) -> Result<PathBuf, EnsureError> {
        self.unpack(diff_id, compression, blob)?;
        self.commit(&[*diff_id])?;
        Ok(self.path.join("sha256").join(diff_id.hex()))
    }

    /// Unpacks the layer with this diff id from `blob`, in which it is compressed as said, if it was not unpacked before. Where
    /// another process is unpacking the same layer, this one waits for it and unpacks only if that one failed. Every byte of
    /// the archive, also behind its end, is part of the digest, and `blob` is read to its end: if its reader finds something wrong
    /// there, nothing is left of the layer.
    ///
    /// It cannot be used before [`Layers::commit`]. May be called by many threads at once.
    ///
    /// # Errors
    /// See [`EnsureError`]; nothing is left behind.
    pub fn unpack(&self, diff_id: &Digest, compression: Compression, blob: impl Read) -> Result<(), EnsureError> {
        let store = |step| move |source| EnsureError::Store { diff_id: *diff_id, step, source };
        let hex = diff_id.hex();
        let name = OsStr::new(&hex);
        let place = self.lock(name, Wait::Forever).map_err(store("lock the folder"))?;
        let place = place.ok_or(Errno::AGAIN.into()).map_err(store("lock the folder"))?;
        let outcome = match self.find(diff_id).is_some() || self.is_pending(&hex) {
            true => Ok(()),
            false => self.make(diff_id, &place, compression, blob),
        };
        let removed = self.remove_place(name, &place).map_err(store("remove the working folder"));
        outcome.and(removed)
    }

    /// Writes the layers with these diff ids, all of which were unpacked by some process, through to the disk, together, and gives
    /// them their names. Without any that is not yet complete it does nothing.
    ///
    /// # Errors
    /// [`EnsureError::Store`]; those that are not complete stay pending.
    pub fn commit(&self, diff_ids: &[Digest]) -> Result<(), EnsureError> {
        let pending: Vec<_> = diff_ids.iter().filter(|diff_id| self.find(diff_id).is_none()).collect();
        let Some(first) = pending.first() else { return Ok(()) };
        let store =
            |diff_id: Digest, step| move |source: Errno| EnsureError::Store { diff_id, step, source: source.into() };
        // One call for all files; without it a crash of the machine could leave a complete layer of empty files.
        rustix::fs::syncfs(&self.pending).map_err(store(**first, "write the files"))?;
        for diff_id in &pending {
            let hex = diff_id.hex();
            match rustix::fs::renameat(&self.pending, &hex, &self.complete, &hex) {
                // Another process may be committing it too.
                Err(Errno::NOENT) if self.find(diff_id).is_some() => {}
                renamed => renamed.map_err(store(**diff_id, "rename the folder"))?,
            }
        }
        rustix::fs::fsync(&self.complete).map_err(store(**first, "write the name"))
    }

    fn is_pending(&self, hex: &str) -> bool {
        rustix::fs::statat(&self.pending, hex, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Unpacks in the locked folder `place`, compares, and renames.
    fn make(
        &self,
        diff_id: &Digest,
        place: &OwnedFd,
        compression: Compression,
        blob: impl Read,
    ) -> Result<(), EnsureError> {
        let store = |step| move |source: io::Error| EnsureError::Store { diff_id: *diff_id, step, source };
        resolve::remove_tree(place, NEW).map_err(store("remove a leftover"))?;
        let root = new_folder(place).map_err(store("make the folder"))?;
        let path = self.path.join("unpacking").join(diff_id.hex()).join(NEW);
        let lock = place.try_clone().map_err(store("keep the lock"))?;
        let done = child::unpack(&self.program, &path, lock, compression, blob);
        let done = done.map_err(|error| match error {
            ChildError::Refused(source) => EnsureError::Unpack { diff_id: *diff_id, source },
            ChildError::Blob(source) => EnsureError::Blob { diff_id: *diff_id, source },
            ChildError::Program(source) => EnsureError::Program { diff_id: *diff_id, source },
        })?;
        if done.found != *diff_id {
            return Err(EnsureError::Digest { expected: *diff_id, found: done.found });
        }
        for path in done.opaque {
            make_opaque(&root, &path).map_err(store("mark an opaque directory"))?;
        }
        let renamed = rustix::fs::renameat(place, NEW, &self.pending, diff_id.hex());
        renamed.map_err(io::Error::from).map_err(store("rename the folder"))
    }

    /// The working folder of the layer `name`, made and locked by this process; `None` if another one has it and `wait`
    /// says not to wait.
    fn lock(&self, name: &OsStr, wait: Wait) -> io::Result<Option<OwnedFd>> {
        let operation = match wait {
            Wait::Forever => FlockOperation::LockExclusive,
            Wait::Not => FlockOperation::NonBlockingLockExclusive,
        };
        loop {
            match rustix::fs::mkdirat(&self.unpacking, name, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let place = match rustix::fs::openat(&self.unpacking, name, flags, Mode::empty()) {
                Ok(place) => place,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            match rustix::io::retry_on_intr(|| rustix::fs::flock(&place, operation)) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            // The one who had the lock before may have removed the folder, which is then not the one that others lock.
            match rustix::fs::statat(&self.unpacking, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(named) if named.st_ino == rustix::fs::fstat(&place)?.st_ino => return Ok(Some(place)),
                Ok(_) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Removes the working folder `place`, which this process has locked.
    fn remove_place(&self, name: &OsStr, place: &OwnedFd) -> io::Result<()> {
        resolve::remove_tree(place, NEW)?;
        Ok(rustix::fs::unlinkat(&self.unpacking, name, AtFlags::REMOVEDIR)?)
    }

    /// Removes the working folders that no process has locked.
    fn sweep(&self) -> io::Result<()> {
        for entry in rustix::fs::Dir::read_from(&self.unpacking)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let name = <OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name);
            if let Some(place) = self.lock(name, Wait::Not)? {
                self.remove_place(name, &place)?;
            }
        }
        Ok(())
    }
}

/// Whether to wait for a lock.
#[derive(Clone, Copy)]
enum Wait {
    Forever,
    Not,
}

/// Makes the folder that a layer is unpacked in.
fn new_folder(place: &OwnedFd) -> io::Result<OwnedFd> {
    rustix::fs::mkdirat(place, NEW, Mode::from_raw_mode(0o700))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::openat(place, NEW, flags, Mode::empty())?;
    // What an archive without an entry for its root gets, as in Docker.
    rustix::fs::fchmod(&root, Mode::from_raw_mode(0o755))?;
    Ok(root)
}

/// Makes the directory at `path` hide what the layers below have in it.
fn make_opaque(root: &OwnedFd, path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let directory = resolve::open_in_root(root, Path::new("/").join(path), flags, Mode::empty())?;
    set_opaque(directory.as_fd())
}

/// Opens a folder, making it and its parents private to root where they are missing.
fn open_folder(path: &Path) -> Result<OwnedFd, OpenError> {
    let attempt = || -> io::Result<OwnedFd> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::open(path, flags, Mode::empty())?)
    };
    attempt().map_err(|source| OpenError::Open { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
