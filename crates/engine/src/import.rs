//! `import`: an archive of files becomes an image.

use std::io::Read;

use stockade_images::change::Change;
use stockade_images::import::{Import as Order, ImportError as NotImported, import as store};
use stockade_images::{ContentError, Digest, Images, Name, Platform};
use stockade_monitor::events::ImageAction;
use stockade_storage::Layers;
use stockade_storage::layers::OpenError;

use crate::Engine;
use crate::record::now;

/// What to make of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The image's name.
    pub name: Option<Name>,
    /// What its configuration says.
    pub changes: Vec<Change>,
    /// What the history says of it.
    pub message: String,
    /// What it is for.
    pub platform: Platform,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The layers.
    #[error(transparent)]
    Layers(#[from] OpenError),
    /// The store.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The archive.
    #[error(transparent)]
    Import(#[from] NotImported),
}

/// Makes an image of `archive`, plain or compressed by gzip or zstd; its id.
///
/// # Errors
/// See [`ImportError`]. Blobs that were stored by then are garbage.
pub fn import(engine: &Engine, archive: impl Read, order: &Import) -> Result<Digest, ImportError> {
    let data = &engine.places().data;
    let (images, layers) = (Images::open(data)?, Layers::open(data, &engine.places().programs)?);
    let _share = images.share()?;
    let order = Order {
        name: order.name.as_ref(),
        changes: &order.changes,
        message: &order.message,
        platform: order.platform.clone(),
        created: now(),
    };
    let id = store(&images, &layers, archive, &order)?.id;
    let name = order.name.map(|name| name.familiar()).unwrap_or_default();
    engine.happened_to_image(ImageAction::Import, &id.to_string(), &name);
    Ok(id)
}
