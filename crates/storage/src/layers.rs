//! The folder of unpacked layers.
//!
//! `<data>/layers/sha256/<hex>` is a layer that is complete. `<data>/layers/unpacking/<hex>` is the work of whoever holds
//! the lock (`flock(2)`) on that folder, or the leftover of a process that died, which the next one removes: the layer is
//! unpacked in `layer` in there by a confined program ([`crate::confined`]) and, when every byte was compared, renamed to
//! `<data>/layers/pending/<boot id>/<hex>`. There it is whole for as long as the machine runs, whoever dies; after a crash of the
//! machine it may not be, and is thrown away. [`Layers::commit`] writes any number of layers through to the disk at once and gives
//! them their final names. So a layer has its final name if and only if it is whole, however a process or the machine ends.

mod child;
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

use crate::privilege;
use crate::unpack::{UnpackError, is_opaque, set_opaque};
use crate::{Compression, Digest, Privilege};

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
    /// How layers are kept here.
    privilege: Privilege,
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
    /// The layers were unpacked with other privilege than this process has, and would say something else to it.
    #[error(
        "the layers in {path} are kept with the privilege `{kept}`, and this process has that of `{here}`: use another data directory"
    )]
    Privilege {
        /// The folder.
        path: PathBuf,
        /// With which they are kept.
        kept: &'static str,
        /// Which this process has.
        here: &'static str,
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
        source: UnpackError,
    },
    /// The blob could not be read to its end.
    #[error("read the blob of layer {diff_id}")]
    Blob {
        /// The layer.
        diff_id: Digest,
        /// How reading failed.
        source: io::Error,
    },
    /// The program that unpacks could not be run.
    #[error("{step} {} for layer {diff_id}", program.display())]
    Program {
        /// The layer.
        diff_id: Digest,
        /// The program.
        program: PathBuf,
        /// What was done.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The program that unpacks could not confine itself, and read nothing. It needs what root has by default.
    #[error("stockade-unpack cannot confine itself for layer {diff_id}: {reason}")]
    Unconfined {
        /// The layer.
        diff_id: Digest,
        /// Which step failed.
        reason: String,
    },
    /// The program that unpacks did not end with a word on how it went, as when it is killed or needs too much memory.
    #[error("stockade-unpack failed on layer {diff_id}: {how}")]
    Ended {
        /// The layer.
        diff_id: Digest,
        /// How it ended.
        how: String,
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

impl EnsureError {
    fn ended(diff_id: &Digest, how: impl Into<String>) -> Self {
        Self::Ended { diff_id: *diff_id, how: how.into() }
    }
}

/// The name of the folder that a layer is unpacked in.
const NEW: &str = "layer";

/// How folders are opened.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Layers {
    /// Opens the layers below `data_dir`, making the folders (mode 0700) where they are missing, and removes what
    /// processes that died left half-unpacked, and the machine when it crashed. `programs` is the folder of our programs, of which `stockade-unpack` is needed
    /// to unpack more.
    ///
    /// # Errors
    /// If a folder cannot be made, opened or removed; what was made stays.
    pub fn open(data_dir: &Path, programs: &Path) -> Result<Self, OpenError> {
        let path = data_dir.join("layers");
        let privilege = agreed(&path)?;
        let complete = open_folder(&path.join("sha256"))?;
        let unpacking = open_folder(&path.join("unpacking"))?;
        let boot = pending::boot_id()?;
        let pending = open_folder(&path.join("pending").join(&boot))?;
        let layers = Self { path, complete, unpacking, pending, program: programs.join("stockade-unpack"), privilege };
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
        is_opaque(layer.as_fd(), self.privilege)
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

    /// Unpacks the layer with this diff id from its `blob`, an archive with `compression`, if it was not unpacked before; it can
    /// be used after [`Layers::commit`]. Where another process is unpacking the same layer, this one waits for it and unpacks
    /// only if that one failed. Every byte of the archive, also behind its end, is part of the digest, and the layer is kept
    /// only if that is right and `blob` was read to its end without an error. Many threads may unpack at once.
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

    /// Writes the layers with these diff ids, all of which were unpacked by some process since the machine was started, through
    /// to the disk together, and gives them their names. Without any that is not yet complete it does nothing.
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
                // Another process may be committing it too, or it is among `diff_ids` twice.
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
        let store = |step| move |source: Errno| EnsureError::Store { diff_id: *diff_id, step, source: source.into() };
        remove_new(place).map_err(|source| EnsureError::Store {
            diff_id: *diff_id,
            step: "remove a leftover",
            source,
        })?;
        rustix::fs::mkdirat(place, NEW, Mode::from_raw_mode(0o700)).map_err(store("make the folder"))?;
        let root = rustix::fs::openat(place, NEW, DIRECTORY, Mode::empty()).map_err(store("open the folder"))?;
        // What an archive without an entry for its root gets, as in Docker.
        rustix::fs::fchmod(&root, Mode::from_raw_mode(0o755)).map_err(store("set the mode of the folder"))?;
        // Shared with the process that unpacks: the folder is not removed while that can still write.
        rustix::fs::flock(&root, FlockOperation::NonBlockingLockShared).map_err(store("lock the folder"))?;
        let unpacked = child::unpack(&self.program, &root, (compression, self.privilege), blob, diff_id)?;
        let Some(found) = unpacked.digest() else { return Err(EnsureError::ended(diff_id, "no digest in its answer")) };
        if found != *diff_id {
            return Err(EnsureError::Digest { expected: *diff_id, found });
        }
        set_opaque(root.as_fd(), unpacked.opaque(), self.privilege).map_err(|source| EnsureError::Store {
            diff_id: *diff_id,
            step: "hide what is below the folders",
            source,
        })?;
        rustix::fs::renameat(place, NEW, &self.pending, diff_id.hex()).map_err(store("rename the folder"))
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
            let place = match rustix::fs::openat(&self.unpacking, name, DIRECTORY, Mode::empty()) {
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
        remove_new(place)?;
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

/// Removes what was unpacked in the locked folder `place`, once no process can write there any more: the one that unpacks dies with
/// its parent, but not in the same instant.
fn remove_new(place: &OwnedFd) -> io::Result<()> {
    match rustix::fs::openat(place, NEW, DIRECTORY, Mode::empty()) {
        Ok(root) => rustix::io::retry_on_intr(|| rustix::fs::flock(&root, FlockOperation::LockExclusive))?,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    resolve::remove_tree(place, NEW)
}

/// The privilege of this process, if it is that with which the layers at `path` are kept.
fn agreed(path: &Path) -> Result<Privilege, OpenError> {
    let failed = |source| OpenError::Open { path: path.to_owned(), source };
    let here = Privilege::here().map_err(failed)?;
    if here != Privilege::Host {
        drop(open_folder(path)?);
    }
    let kept = privilege::of_folder(path, here).map_err(failed)?;
    if kept == here {
        return Ok(here);
    }
    Err(OpenError::Privilege { path: path.to_owned(), kept: kept.name(), here: here.name() })
}

/// Opens a folder, making it and its parents private to root where they are missing.
fn open_folder(path: &Path) -> Result<OwnedFd, OpenError> {
    let attempt = || -> io::Result<OwnedFd> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(rustix::fs::open(path, DIRECTORY, Mode::empty())?)
    };
    attempt().map_err(|source| OpenError::Open { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
