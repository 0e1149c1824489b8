//! Images out of an archive into the store.

use std::fs::File;

use stockade_storage::{Digest, Layers};

use super::{ContentError, Descriptor, Images, IngestError, StoredImage};
use crate::archive::{self, Archived};
use crate::error::ImageError;
use crate::{Name, Platform, Reference, spool};

/// Why no image of an archive was taken. What was stored of them by then is garbage, which the next collection removes.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The archive, or an image in it.
    #[error("cannot load the archive")]
    Archive(#[source] Box<ImageError>),
    /// A blob.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The store.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The layers of an image.
    #[error("cannot unpack image {image}")]
    Unpack {
        /// The image.
        image: Digest,
        /// Why not.
        source: Box<ImageError>,
    },
}

impl Images {
    /// Takes the images for `platform` (without one, for this machine) out of the archive in `source`, which may be a pipe, and
    /// unpacks those that run here. They get their names when all of them are whole. Each is returned with the names that it
    /// had in the archive. The caller holds [`Images::share`].
    ///
    /// # Errors
    /// See [`TakeError`].
    pub fn take(
        &self,
        source: File,
        platform: Option<&Platform>,
        layers: &Layers,
    ) -> Result<Vec<(StoredImage, Vec<Name>)>, TakeError> {
        let broken = |error: ImageError| TakeError::Archive(Box::new(error));
        let machine = Platform::machine();
        let wanted = platform.unwrap_or(&machine);
        let store = spool::open(source, &self.path.join("ingest")).map_err(|error| broken(error.into()))?;
        let archived = archive::read(&store, wanted).map_err(broken)?;
        let mut taken = Vec::new();
        for one in archived {
            let image = self.take_one(&one)?;
            let unpacked = |source| TakeError::Unpack { image: image.id, source: Box::new(source) };
            if machine.rank(&image.platform).is_some() {
                // Only what is made of it counts, which has no name.
                self.load(&image, &Reference::Host, layers).map_err(unpacked)?;
            }
            taken.push((image, one.names));
        }
        for (image, names) in &taken {
            self.add_all(&image.target, &image.manifest.digest, names)?;
        }
        Ok(taken)
    }

    /// Stores the blobs of one image.
    fn take_one(&self, archived: &Archived) -> Result<StoredImage, TakeError> {
        for (digest, part) in &archived.blobs {
            if let Some(mut writer) = self.writer(digest, part.size())? {
                // All of it is at hand: what an earlier download left is worth nothing.
                writer.restart()?;
                writer.fill(&mut part.clone())?;
            }
        }
        let manifest: Descriptor = self.put(&archived.media_type, &archived.manifest)?;
        let digest = manifest.digest;
        self.image(&manifest, Some(digest)).map_err(|error| TakeError::Archive(Box::new(error)))
    }
}
