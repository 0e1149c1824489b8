//! `load`: images out of an archive.

use std::fs::File;

use stockade_images::{Name, Platform, TakeError};
use stockade_monitor::events::ImageAction;
use stockade_storage::Layers;
use stockade_storage::layers::OpenError;

use crate::Engine;
use crate::garbage::{GarbageError, collect};
use crate::image::{ImageLookup, images};

/// An image that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// Under a name, in Docker's short form.
    Named(String),
    /// Without a name, by its id.
    Unnamed(String),
}

/// Why no image was loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadImagesError {
    /// The store.
    #[error(transparent)]
    Store(#[from] ImageLookup),
    /// The layers.
    #[error(transparent)]
    Layers(#[from] OpenError),
    /// The archive.
    #[error(transparent)]
    Take(#[from] TakeError),
    /// The archive, and what was stored of it could not be removed.
    #[error("{first}; what was stored of it stays until the next removal")]
    Left {
        /// Why nothing was loaded, with its causes.
        first: String,
        /// Why it stays.
        source: GarbageError,
    },
}

/// Takes all images for `platform` (without one, for this machine) out of the archive in `source`, or none; the names in the
/// order of the archive.
///
/// # Errors
/// See [`LoadImagesError`]. Nothing is left but for [`LoadImagesError::Left`], or while somebody else uses the store: then what
/// there is goes with the next removal.
pub fn load(engine: &Engine, source: File, platform: Option<&Platform>) -> Result<Vec<Loaded>, LoadImagesError> {
    let images = images(engine).map_err(ImageLookup::from)?;
    let layers = Layers::open(&engine.places().data, &engine.places().programs)?;
    let taken = {
        let _share = images.share().map_err(ImageLookup::from)?;
        images.take(source, platform, &layers)
    };
    match taken {
        Ok(taken) => {
            for (image, names) in &taken {
                let name = names.first().map(Name::familiar).unwrap_or_default();
                engine.happened_to_image(ImageAction::Load, &image.id.to_string(), &name);
            }
            let all = taken.iter().flat_map(|(image, names)| match names.as_slice() {
                [] => vec![Loaded::Unnamed(image.id.to_string())],
                names => names.iter().map(Name::familiar).map(Loaded::Named).collect(),
            });
            Ok(all.collect())
        }
        Err(error) => match collect(engine, &images) {
            Ok(()) => Err(error.into()),
            Err(source) => Err(LoadImagesError::Left { first: stockade_kernel::chain::chain(&error), source }),
        },
    }
}
