//! The content store: this machine's images, as an OCI image layout that other tools can read.
//!
//! Below the data folder:
//! - `images/index.json`: which images there are, and their names. It changes only under the lock of the folder `images`, by a
//!   file beside it and a rename, so that a reader always sees a whole one;
//! - `images/blobs/sha256/HEX`: a blob, whole and verified: it got that name by rename;
//! - `images/ingest/HEX`: what is there of a blob so far. Who has it locked writes it;
//! - `images/lock`: locked in share by whoever makes or uses images and layers until it is written down who needs them, and
//!   alone by whoever removes what nobody needs.

mod check;
mod compare;
mod entry;
mod export;
mod index;
mod ingest;
mod names;
mod remove;
mod take;
#[cfg(test)]
pub(crate) mod tests;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use stockade_storage::{Digest, Layers};

use crate::error::ImageError;
use crate::layers::{self, Packed};
use crate::oci::document::LARGEST_CONFIG;
use crate::store::{Part, Store};
use crate::{Image, Reference, config};

pub use check::{Finding, Repair};
pub(crate) use entry::stored_layers;
pub use entry::{Descriptor, StoredImage, StoredLayer};
pub use export::SaveError;
pub use ingest::{BlobWriter, IngestError};
pub use names::FindImageError;
pub use remove::{Alone, Collected, Removed};
pub use take::TakeError;

/// The images of this machine.
#[derive(Debug)]
pub struct Images {
    /// `<data>/images`.
    path: PathBuf,
    /// The same as a store of files.
    files: Store,
    /// `<data>/images/blobs/sha256`.
    blobs: OwnedFd,
    /// `<data>/images/ingest`.
    ingest: OwnedFd,
}

/// What went wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// A file or folder of it.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A document in it. Boxed, because it is large and rare.
    #[error("cannot read {what} in the image store")]
    Document {
        /// Which.
        what: String,
        /// What is wrong with it.
        source: Box<ImageError>,
    },
}

impl ContentError {
    fn at<E: Into<io::Error>>(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(E) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::File { action, path, source: source.into() }
    }

    fn document<E: Into<ImageError>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::Document { what, source: Box::new(source.into()) }
    }
}

/// As long as it lives, nothing that is in the store or among the layers is removed as garbage.
#[derive(Debug)]
pub struct Share {
    _lock: OwnedFd,
}

/// What stands in `oci-layout`.
const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

impl Images {
    /// Opens the store below `data`, making it (folders of mode 0700) where it is missing.
    ///
    /// # Errors
    /// If a folder or file cannot be made or opened; what was made stays.
    pub fn open(data: &Path) -> Result<Self, ContentError> {
        let path = data.join("images");
        let blobs = open_folder(&path.join("blobs/sha256"))?;
        let ingest = open_folder(&path.join("ingest"))?;
        let files = Store::folder(&path).map_err(ContentError::document("the folder"))?;
        let images = Self { path, files, blobs, ingest };
        for (name, content) in [("oci-layout", MARKER), (index::NAME, index::EMPTY)] {
            if !images.path.join(name).exists() {
                let _locked = images.lock()?;
                if !images.path.join(name).exists() {
                    images.replace(name, content)?;
                }
            }
        }
        Ok(images)
    }

    /// Where the store is.
    pub(crate) fn folder(&self) -> &Path {
        &self.path
    }

    /// Keeps everything that is in the store and among the layers there, until the returned value is dropped: to be held from
    /// before an image is looked up until the record of what uses it is written.
    ///
    /// # Errors
    /// If the lock cannot be had; it is waited for.
    pub fn share(&self) -> Result<Share, ContentError> {
        let lock = self.garbage_lock()?;
        let share = || rustix::fs::flock(&lock, FlockOperation::LockShared);
        rustix::io::retry_on_intr(share).map_err(ContentError::at("lock", self.path.join("lock")))?;
        Ok(Share { _lock: lock })
    }

    /// The file that is locked by those who use and those who remove, opened.
    fn garbage_lock(&self) -> Result<OwnedFd, ContentError> {
        let path = self.path.join("lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).map_err(ContentError::at("open", path))
    }

    /// The lock for changing the index.
    fn lock(&self) -> Result<OwnedFd, ContentError> {
        let folder = open_folder(&self.path)?;
        let lock = || rustix::fs::flock(&folder, FlockOperation::LockExclusive);
        rustix::io::retry_on_intr(lock).map_err(ContentError::at("lock", &self.path))?;
        Ok(folder)
    }

    /// Replaces a file at the top as a whole, on the disk. The index is locked.
    fn replace(&self, name: &str, content: &[u8]) -> Result<(), ContentError> {
        let (path, beside) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let attempt = || -> io::Result<()> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::open(&beside, flags, Mode::RUSR | Mode::WUSR)?);
            file.write_all(content)?;
            file.sync_all()?;
            rustix::fs::rename(&beside, &path)?;
            Ok(rustix::fs::fsync(open_at(&self.path)?)?)
        };
        attempt().map_err(ContentError::at("write", &path))
    }

    /// The blob `digest`, `None` if it is not there. Its content was right when it was stored; whoever acts upon it compares
    /// it again, as [`Images::read`] does.
    ///
    /// # Errors
    /// If it cannot be opened, or something else has its place.
    pub fn blob(&self, digest: &Digest) -> Result<Option<Part>, ContentError> {
        let found = self.files.find(&format!("blobs/sha256/{}", digest.hex()));
        found.map_err(ContentError::document(digest.to_string()))
    }

    /// The whole content of the document `descriptor`, compared with its size and digest.
    ///
    /// # Errors
    /// If it is missing, is damaged, or is larger than documents of images are.
    pub fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ContentError> {
        self.document(descriptor).map_err(ContentError::document(descriptor.digest.to_string()))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ImageError> {
        let digest = descriptor.digest;
        let part = self.files.open(&format!("blobs/sha256/{}", digest.hex()))?;
        crate::oci::document::verified(part, digest, descriptor.size, LARGEST_CONFIG)
    }

    /// Stores a document that is at hand, if it is not there yet.
    ///
    /// # Errors
    /// As [`Images::writer`] and [`BlobWriter::finish`].
    pub fn put(&self, media_type: &str, content: &[u8]) -> Result<Descriptor, IngestError> {
        let digest = Digest::of(content);
        let descriptor = Descriptor { media_type: media_type.to_owned(), digest, size: content.len() as u64 };
        if let Some(mut writer) = self.writer(&digest, descriptor.size)? {
            writer.restart()?;
            writer.write_all(content).map_err(|source| IngestError::Write { digest, source })?;
            writer.finish()?;
        }
        Ok(descriptor)
    }

    /// Unpacks those of the layers of `image` that were not unpacked before, and tells what it is to a container. The
    /// `reference` is the name that it was found by. The caller holds [`Images::share`].
    ///
    /// # Errors
    /// See [`ImageError`]; layers that were unpacked by then stay. An image for another kind of machine is an error.
    pub fn load(&self, image: &StoredImage, reference: &Reference, layers: &Layers) -> Result<Image, ImageError> {
        let (config, diff_ids) = config::parse(&self.document(&image.config)?)?;
        let same = diff_ids.len() == image.layers.len();
        if !same {
            return Err(ImageError::LayerCount { layers: image.layers.len(), diff_ids: diff_ids.len() });
        }
        let packed = image.layers.iter().zip(diff_ids).map(|(layer, diff_id)| self.packed(layer, diff_id));
        let lowers = layers::ensure(layers, packed.collect::<Result<_, _>>()?)?;
        Ok(Image { reference: reference.clone(), id: Some(image.id), config, lowers, binds: Vec::new() })
    }

    /// Unpacks one layer, whose blob is compared before.
    ///
    /// # Errors
    /// As [`Images::load`].
    pub(crate) fn unpack(&self, layer: &StoredLayer, layers: &Layers) -> Result<(), ImageError> {
        layers::one(layers, &self.packed(layer, layer.diff_id)?)
    }

    /// Removes a blob that is damaged, so that it is fetched anew.
    pub(crate) fn drop_blob(&self, digest: &Digest) -> Result<(), ContentError> {
        match rustix::fs::unlinkat(&self.blobs, digest.hex(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(ContentError::at("remove", self.path.join("blobs/sha256").join(digest.hex()))(errno)),
        }
    }

    fn packed(&self, layer: &StoredLayer, diff_id: Digest) -> Result<Packed, ImageError> {
        let digest = layer.blob.digest;
        let part = self.files.open(&format!("blobs/sha256/{}", digest.hex()))?;
        if part.size() != layer.blob.size {
            return Err(ImageError::Size { digest, expected: layer.blob.size, found: part.size() });
        }
        Ok(Packed { diff_id, part, compression: layer.compression, blob: Some(digest) })
    }
}

/// Opens a folder, making it and its parents private where they are missing.
fn open_folder(path: &Path) -> Result<OwnedFd, ContentError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(ContentError::at("make the folder", path))?;
    open_at(path).map_err(ContentError::at("open", path))
}

fn open_at(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}
