//! From a name to an image.

use stockade_storage::Layers;

use crate::error::{ImageError, LoadError};
use crate::store::Store;
use crate::{FindImageError, Image, ImageConfig, Images, Platform, Reference, StoredImage, docker, host, oci, rootfs};

/// Reads the image, verifies it and unpacks those of its layers that were not unpacked before. One of the store must be for
/// `platform` if that is given. The caller holds [`Images::share`].
///
/// # Errors
/// See [`LoadError`].
pub fn load(
    reference: &Reference,
    platform: Option<&Platform>,
    images: &Images,
    layers: &Layers,
) -> Result<Image, LoadError> {
    let packed = match reference {
        Reference::Named(_) | Reference::Id(_) => {
            let image = stored(reference, platform, images)?;
            images.load(&image, reference, layers)
        }
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

/// The image of the store that `reference` means, for `platform` if that is given. Other images than those of the store are
/// not found.
///
/// # Errors
/// [`LoadError::NotStored`] if there is none, [`LoadError::Find`].
fn stored(reference: &Reference, platform: Option<&Platform>, images: &Images) -> Result<StoredImage, LoadError> {
    let shown = match reference {
        Reference::Named(name) => name.clone().tag_or_latest().familiar(),
        other => other.to_string(),
    };
    let suits = |image: &StoredImage| platform.is_none_or(|wanted| wanted.rank(&image.platform).is_some());
    let quick = match reference {
        Reference::Named(name) => images.by_name(name).map_err(FindImageError::from),
        _ => Ok(None),
    };
    match quick.and_then(|found| found.map_or_else(|| images.find(&reference.familiar()), Ok)) {
        Ok(image) if suits(&image) => Ok(image),
        Ok(_) | Err(FindImageError::Missing(_)) => Err(LoadError::NotStored(shown)),
        Err(source) => Err(LoadError::Find { name: shown, source: Box::new(source) }),
    }
}
