//! An OCI image layout (image-spec, image-layout.md), in a folder or an archive: from the index to the layers.

pub(crate) mod document;
#[cfg(test)]
mod tests;

use stockade_storage::{Digest, Layers};

use crate::config::{self, machine};
use crate::error::ImageError;
use crate::layers::{self, Packed, paired};
use crate::store::{Part, Store};
use crate::{Image, Platform, Reference};
use document::{
    Descriptor, Index, Kind, LARGEST_CONFIG, LARGEST_MANIFEST, Manifest, bounded, nullable, parse, verified,
};
use stockade_storage::Compression;

/// How deep an index may be in an index: one for the layout, one for the platforms, one to spare.
pub(crate) const DEEPEST: usize = 3;

/// Where the name of an image stands in the index (image-spec, annotations.md).
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Where containerd and `docker save` write the full name.
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";

/// The marker of a layout.
#[derive(serde::Deserialize)]
struct Marker {
    #[serde(rename = "imageLayoutVersion", deserialize_with = "nullable")]
    version: String,
}

/// Reads the image `tag` of the layout in `store` and unpacks its layers.
///
/// # Errors
/// See [`ImageError`]. Layers that were unpacked by then stay.
pub(crate) fn load(
    store: &Store,
    tag: Option<&str>,
    reference: &Reference,
    layers: &Layers,
) -> Result<Image, ImageError> {
    let named = named_in(store, tag)?;
    let (manifest, announced) = manifest(store, named)?;
    manifest.check(&announced)?;
    if manifest.config.kind()? != Kind::Config {
        return Err(ImageError::MediaType(manifest.config.media_type));
    }
    let id = manifest.config.digest()?;
    let config = verified(blob(store, id)?, id, manifest.config.size, LARGEST_CONFIG)?;
    let (config, diff_ids) = config::parse(&config)?;
    let packed = packed(store, &manifest.layers, &diff_ids)?;
    let lowers = layers::ensure(layers, packed)?;
    Ok(Image { reference: reference.clone(), id: Some(id), config, lowers, binds: Vec::new() })
}

/// What the layout in `store` has under the name `tag`, or all that it has.
///
/// # Errors
/// If it is no layout, or has nothing of that name.
pub(crate) fn named_in(store: &Store, tag: Option<&str>) -> Result<Vec<Descriptor>, ImageError> {
    marker(store)?;
    let index = bounded(store.open("index.json")?, "index.json", LARGEST_MANIFEST)?;
    let index: Index = parse("the index", &index)?;
    index.check(None)?;
    named(index.manifests, tag)
}

/// Looks at the file that says that this is a layout.
///
/// # Errors
/// If it does not, or says that it is of another version.
pub(crate) fn marker(store: &Store) -> Result<(), ImageError> {
    let marker = bounded(store.open("oci-layout")?, "oci-layout", LARGEST_MANIFEST)?;
    let marker: Marker = parse("oci-layout", &marker)?;
    if marker.version == "1.0.0" { Ok(()) } else { Err(ImageError::LayoutVersion(marker.version)) }
}

/// The file of a blob.
pub(crate) fn blob(store: &Store, digest: Digest) -> Result<Part, ImageError> {
    Ok(store.open(&format!("blobs/sha256/{}", digest.hex()))?)
}

/// Those of the images in the top index that have the name, or all if none is asked for.
fn named(images: Vec<Descriptor>, tag: Option<&str>) -> Result<Vec<Descriptor>, ImageError> {
    let names = |image: &Descriptor| -> Vec<String> {
        [IMAGE_NAME, REF_NAME].iter().filter_map(|key| image.annotations.get(*key).cloned()).collect()
    };
    let Some(tag) = tag else {
        let known: Vec<String> = images.iter().flat_map(|image| names(image).pop()).collect();
        return if known.len() > 1 { Err(ImageError::ManyImages(known)) } else { Ok(images) };
    };
    let known = images.iter().flat_map(names).collect();
    let found: Vec<_> = images.into_iter().filter(|image| names(image).iter().any(|name| name == tag)).collect();
    if found.is_empty() { Err(ImageError::NoTag { tag: tag.to_owned(), known }) } else { Ok(found) }
}

/// The manifest for this machine among `images`, with the media type that it was announced as.
fn manifest(store: &Store, mut images: Vec<Descriptor>) -> Result<(Manifest, String), ImageError> {
    for _ in 0..=DEEPEST {
        let chosen = chosen(images)?;
        let digest = chosen.digest()?;
        let read = || verified(blob(store, digest)?, digest, chosen.size, LARGEST_MANIFEST);
        match chosen.kind()? {
            Kind::Manifest => return Ok((parse("a manifest", &read()?)?, chosen.media_type)),
            Kind::Index => {
                let index: Index = parse("an index", &read()?)?;
                index.check(Some(&chosen.media_type))?;
                images = index.manifests;
            }
            _ => return Err(ImageError::MediaType(chosen.media_type)),
        }
    }
    Err(ImageError::Nested(DEEPEST))
}

/// The one of `images` that is for this machine. Where none says what it is for, there must be one only. Attestations
/// are for `unknown/unknown` and so for no machine.
fn chosen(images: Vec<Descriptor>) -> Result<Descriptor, ImageError> {
    let mut known: Vec<String> = Vec::new();
    let (mut here, mut anywhere) = (Vec::new(), Vec::new());
    for image in images {
        match &image.platform {
            None => anywhere.push(image),
            Some(platform) => {
                let variant = platform.variant.as_ref().map_or(String::new(), |variant| format!("/{variant}"));
                known.push(format!("{}/{}{variant}", platform.os, platform.architecture));
                if platform.os == "linux" && platform.architecture == machine() {
                    here.push(image);
                }
            }
        }
    }
    let mut fit = if here.is_empty() { anywhere } else { here };
    fit.dedup_by(|one, other| one.same_content(other));
    match (fit.pop(), fit.is_empty()) {
        (Some(image), true) => Ok(image),
        (None, _) => Err(ImageError::Platform { wanted: format!("linux/{}", machine()), known }),
        (Some(last), false) => {
            fit.push(last);
            Err(ImageError::ManyImages(fit.iter().map(Descriptor::shown).collect()))
        }
    }
}

/// The one of an index's `images` that suits `platform` best, the first of several. One that does not say what it is for is
/// taken where none says that it suits: its configuration tells.
///
/// # Errors
/// If none suits.
pub(crate) fn best<'a>(images: &'a [Descriptor], platform: &Platform) -> Result<&'a Descriptor, ImageError> {
    let theirs = |image: &Descriptor| image.platform.as_ref().map(document::Platform::read);
    let suited = images.iter().filter_map(|image| Some((platform.rank(&theirs(image)?)?, image)));
    let found = suited.min_by_key(|(rank, _)| *rank).map(|(_, image)| image);
    found.or_else(|| images.iter().find(|image| image.platform.is_none())).ok_or_else(|| ImageError::Platform {
        wanted: platform.to_string(),
        known: images.iter().filter_map(|image| Some(theirs(image)?.to_string())).collect(),
    })
}

/// The layers with their digests before and after decompression.
fn packed(store: &Store, layers: &[Descriptor], diff_ids: &[Digest]) -> Result<Vec<Packed>, ImageError> {
    paired(layers, diff_ids)?.map(|(layer, diff_id)| packed_one(store, layer, *diff_id)).collect()
}

fn packed_one(store: &Store, layer: &Descriptor, diff_id: Digest) -> Result<Packed, ImageError> {
    let Kind::Layer(compression) = layer.kind()? else {
        return Err(ImageError::MediaType(layer.media_type.clone()));
    };
    let digest = layer.digest()?;
    if compression == Compression::None && digest != diff_id {
        return Err(ImageError::Digest { expected: digest, found: diff_id });
    }
    let part = blob(store, digest)?;
    if part.size() != layer.size {
        return Err(ImageError::Size { digest, expected: layer.size, found: part.size() });
    }
    Ok(Packed { diff_id, part, compression, blob: Some(digest) })
}
