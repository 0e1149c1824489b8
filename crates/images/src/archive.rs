//! What an archive of images holds: for each image its manifest, its names, and where its blobs are.
//!
//! An archive that is an OCI image layout is read by its `index.json`, with the manifests as they are; another one by its
//! `manifest.json`, for whose images a manifest is made, always the same for the same image. Blobs are only found here;
//! whoever takes them compares them with their digests.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;
use serde_json::json;
use sha2::Digest as _;
use stockade_storage::{Compression, Digest};

use crate::error::ImageError;
use crate::layers::paired;
use crate::oci::document::{
    Descriptor, Index, Kind, LARGEST_CONFIG, LARGEST_MANIFEST, Manifest, bounded, nullable, parse, verified,
};
use crate::oci::{DEEPEST, IMAGE_NAME, REF_NAME, blob};
use crate::store::{Part, Store};
use crate::{Facts, Name, Platform, docker};

/// The most images of one archive.
const MOST_IMAGES: usize = 4096;
/// The manifest that is made for an image without one.
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image in an archive.
#[derive(Debug)]
pub(crate) struct Archived {
    /// Its names; none if the archive gives none that is whole.
    pub(crate) names: Vec<Name>,
    /// The media type of its manifest.
    pub(crate) media_type: String,
    /// Its manifest.
    pub(crate) manifest: Vec<u8>,
    /// Its configuration and layers, each once.
    pub(crate) blobs: BTreeMap<Digest, Part>,
}

/// The images for `wanted` in `store`, in the order of the archive.
///
/// # Errors
/// If it holds none, or one that is not whole or not what it says.
pub(crate) fn read(store: &Store, wanted: &Platform) -> Result<Vec<Archived>, ImageError> {
    let images = match (store.find("oci-layout")?, store.find("index.json")?, store.find("manifest.json")?) {
        (Some(_), Some(index), _) => layout(store, index, wanted)?,
        (_, _, Some(manifest)) => saved(store, manifest, wanted)?,
        _ => return Err(ImageError::NotAnArchive),
    };
    if images.is_empty() { Err(ImageError::NotAnArchive) } else { Ok(images) }
}

/// The images of an OCI layout, one for each manifest, with all names that the index has for it.
fn layout(store: &Store, index: Part, wanted: &Platform) -> Result<Vec<Archived>, ImageError> {
    crate::oci::marker(store)?;
    let index: Index = parse("the index", &bounded(index, "index.json", LARGEST_MANIFEST)?)?;
    index.check(None)?;
    bound(index.manifests.len())?;
    let mut known = Vec::new();
    let mut images: Vec<(Digest, Archived)> = Vec::new();
    for top in index.manifests {
        let names = names(&top);
        let Some(chosen) = for_platform(store, top, wanted, &mut known)? else { continue };
        let digest = chosen.digest()?;
        let place = match images.iter().position(|(other, _)| *other == digest) {
            Some(place) => place,
            None => {
                images.push((digest, archived(store, &chosen)?));
                images.len() - 1
            }
        };
        for name in names {
            if !images[place].1.names.contains(&name) {
                images[place].1.names.push(name);
            }
        }
    }
    if images.is_empty() && !known.is_empty() {
        return Err(ImageError::Platform { wanted: wanted.to_string(), known });
    }
    Ok(images.into_iter().map(|(_, image)| image).collect())
}

fn bound(images: usize) -> Result<(), ImageError> {
    if images > MOST_IMAGES { Err(ImageError::TooManyImages(images)) } else { Ok(()) }
}

/// The whole names of an image in an index. A tag alone, as umoci and skopeo write, is none.
fn names(image: &Descriptor) -> Vec<Name> {
    let whole = image.annotations.get(IMAGE_NAME);
    let reference = image.annotations.get(REF_NAME).filter(|name| name.contains([':', '/']));
    let name = whole.or(reference).and_then(|name| Name::parse(name).ok());
    name.filter(|name| name.digest().is_none()).map(Name::tag_or_latest).into_iter().collect()
}

/// The manifest for `wanted` that `top` leads to; `None` if it leads to others only, whose platforms are added to `known`.
fn for_platform(
    store: &Store,
    top: Descriptor,
    wanted: &Platform,
    known: &mut Vec<String>,
) -> Result<Option<Descriptor>, ImageError> {
    let mut images = vec![top];
    for _ in 0..=DEEPEST {
        let mut fit: Vec<(usize, Descriptor)> = Vec::new();
        for image in images {
            let Some(platform) = &image.platform else {
                fit.push((usize::MAX, image));
                continue;
            };
            let variant = platform.variant.as_deref().unwrap_or_default();
            let platform = Platform::new(&platform.os, &platform.architecture, variant);
            match wanted.rank(&platform) {
                Some(rank) => fit.push((rank, image)),
                None => known.push(platform.to_string()),
            }
        }
        let Some((_, chosen)) = fit.into_iter().min_by_key(|(rank, _)| *rank) else { return Ok(None) };
        match chosen.kind()? {
            Kind::Manifest => return Ok(Some(chosen)),
            Kind::Index => {
                let digest = chosen.digest()?;
                let bytes = verified(blob(store, digest)?, digest, chosen.size, LARGEST_MANIFEST)?;
                let index: Index = parse("an index", &bytes)?;
                index.check(Some(&chosen.media_type))?;
                images = index.manifests;
            }
            _ => return Err(ImageError::MediaType(chosen.media_type)),
        }
    }
    Err(ImageError::Nested(DEEPEST))
}

/// The image of a manifest in a layout.
fn archived(store: &Store, chosen: &Descriptor) -> Result<Archived, ImageError> {
    let digest = chosen.digest()?;
    let bytes = verified(blob(store, digest)?, digest, chosen.size, LARGEST_MANIFEST)?;
    let manifest: Manifest = parse("a manifest", &bytes)?;
    manifest.check(&chosen.media_type)?;
    if manifest.config.kind()? != Kind::Config {
        return Err(ImageError::MediaType(manifest.config.media_type));
    }
    let id = manifest.config.digest()?;
    let config = blob(store, id)?;
    let facts = Facts::parse(&verified(config.clone(), id, manifest.config.size, LARGEST_CONFIG)?)?;
    let diff_ids = facts.diff_ids()?;
    let mut blobs = BTreeMap::from([(id, config)]);
    for (layer, _) in paired(&manifest.layers, &diff_ids)? {
        if !matches!(layer.kind()?, Kind::Layer(_)) {
            return Err(ImageError::MediaType(layer.media_type.clone()));
        }
        let digest = layer.digest()?;
        let part = blob(store, digest)?;
        if part.size() != layer.size {
            return Err(ImageError::Size { digest, expected: layer.size, found: part.size() });
        }
        blobs.insert(digest, part);
    }
    Ok(Archived { names: Vec::new(), media_type: chosen.media_type.clone(), manifest: bytes, blobs })
}

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

/// The images of `manifest.json`.
fn saved(store: &Store, manifest: Part, wanted: &Platform) -> Result<Vec<Archived>, ImageError> {
    let saved: Vec<Saved> = parse("manifest.json", &bounded(manifest, "manifest.json", LARGEST_MANIFEST)?)?;
    bound(saved.len())?;
    // Layers that images share are looked through once.
    let mut digests = BTreeMap::new();
    let mut known = Vec::new();
    let mut images = Vec::new();
    for one in saved {
        match saved_one(store, &one, wanted, &mut digests)? {
            Ok(image) => images.push(image),
            Err(platform) => known.push(platform),
        }
    }
    if images.is_empty() && !known.is_empty() {
        return Err(ImageError::Platform { wanted: wanted.to_string(), known });
    }
    Ok(images)
}

/// One image of `manifest.json`, or the platform that it is for instead of `wanted`.
fn saved_one(
    store: &Store,
    saved: &Saved,
    wanted: &Platform,
    digests: &mut BTreeMap<String, Digest>,
) -> Result<Result<Archived, String>, ImageError> {
    let part = store.open(&saved.config)?;
    let bytes = bounded(part.clone(), &saved.config, LARGEST_CONFIG)?;
    let id = Digest::of(&bytes);
    if let Some(expected) = docker::digest_in(&saved.config)
        && expected != id
    {
        return Err(ImageError::Digest { expected, found: id });
    }
    let facts = Facts::parse(&bytes)?;
    let platform = Platform::new(&facts.os, &facts.architecture, &facts.variant);
    if wanted.rank(&platform).is_none() {
        return Ok(Err(platform.to_string()));
    }
    let diff_ids = facts.diff_ids()?;
    let mut blobs = BTreeMap::from([(id, part)]);
    let mut layers = Vec::new();
    for (name, diff_id) in paired(&saved.layers, &diff_ids)? {
        let part = store.open(name)?;
        let failed = |source| ImageError::Read { name: name.clone(), source };
        let (digest, kind) = match Compression::of(part.clone()).map_err(failed)? {
            // Whoever takes the blob compares it with this.
            Compression::None => (*diff_id, "tar"),
            compressed => {
                let digest = match digests.get(name) {
                    Some(digest) => *digest,
                    None => hashed(part.clone()).map_err(failed)?,
                };
                digests.insert(name.clone(), digest);
                (digest, if compressed == Compression::Gzip { "tar+gzip" } else { "tar+zstd" })
            }
        };
        layers.push(json!({
            "mediaType": format!("application/vnd.oci.image.layer.v1.{kind}"),
            "digest": digest.to_string(),
            "size": part.size(),
        }));
        blobs.insert(digest, part);
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": id.to_string(),
            "size": bytes.len(),
        },
        "layers": layers,
    });
    let names = saved.repo_tags.iter().map(|name| Name::parse(name).map(Name::tag_or_latest));
    let names = names.collect::<Result<_, _>>().map_err(ImageError::Name)?;
    let manifest = manifest.to_string().into_bytes();
    Ok(Ok(Archived { names, media_type: OCI_MANIFEST.to_owned(), manifest, blobs }))
}

fn hashed(mut part: Part) -> std::io::Result<Digest> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match part.read(&mut buffer)? {
            0 => return Ok(Digest::finish(hasher)),
            count => hasher.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests;
