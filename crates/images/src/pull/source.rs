//! Where images come from: a registry, or an image layout on this machine.

use std::error::Error;
use std::io::Read;
use std::path::Path;

use stockade_storage::Digest;

use crate::content::Descriptor;
use crate::error::ImageError;
use crate::oci;
use crate::oci::document::{self, LARGEST_MANIFEST};
use crate::store::Store;

/// Why a source does not give what it was asked for.
pub type SourceError = Box<dyn Error + Send + Sync>;

/// A manifest or index as a source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What the source says that it is.
    pub media_type: String,
    /// Its content, of at most 4 MiB.
    pub bytes: Vec<u8>,
}

/// A place that one image comes from. Nothing that it gives is trusted.
pub trait Source: Sync {
    /// The manifest or index that the name leads to.
    ///
    /// # Errors
    /// If it cannot be had.
    fn top(&self) -> Result<Document, SourceError>;

    /// The manifest or index with this digest.
    ///
    /// # Errors
    /// If it cannot be had.
    fn manifest(&self, descriptor: &Descriptor) -> Result<Document, SourceError>;

    /// The blob from byte `offset` on.
    ///
    /// # Errors
    /// If it cannot be had; reading may fail later.
    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + '_>, SourceError>;

    /// Who is asked instead for what came damaged; `None` if there is nobody.
    fn origin(&self) -> Option<Box<dyn Source + '_>> {
        None
    }
}

/// An image of an OCI image layout, in a folder or a tar archive that is read in place.
#[derive(Debug)]
pub struct Layout {
    store: Store,
    top: document::Descriptor,
}

impl Layout {
    /// The image `tag` of the layout in the folder at `path`; without a tag its only one.
    ///
    /// # Errors
    /// If there is no such image.
    pub fn folder(path: &Path, tag: Option<&str>) -> Result<Self, ImageError> {
        Self::of(Store::folder(path)?, tag)
    }

    /// The image `tag` of the layout in the archive at `path`; without a tag its only one.
    ///
    /// # Errors
    /// As [`Layout::folder`].
    pub fn archive(path: &Path, tag: Option<&str>) -> Result<Self, ImageError> {
        Self::of(Store::archive(path)?, tag)
    }

    fn of(store: Store, tag: Option<&str>) -> Result<Self, ImageError> {
        let mut named = oci::named_in(&store, tag)?;
        match (named.pop(), named.is_empty()) {
            (Some(top), true) => Ok(Self { store, top }),
            (Some(last), false) => {
                named.push(last);
                Err(ImageError::ManyImages(named.iter().map(document::Descriptor::shown).collect()))
            }
            (None, _) => Err(ImageError::NoTag { tag: tag.unwrap_or("latest").to_owned(), known: Vec::new() }),
        }
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, ImageError> {
        let digest: Digest = descriptor.digest;
        let part = self.store.open(&format!("blobs/sha256/{}", digest.hex()))?;
        let bytes = document::verified(part, digest, descriptor.size, LARGEST_MANIFEST)?;
        Ok(Document { media_type: descriptor.media_type.clone(), bytes })
    }
}

impl Source for Layout {
    fn top(&self) -> Result<Document, SourceError> {
        Ok(self.document(&Descriptor::of(&self.top)?)?)
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        Ok(self.document(descriptor)?)
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + '_>, SourceError> {
        let mut part = self.store.open(&format!("blobs/sha256/{}", descriptor.digest.hex()))?;
        part.skip(offset);
        Ok(Box::new(part))
    }
}
