//! From a name to an image.

use stockade_storage::Layers;

use crate::error::{ImageError, LoadError};
use crate::store::Store;
use crate::{Image, ImageConfig, Reference, docker, host, oci, rootfs};

/// Reads the image, verifies it and unpacks those of its layers that were not unpacked before.
///
/// # Errors
/// See [`LoadError`].
pub fn load(reference: &Reference, layers: &Layers) -> Result<Image, LoadError> {
    let packed = match reference {
        Reference::Named(name) => return Err(LoadError::NotStored(name.clone())),
        Reference::Host => return host::load(layers).map_err(LoadError::Host),
        Reference::RootFs(path) => {
            let root = rootfs::resolve(path).map_err(|source| LoadError::RootFs { path: path.clone(), source })?;
            return Ok(Image {
                reference: reference.clone(),
                id: None,
                config: ImageConfig::default(),
                lowers: vec![root],
                binds: Vec::new(),
            });
        }
        Reference::Oci { path, tag } => Store::folder(path)
            .map_err(ImageError::from)
            .and_then(|store| oci::load(&store, tag.as_deref(), reference, layers)),
        Reference::OciArchive { path, tag } => Store::archive(path)
            .map_err(ImageError::from)
            .and_then(|store| oci::load(&store, tag.as_deref(), reference, layers)),
        Reference::DockerArchive { path, tag } => Store::archive(path)
            .map_err(ImageError::from)
            .and_then(|store| docker::load(&store, tag.as_deref(), reference, layers)),
    };
    packed.map_err(|source| LoadError::Image { reference: reference.clone(), source: Box::new(source) })
}
