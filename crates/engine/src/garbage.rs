//! What no image and no container needs any more goes.

use std::collections::BTreeSet;
use std::path::Path;

use stockade_images::{ContentError, Digest, Images};
use stockade_kernel::chain::chain;
use stockade_storage::Layers;
use stockade_storage::layers::OpenError;

use crate::Engine;
use crate::container::ContainerError;
use crate::files::FileError;

/// Why garbage stays, for the next time.
#[derive(Debug, thiserror::Error)]
pub enum GarbageError {
    /// The store.
    #[error("cannot remove what no image needs any more")]
    Content(#[from] ContentError),
    /// The layers.
    #[error(transparent)]
    Layers(#[from] OpenError),
    /// The containers.
    #[error(transparent)]
    Containers(#[from] FileError),
    /// A container of which is not known which layers it needs.
    #[error("cannot tell which layers container {id} needs, so that none is removed: {reason}")]
    Unknown {
        /// The container.
        id: String,
        /// Why not.
        reason: String,
    },
}

/// Removes blobs and layers that neither an image nor a container has. While somebody else makes or uses one nothing is
/// removed; whoever comes next does it.
///
/// # Errors
/// See [`GarbageError`].
pub(crate) fn collect(engine: &Engine, images: &Images) -> Result<(), GarbageError> {
    let Some(alone) = images.alone()? else { return Ok(()) };
    let keep = layers_in_use(engine)?;
    let layers = Layers::open(&engine.places().data, &engine.places().programs)?;
    alone.collect(&layers, &keep)?;
    Ok(())
}

/// The layers that containers stand on.
fn layers_in_use(engine: &Engine) -> Result<BTreeSet<Digest>, GarbageError> {
    let mut used = BTreeSet::new();
    for id in engine.ids()? {
        let read = engine.folder(&id).and_then(|folder| folder.view());
        let view = match read {
            Ok(view) => view,
            // Removed meanwhile.
            Err(ContainerError::Missing(_)) => continue,
            Err(error) => {
                return Err(GarbageError::Unknown { id: id.short().to_owned(), reason: chain(&error) });
            }
        };
        used.extend(view.record.image.lowers.iter().filter_map(|folder| layer(folder)));
    }
    Ok(used)
}

/// The layer whose folder this is; `None` for a root file system that is somebody else's.
pub(crate) fn layer(folder: &Path) -> Option<Digest> {
    format!("sha256:{}", folder.file_name()?.to_str()?).parse().ok()
}
