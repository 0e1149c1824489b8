//! `push`: an image of the store into its registry. Threads do the work, so no process that makes containers does it.

use stockade_images::registry::{Access, Registries, Repository};
use stockade_images::{Descriptor, FindImageError, Name, Platform, PushError, PushProgress};
use stockade_monitor::events::ImageAction;

use crate::Engine;
use crate::image::{ImageLookup, images};

/// Why an image was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushImageError {
    /// The store.
    #[error(transparent)]
    Lookup(#[from] ImageLookup),
    /// No image has the name, in Docker's words.
    #[error("An image does not exist locally with the tag: {0}")]
    Missing(String),
    /// The image is for another platform than the one that was asked for.
    #[error("image {image} is for {found}, not for {wanted}")]
    Platform {
        /// The image.
        image: String,
        /// What it is for.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// The registry.
    #[error("cannot push {name}")]
    Push {
        /// The name.
        name: String,
        /// Why not.
        source: Box<PushError>,
    },
}

/// Puts the image that has this very name, a tag, into the registry that it names; the manifest that is there now.
///
/// # Errors
/// See [`PushImageError`].
pub fn push(
    engine: &Engine,
    registries: &Registries,
    name: &Name,
    platform: Option<&Platform>,
    progress: &dyn PushProgress,
) -> Result<Descriptor, PushImageError> {
    let images = images(engine).map_err(ImageLookup::from)?;
    let _share = images.share().map_err(ImageLookup::from)?;
    let image = match images.find(&name.to_string()) {
        Ok(image) => image,
        Err(FindImageError::Missing(_)) => return Err(PushImageError::Missing(name.repository().familiar())),
        Err(error) => return Err(ImageLookup::from(error).into()),
    };
    if let Some(wanted) = platform
        && wanted.rank(&image.platform).is_none()
    {
        let (found, wanted) = (image.platform.to_string(), wanted.to_string());
        return Err(PushImageError::Platform { image: name.familiar(), found, wanted });
    }
    let repository = Repository::open(registries, name, Access::Push);
    let failed = |source| PushImageError::Push { name: name.familiar(), source: Box::new(source) };
    let pushed = images.push(&image, name, &repository, progress).map_err(failed)?;
    engine.happened_to_image(ImageAction::Push, &name.familiar(), &name.repository().familiar());
    Ok(pushed)
}

/// All names with tags that images have in the repository of `name`, in their order.
///
/// # Errors
/// If the store cannot be read; [`PushImageError::Missing`] if there is none.
pub fn tags(engine: &Engine, name: &Name) -> Result<Vec<Name>, PushImageError> {
    let images = images(engine).map_err(ImageLookup::from)?;
    let all = images.list().map_err(ImageLookup::from)?;
    let names = all.into_iter().flat_map(|image| image.names).filter(|one| one.repository() == name.repository());
    let mut names: Vec<Name> = names.collect();
    names.sort();
    if names.is_empty() { Err(PushImageError::Missing(name.repository().familiar())) } else { Ok(names) }
}
