//! Images of the store into an archive.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Map, Value};

use super::{ContentError, Images, StoredImage};
use crate::save::{self, Item, ItemImage, ItemName};
use crate::{Name, Platform};

/// Why images were not saved. What was written by then is no archive.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The store.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A blob could not be read, or the archive not written.
    #[error("cannot write the archive")]
    Write(#[source] std::io::Error),
}

impl Images {
    /// Writes these images, each with these names of it, into an archive that is an OCI image layout and what `docker save`
    /// writes at once. Of an image for several platforms it has the one that was chosen when it was stored. The caller holds
    /// [`Images::share`].
    ///
    /// # Errors
    /// See [`SaveError`].
    pub fn save(&self, images: &[(StoredImage, Vec<Name>)], out: impl Write) -> Result<(), SaveError> {
        let items: Vec<Item> = images.iter().map(|(image, names)| item(image, names)).collect();
        let open = |digest: &stockade_storage::Digest| {
            let found = self.blob(digest).map_err(std::io::Error::other)?;
            found.ok_or_else(|| std::io::Error::other(format!("{digest} is not in the image store")))
        };
        save::write(&items, open, out).map(drop).map_err(SaveError::Write)
    }
}

fn item(image: &StoredImage, names: &[Name]) -> Item {
    let documents = [&image.manifest, &image.config];
    let blobs = documents.into_iter().chain(image.layers.iter().map(|layer| &layer.blob));
    let blobs: BTreeMap<_, _> = blobs.map(|blob| (blob.digest, blob.size)).collect();
    let name = |name: &Name| {
        let tag = name.tag()?.to_owned();
        Some(ItemName { full: name.to_string(), repository: name.repository().familiar(), tag })
    };
    Item {
        media_type: image.manifest.media_type.clone(),
        digest: image.manifest.digest,
        size: image.manifest.size,
        platform: Some(platform(&image.platform)),
        names: names.iter().filter_map(name).collect(),
        image: Some(ItemImage {
            config: image.config.digest,
            layers: image.layers.iter().map(|layer| layer.blob.digest).collect(),
        }),
        blobs,
    }
}

/// A platform as an index has it.
fn platform(platform: &Platform) -> Value {
    let mut fields = Map::new();
    fields.insert("architecture".to_owned(), platform.architecture().into());
    fields.insert("os".to_owned(), platform.os().into());
    if !platform.variant().is_empty() {
        fields.insert("variant".to_owned(), platform.variant().into());
    }
    fields.into()
}
