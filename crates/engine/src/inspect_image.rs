//! `image inspect`: all that is known of an image, in Docker's form.

use serde::Serialize;
use stockade_images::Defaults;

use crate::Engine;
use crate::image::{ImageLookup, found};

/// An image, with Docker's names.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageInspection {
    /// The digest of its configuration.
    pub id: String,
    /// `name:tag` each.
    pub repo_tags: Vec<String>,
    /// `name@sha256:...` each.
    pub repo_digests: Vec<String>,
    /// What the image's maker noted at its last step.
    pub comment: String,
    /// When it was made.
    pub created: String,
    /// Who made it.
    pub author: String,
    /// The defaults that it asks for.
    pub config: Defaults,
    /// The architecture that it is for.
    pub architecture: String,
    /// Its variant.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// The operating system that it is for.
    pub os: String,
    /// The bytes of its blobs.
    pub size: u64,
    /// How its layers are stacked.
    pub graph_driver: GraphDriver,
    /// Its layers.
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    /// What is known of it that is not in it.
    pub metadata: Metadata,
    /// What its name leads to: its manifest, or the index that it was chosen from.
    pub descriptor: Descriptor,
}

/// How layers are stacked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GraphDriver {
    /// The folders of the layers that are unpacked.
    pub data: GraphData,
    /// `overlayfs`.
    pub name: &'static str,
}

/// The folders of layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GraphData {
    /// Topmost first, separated by colons; only those that are unpacked, which happens when the image is first used.
    pub lower_dir: String,
}

/// Layers by the digests of their uncompressed archives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RootFs {
    /// `layers`.
    pub r#type: &'static str,
    /// Lowest first.
    pub layers: Vec<String>,
}

/// What is known of an image that is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metadata {
    /// Docker's zero: it is not remembered.
    pub last_tag_time: &'static str,
}

/// A manifest or an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Its media type.
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Its size.
    pub size: u64,
}

/// All that is known of the image that `text` means.
///
/// # Errors
/// If there is no such image, or it cannot be read.
pub fn inspect_image(engine: &Engine, text: &str) -> Result<ImageInspection, ImageLookup> {
    let found = found(engine, text)?;
    let layers = engine.places().data.join("layers/sha256");
    let diff_ids = found.stored.layers.iter().map(|layer| layer.diff_id);
    let unpacked = diff_ids.clone().rev().map(|diff_id| layers.join(diff_id.hex())).filter(|path| path.exists());
    let lower_dir = unpacked.map(|path| path.display().to_string()).collect::<Vec<_>>().join(":");
    let facts = found.facts;
    Ok(ImageInspection {
        id: found.summary.id,
        repo_tags: found.summary.tags,
        repo_digests: found.summary.digests,
        comment: facts.history.last().map(|step| step.comment.clone()).unwrap_or_default(),
        created: facts.created,
        author: facts.author,
        config: facts.config,
        architecture: facts.architecture,
        variant: facts.variant,
        os: facts.os,
        size: found.summary.size,
        graph_driver: GraphDriver { data: GraphData { lower_dir }, name: "overlayfs" },
        root_fs: RootFs { r#type: "layers", layers: diff_ids.map(|diff_id| diff_id.to_string()).collect() },
        metadata: Metadata { last_tag_time: "0001-01-01T00:00:00Z" },
        descriptor: Descriptor {
            media_type: found.stored.target.media_type.clone(),
            digest: found.stored.target.digest.to_string(),
            size: found.stored.target.size,
        },
    })
}
