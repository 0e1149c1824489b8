//! The folder of unpacked layers.
//!
//! `<data>/layers/sha256/<hex>` is a layer that is complete; `<data>/layers/unpacking/<hex>` is one that is being
//! unpacked by whoever holds the lock (`flock(2)`) on that folder, or was when its process died.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags};

use crate::Digest;

/// The layers below one data directory.
#[derive(Debug)]
pub struct Layers {
    /// `<data>/layers`.
    path: PathBuf,
    /// `<data>/layers/sha256`.
    complete: OwnedFd,
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
}

impl Layers {
    /// Opens the layers below `data_dir`, making the folders (mode 0700) where they are missing.
    ///
    /// # Errors
    /// If a folder cannot be made or opened; what was made stays.
    pub fn open(data_dir: &Path) -> Result<Self, OpenError> {
        let path = data_dir.join("layers");
        Ok(Self { complete: open_folder(&path.join("sha256"))?, path })
    }

    /// The folder of the complete layer with this diff id, `None` if it was not unpacked yet.
    #[must_use]
    pub fn find(&self, diff_id: &Digest) -> Option<PathBuf> {
        let hex = diff_id.hex();
        rustix::fs::statat(&self.complete, &hex, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(self.path.join("sha256").join(hex))
    }
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
