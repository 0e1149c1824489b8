//! `save`: images into an archive.

use std::io::Write;

use stockade_images::{Images, Name, Platform, StoredImage};
use stockade_monitor::events::ImageAction;

use crate::Engine;
use crate::image::{ImageLookup, images};

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// An image.
    #[error(transparent)]
    Lookup(#[from] ImageLookup),
    /// An image is for another platform than the one that was asked for.
    #[error("image {image} is for {found}, not for {wanted}")]
    Platform {
        /// The image, as it was asked for.
        image: String,
        /// What it is for.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// The archive.
    #[error(transparent)]
    Save(#[from] stockade_images::SaveError),
}

/// Writes the images that `texts` mean into an archive. As in Docker, an image that is named by a tag is saved with this name
/// only, one that is named by its id without a name, and a repository without a tag means all of its images.
///
/// # Errors
/// See [`SaveError`]. What was written by then is no archive.
pub fn save(engine: &Engine, texts: &[String], platform: Option<&Platform>, out: impl Write) -> Result<(), SaveError> {
    let images = images(engine).map_err(ImageLookup::from)?;
    let _share = images.share().map_err(ImageLookup::from)?;
    let mut chosen: Vec<(StoredImage, Vec<Name>)> = Vec::new();
    for text in texts {
        for (image, names) in meant(&images, text)? {
            if let Some(wanted) = platform
                && wanted.rank(&image.platform).is_none()
            {
                return Err(SaveError::Platform {
                    image: text.clone(),
                    found: image.platform.to_string(),
                    wanted: wanted.to_string(),
                });
            }
            match chosen.iter_mut().find(|(known, _)| known.manifest.digest == image.manifest.digest) {
                Some((_, known)) => {
                    let new: Vec<Name> = names.into_iter().filter(|name| !known.contains(name)).collect();
                    known.extend(new);
                }
                None => chosen.push((image, names)),
            }
        }
    }
    images.save(&chosen, out)?;
    for (image, names) in &chosen {
        let name = names.first().map(Name::familiar).unwrap_or_default();
        engine.happened_to_image(ImageAction::Save, &image.id.to_string(), &name);
    }
    Ok(())
}

/// The images that `text` means, each with the names that it means of it.
fn meant(images: &Images, text: &str) -> Result<Vec<(StoredImage, Vec<Name>)>, ImageLookup> {
    let name = Name::parse(text).ok();
    if let Some(repository) = name.as_ref().filter(|name| name.tag().is_none() && name.digest().is_none()) {
        let all = images.list()?.into_iter().filter_map(|image| {
            let names = image.names.iter().filter(|name| name.repository() == *repository).cloned();
            let names: Vec<Name> = names.collect();
            (!names.is_empty()).then_some((image, names))
        });
        let all: Vec<_> = all.collect();
        if !all.is_empty() {
            return Ok(all);
        }
    }
    let image = images.find(text)?;
    let name = name.map(Name::tag_or_latest).filter(|name| image.names.contains(name));
    Ok(vec![(image, name.into_iter().collect())])
}
