//! From a name to an image.

use std::io;
use std::path::PathBuf;

use stockade_storage::Layers;

use crate::{Image, ImageConfig, Reference, rootfs};

/// Why an image could not be loaded. Layers that were complete by then stay, for the next time.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A `rootfs:` that is no folder.
    #[error("open the root file system {path}")]
    RootFs {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A transport that this version does not read.
    #[error("image {0}: this transport is not supported by this version")]
    Unsupported(Reference),
}

/// Reads the image, verifies it and unpacks those of its layers that were not unpacked before.
///
/// # Errors
/// See [`LoadError`].
pub fn load(reference: &Reference, _layers: &Layers) -> Result<Image, LoadError> {
    match reference {
        Reference::RootFs(path) => {
            let root = rootfs::resolve(path).map_err(|source| LoadError::RootFs { path: path.clone(), source })?;
            Ok(Image {
                reference: reference.clone(),
                id: None,
                config: ImageConfig::default(),
                lowers: vec![root],
                binds: Vec::new(),
            })
        }
        other => Err(LoadError::Unsupported(other.clone())),
    }
}
