//! An image as the store has it: what its index, manifest and configuration say, read and compared.

use serde_json::Value;
use stockade_storage::Digest;

use super::names::key;
use super::{ContentError, Images};
use crate::error::ImageError;
use crate::oci::document::{self, Index, Kind, Manifest, parse};
use crate::oci::{DEEPEST, IMAGE_NAME, best};
use crate::{Name, Platform, config, layers};
use stockade_storage::Compression;

/// What points to a blob (image-spec, descriptor.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Descriptor {
    pub(crate) fn of(read: &document::Descriptor) -> Result<Self, ImageError> {
        Ok(Self { media_type: read.media_type.clone(), digest: read.digest()?, size: read.size })
    }
}

/// An image of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// The digest of its configuration.
    pub id: Digest,
    /// Its names, which have tags; none if it lost them to other images, or never had one.
    pub names: Vec<Name>,
    /// The names with digests under which registries have it.
    pub repo_digests: Vec<Name>,
    /// What its name leads to: the index of an image for several platforms, or the manifest.
    pub target: Descriptor,
    /// The manifest for the platform that was chosen.
    pub manifest: Descriptor,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<StoredLayer>,
    /// What it is for.
    pub platform: Platform,
    /// When it was made, as the configuration says it: RFC 3339, or whatever the image has there.
    pub created: Option<String>,
    /// How many bytes its blobs have, those that it shares with others included.
    pub size: u64,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLayer {
    /// The blob.
    pub blob: Descriptor,
    /// The digest of the archive in it.
    pub diff_id: Digest,
    /// How it is compressed.
    pub(crate) compression: Compression,
}

/// Which manifest of an index was chosen when the image was stored.
pub(super) const CHOSEN: &str = "stockade.manifest";

/// An image in `index.json`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) target: Descriptor,
    /// With a tag or a digest.
    pub(super) name: Option<Name>,
    pub(super) chosen: Option<Digest>,
}

impl Entry {
    /// What `value`, an element of the index, is.
    pub(super) fn read(value: &Value) -> Result<Self, ImageError> {
        let what = "an entry of the index";
        let read: document::Descriptor =
            serde_json::from_value(value.clone()).map_err(|source| ImageError::Json { what, source })?;
        let annotation = |key: &str| read.annotations.get(key);
        let chosen = annotation(CHOSEN).map(|digest| digest.parse()).transpose()?;
        // A name that is none of ours is no reason to lose the image.
        let name = annotation(IMAGE_NAME).and_then(|name| Name::parse(name).ok()).as_ref().map(key);
        Ok(Self { target: Descriptor::of(&read)?, name, chosen })
    }
}

impl Images {
    /// The image of `entry` without its names.
    pub(crate) fn image(&self, target: &Descriptor, chosen: Option<Digest>) -> Result<StoredImage, ImageError> {
        let manifest = self.chosen_manifest(target, chosen)?;
        let document: Manifest = parse("a manifest", &self.document(&manifest)?)?;
        document.check(&manifest.media_type)?;
        if document.config.kind()? != Kind::Config {
            return Err(ImageError::MediaType(document.config.media_type));
        }
        let config = Descriptor::of(&document.config)?;
        let outline = config::outline(&self.document(&config)?)?;
        let layers = stored_layers(&document, &outline.diff_ids)?;
        let blobs = layers.iter().map(|layer| layer.blob.size).sum::<u64>();
        Ok(StoredImage {
            id: config.digest,
            names: Vec::new(),
            repo_digests: Vec::new(),
            size: blobs + config.size + manifest.size,
            target: target.clone(),
            manifest,
            config,
            layers,
            platform: outline.platform,
            created: outline.created,
        })
    }

    /// The manifest that `target` leads to: itself, or one of an index.
    fn chosen_manifest(&self, target: &Descriptor, chosen: Option<Digest>) -> Result<Descriptor, ImageError> {
        let mut current = target.clone();
        for _ in 0..=DEEPEST {
            match Kind::of(&current.media_type) {
                Some(Kind::Manifest) => return Ok(current),
                Some(Kind::Index) => {}
                _ => return Err(ImageError::MediaType(current.media_type)),
            }
            let index: Index = parse("an index", &self.document(&current)?)?;
            index.check(Some(&current.media_type))?;
            let named = |one: &&document::Descriptor| chosen.is_some() && one.digest().ok() == chosen;
            let next = match index.manifests.iter().find(named) {
                Some(next) => next,
                None => best(&index.manifests, &Platform::machine())?,
            };
            current = Descriptor::of(next)?;
        }
        Err(ImageError::Nested(DEEPEST))
    }
}

/// The layers of a manifest with the digests of their archives.
pub(crate) fn stored_layers(manifest: &Manifest, diff_ids: &[Digest]) -> Result<Vec<StoredLayer>, ImageError> {
    let layer = |(layer, diff_id): (&document::Descriptor, &Digest)| {
        let Kind::Layer(compression) = layer.kind()? else {
            return Err(ImageError::MediaType(layer.media_type.clone()));
        };
        let blob = Descriptor::of(layer)?;
        if compression == Compression::None && blob.digest != *diff_id {
            return Err(ImageError::Digest { expected: blob.digest, found: *diff_id });
        }
        Ok(StoredLayer { blob, diff_id: *diff_id, compression })
    };
    layers::paired(&manifest.layers, diff_ids)?.map(layer).collect()
}

impl Images {
    /// The images by id, each with all of its names, and the entries that cannot be read.
    pub(super) fn all(&self) -> Result<(Vec<StoredImage>, Vec<ImageError>), ContentError> {
        let mut images: Vec<StoredImage> = Vec::new();
        let mut damaged = Vec::new();
        for value in self.index()?.entries() {
            let read = Entry::read(value).and_then(|entry| Ok((self.image(&entry.target, entry.chosen)?, entry.name)));
            let (image, name) = match read {
                Ok(read) => read,
                Err(error) => {
                    damaged.push(error);
                    continue;
                }
            };
            let place = images.iter().position(|known| known.id == image.id).unwrap_or_else(|| {
                images.push(image);
                images.len() - 1
            });
            match name {
                Some(name) if name.digest().is_some() => images[place].repo_digests.push(name),
                Some(name) => images[place].names.push(name),
                None => {}
            }
        }
        Ok((images, damaged))
    }
}
