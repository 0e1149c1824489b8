//! What `docker save` writes, and `skopeo copy docker-archive:`: `manifest.json` names the configuration and the layers of
//! each image. Older archives have layers under names of their own, newer ones are an OCI layout with that file
//! beside it; names are all that differs. Layers may be compressed, which only their first bytes tell.

use serde::Deserialize;
use stockade_storage::{Digest, Layers};

use crate::error::ImageError;
use crate::layers::{self, Packed, paired};
use crate::oci::document::{LARGEST_CONFIG, LARGEST_MANIFEST, bounded, nullable, parse};
use crate::store::Store;
use crate::{Image, Reference, config};
use stockade_storage::Compression;

/// An image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default, deserialize_with = "nullable")]
    repo_tags: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    layers: Vec<String>,
}

/// Reads the image `tag` of the archive in `store` and unpacks its layers.
///
/// # Errors
/// See [`ImageError`]. Layers that were unpacked by then stay.
pub(crate) fn load(
    store: &Store,
    tag: Option<&str>,
    reference: &Reference,
    layers: &Layers,
) -> Result<Image, ImageError> {
    let manifest = bounded(store.open("manifest.json")?, "manifest.json", LARGEST_MANIFEST)?;
    let saved = chosen(parse("manifest.json", &manifest)?, tag)?;
    let bytes = bounded(store.open(&saved.config)?, &saved.config, LARGEST_CONFIG)?;
    let id = Digest::of(&bytes);
    if let Some(expected) = digest_in(&saved.config)
        && expected != id
    {
        return Err(ImageError::Digest { expected, found: id });
    }
    let (config, diff_ids) = config::parse(&bytes)?;
    let lowers = layers::ensure(layers, packed(store, &saved.layers, &diff_ids)?)?;
    Ok(Image { reference: reference.clone(), id: Some(id), config, lowers, binds: Vec::new() })
}

/// The image with the tag, or the only one.
fn chosen(mut images: Vec<Saved>, tag: Option<&str>) -> Result<Saved, ImageError> {
    let known = |images: &[Saved]| images.iter().flat_map(|image| image.repo_tags.clone()).collect();
    let Some(tag) = tag else {
        return match (images.pop(), images.is_empty()) {
            (Some(image), true) => Ok(image),
            (None, _) => Err(ImageError::NoTag { tag: "latest".to_owned(), known: Vec::new() }),
            (Some(last), false) => {
                images.push(last);
                Err(ImageError::ManyImages(known(&images)))
            }
        };
    };
    let has = |image: &Saved| image.repo_tags.iter().any(|name| familiar(name) == familiar(tag));
    match images.iter().position(has) {
        Some(place) => Ok(images.swap_remove(place)),
        None => Err(ImageError::NoTag { tag: tag.to_owned(), known: known(&images) }),
    }
}

/// A name without what Docker adds to short ones, with a tag.
fn familiar(name: &str) -> String {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") }
}

/// The digest that a file name is: `<hex>.json`, `<hex>.tar` or `blobs/sha256/<hex>`.
pub(crate) fn digest_in(name: &str) -> Option<Digest> {
    let last = name.rsplit('/').next().unwrap_or(name);
    let hex = last.strip_suffix(".json").or_else(|| last.strip_suffix(".tar")).unwrap_or(last);
    format!("sha256:{hex}").parse().ok()
}

fn packed(store: &Store, names: &[String], diff_ids: &[Digest]) -> Result<Vec<Packed>, ImageError> {
    paired(names, diff_ids)?
        .map(|(name, diff_id)| {
            let part = store.open(name)?;
            let compression = Compression::of(part.clone());
            let compression = compression.map_err(|source| ImageError::Read { name: name.clone(), source })?;
            // Only in a layout is the name that of the file as it is; elsewhere it is the diff id, which is compared anyway.
            let blob = name.strip_prefix("blobs/").and_then(digest_in);
            Ok(Packed { diff_id: *diff_id, part, compression, blob })
        })
        .collect()
}

/// Reads any bytes as `manifest.json`.
#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) {
    let saved = parse::<Vec<Saved>>("manifest.json", bytes).and_then(|saved| chosen(saved, Some("alpine")));
    saved.map(|saved| digest_in(&saved.config)).map(drop).unwrap_or_default();
}

#[cfg(test)]
mod tests;
