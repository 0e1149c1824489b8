//! `pull`: an image from its registry into the store. Threads do the work, so no process that makes containers does it.

use stockade_images::pull::{Progress, Pull, PullError, Pulled, Remote};
use stockade_images::registry::Registries;
use stockade_images::{ContentError, Images, Name, Platform};
use stockade_monitor::events::ImageAction;
use stockade_storage::Layers;

use crate::Engine;

/// Why an image was not pulled; what came of it stays for the next time.
#[derive(Debug, thiserror::Error)]
pub enum PullImageError {
    /// The store of images.
    #[error(transparent)]
    Images(#[from] ContentError),
    /// The folder of layers.
    #[error("cannot open the layers")]
    Layers(#[from] stockade_storage::layers::OpenError),
    /// The image.
    #[error("cannot pull {name}")]
    Pull {
        /// Its name.
        name: String,
        /// Why not.
        source: Box<PullError>,
    },
}

/// Pulls the image that its registry has under `name`, for `platform` or what suits this machine best, and
/// unpacks it.
///
/// # Errors
/// See [`PullImageError`]; the name leads to what it led to before.
pub fn pull(
    engine: &Engine,
    registries: &Registries,
    name: &Name,
    platform: Option<&Platform>,
    progress: &dyn Progress,
) -> Result<Pulled, PullImageError> {
    let data = &engine.places().data;
    let (images, layers) = (Images::open(data)?, Layers::open(data, &engine.places().programs)?);
    let source = &Remote::new(registries, name);
    let pull = Pull { images: &images, layers: &layers, source, platform, progress };
    let failed = |source| PullImageError::Pull { name: name.familiar(), source: Box::new(source) };
    let pulled = pull.pull_from_registry(name).map_err(failed)?;
    engine.happened_to_image(ImageAction::Pull, &name.familiar(), &name.repository().familiar());
    Ok(pulled)
}
