//! Images that are kept here, as lists and `inspect` show them, and the names that they have.

use std::collections::BTreeMap;

use stockade_images::{ContentError, Digest, Facts, FindImageError, Images, Name, NameError, StoredImage};
use stockade_monitor::events::ImageAction;

use crate::Engine;
use crate::ps::{ListError, Which, list};

/// An image in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    /// The digest of its configuration.
    pub id: String,
    /// Its names with tags, in Docker's short form.
    pub tags: Vec<String>,
    /// Its names with digests, under which registries have it.
    pub digests: Vec<String>,
    /// When it was made: RFC 3339, or whatever its maker wrote there; empty if nothing.
    pub created: String,
    /// The bytes of its blobs.
    pub size: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How many containers were made from it.
    pub containers: usize,
}

/// Why an image was not found, or not read.
#[derive(Debug, thiserror::Error)]
pub enum ImageLookup {
    /// It is not there, or more than one is meant.
    #[error(transparent)]
    Find(#[from] FindImageError),
    /// The store.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Its configuration is none.
    #[error("cannot read the configuration of image {image}")]
    Config {
        /// The image.
        image: String,
        /// What is wrong with it.
        source: stockade_images::ConfigError,
    },
    /// The containers that use it.
    #[error(transparent)]
    Containers(#[from] ListError),
}

impl ImageLookup {
    /// Whether there is no such image.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Find(FindImageError::Missing(_)))
    }
}

/// An image with all that the commands here look at.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) stored: StoredImage,
    pub(crate) facts: Facts,
    pub(crate) summary: ImageSummary,
}

impl Found {
    /// Every blob with its size.
    pub(crate) fn blobs(&self) -> BTreeMap<Digest, u64> {
        let image = &self.stored;
        let documents = [&image.target, &image.manifest, &image.config];
        let layers = image.layers.iter().map(|layer| &layer.blob);
        documents.into_iter().chain(layers).map(|blob| (blob.digest, blob.size)).collect()
    }
}

/// The images, the newest first. One that is damaged is left out.
///
/// # Errors
/// See [`ImageLookup`].
pub fn list_images(engine: &Engine) -> Result<Vec<ImageSummary>, ImageLookup> {
    Ok(all(engine)?.into_iter().map(|found| found.summary).collect())
}

/// The image that `text` means: a whole id, a name, or the beginning of one id.
///
/// # Errors
/// See [`ImageLookup`].
pub fn find_image(engine: &Engine, text: &str) -> Result<ImageSummary, ImageLookup> {
    Ok(found(engine, text)?.summary)
}

/// The store of this machine's images.
pub(crate) fn images(engine: &Engine) -> Result<Images, ContentError> {
    Images::open(&engine.places().data)
}

pub(crate) fn all(engine: &Engine) -> Result<Vec<Found>, ImageLookup> {
    let images = images(engine)?;
    let _share = images.share()?;
    let users = users(engine)?;
    images.list()?.into_iter().map(|stored| read(&images, stored, &users)).collect()
}

pub(crate) fn found(engine: &Engine, text: &str) -> Result<Found, ImageLookup> {
    let images = images(engine)?;
    let _share = images.share()?;
    let stored = images.find(text)?;
    read(&images, stored, &users(engine)?)
}

/// How many containers were made from each image, by its id.
fn users(engine: &Engine) -> Result<BTreeMap<String, usize>, ListError> {
    let mut users = BTreeMap::new();
    for image in list(engine, Which::All)?.into_iter().filter_map(|container| container.image_id) {
        *users.entry(image).or_default() += 1;
    }
    Ok(users)
}

fn read(images: &Images, stored: StoredImage, users: &BTreeMap<String, usize>) -> Result<Found, ImageLookup> {
    let id = stored.id.to_string();
    let facts = Facts::parse(&images.read(&stored.config)?)
        .map_err(|source| ImageLookup::Config { image: id.clone(), source })?;
    let summary = ImageSummary {
        tags: stored.names.iter().map(Name::familiar).collect(),
        digests: stored.repo_digests.iter().map(Name::familiar).collect(),
        created: facts.created.clone(),
        size: stored.size,
        labels: facts.config.labels.clone(),
        containers: users.get(&id).copied().unwrap_or_default(),
        id,
    };
    Ok(Found { stored, facts, summary })
}

/// Why an image was not given a name.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// The image.
    #[error(transparent)]
    Lookup(#[from] ImageLookup),
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A name by content, which no content but its own can have.
    #[error("refusing to create a tag with a digest reference: leave @{0} out")]
    Digest(Digest),
    /// The store.
    #[error("cannot name image {image}")]
    Content {
        /// The image.
        image: Digest,
        /// Why not.
        source: ContentError,
    },
}

/// Gives the image that `source` means the name `target`, which is taken from the image that had it.
///
/// # Errors
/// See [`TagError`].
pub fn tag_image(engine: &Engine, source: &str, target: &str) -> Result<(), TagError> {
    let name = Name::parse(target)?;
    if let Some(digest) = name.digest() {
        return Err(TagError::Digest(digest));
    }
    let images = images(engine).map_err(ImageLookup::from)?;
    let _share = images.share().map_err(ImageLookup::from)?;
    let stored = images.find(source).map_err(ImageLookup::from)?;
    let name = name.tag_or_latest();
    match images.tag(&stored, &name) {
        Ok(()) => engine.happened_to_image(ImageAction::Tag, &stored.id.to_string(), &name.familiar()),
        Err(source) => return Err(TagError::Content { image: stored.id, source }),
    }
    Ok(())
}
