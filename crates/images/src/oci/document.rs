//! The JSON documents of an image: read in bounds, compared with their digests, and typed.
//!
//! Unknown properties are passed over, as the specification demands (image-spec, considerations.md), but a document
//! that could be read as another kind than the one it is announced as is refused (CVE-2021-41190), and so is a property
//! that is there twice.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use stockade_storage::Digest;

use crate::error::ImageError;
use crate::store::Part;
use stockade_storage::Compression;

/// The largest index or manifest: what registries have to take (distribution-spec, "Pushing Manifests").
pub(crate) const LARGEST_MANIFEST: u64 = 4 << 20;
/// The largest configuration, which has the history and the labels in it: containerd's bound.
pub(crate) const LARGEST_CONFIG: u64 = 8 << 20;

/// What a descriptor points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Index,
    Manifest,
    Config,
    Layer(Compression),
}

impl Kind {
    /// The kind of a media type of OCI (image-spec, media-types.md) or of Docker's schema 2.
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        Some(match media_type {
            "application/vnd.oci.image.index.v1+json" | "application/vnd.docker.distribution.manifest.list.v2+json" => {
                Self::Index
            }
            "application/vnd.oci.image.manifest.v1+json" | "application/vnd.docker.distribution.manifest.v2+json" => {
                Self::Manifest
            }
            "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json" => {
                Self::Config
            }
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => Self::Layer(Compression::None),
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Self::Layer(Compression::Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Self::Layer(Compression::Zstd),
            _ => return None,
        })
    }
}

/// image-spec, descriptor.md.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    digest: String,
    pub(crate) size: u64,
    pub(crate) platform: Option<Platform>,
    #[serde(default, deserialize_with = "nullable")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// What it points to; an error for a media type that has no place in an image.
    pub(crate) fn kind(&self) -> Result<Kind, ImageError> {
        Kind::of(&self.media_type).ok_or_else(|| ImageError::MediaType(self.media_type.clone()))
    }

    /// Whether both point to one blob.
    pub(crate) fn same_content(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// For people: its name, or else its digest.
    pub(crate) fn shown(&self) -> String {
        self.annotations.get(super::REF_NAME).unwrap_or(&self.digest).clone()
    }

    pub(crate) fn digest(&self) -> Result<Digest, ImageError> {
        Ok(self.digest.parse()?)
    }
}

/// The platform of an image in an index.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Platform {
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) variant: Option<String>,
}

impl Platform {
    /// The same, normalised.
    pub(crate) fn read(&self) -> crate::Platform {
        crate::Platform::new(&self.os, &self.architecture, self.variant.as_deref().unwrap_or_default())
    }
}

/// image-spec, image-index.md, and Docker's manifest list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    schema_version: u64,
    media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
    #[serde(flatten)]
    rest: BTreeMap<String, IgnoredAny>,
}

/// image-spec, manifest.md, and Docker's schema 2.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    schema_version: u64,
    media_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    #[serde(flatten)]
    rest: BTreeMap<String, IgnoredAny>,
}

impl Index {
    /// Checks what is read against what it was announced as; `None` for the index at the top, which nobody announces.
    pub(crate) fn check(&self, announced: Option<&str>) -> Result<(), ImageError> {
        check("an index", self.schema_version, self.media_type.as_deref(), announced.unwrap_or(OCI_INDEX))?;
        refuse("an index", &self.rest, &["config", "layers", "fsLayers", "history"])
    }
}

impl Manifest {
    /// Checks what is read against what it was announced as.
    pub(crate) fn check(&self, announced: &str) -> Result<(), ImageError> {
        check("a manifest", self.schema_version, self.media_type.as_deref(), announced)?;
        refuse("a manifest", &self.rest, &["manifests", "fsLayers", "history"])
    }
}

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Version and media type.
fn check(what: &'static str, version: u64, own: Option<&str>, announced: &str) -> Result<(), ImageError> {
    if version != 2 {
        return Err(ImageError::SchemaVersion { what, version });
    }
    match own {
        Some(own) if own != announced => {
            Err(ImageError::AnnouncedAs { what, own: own.to_owned(), announced: announced.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Refuses what makes a document readable as one of another kind (CVE-2021-41190). Go's readers do not tell the case of names.
fn refuse(what: &'static str, rest: &BTreeMap<String, IgnoredAny>, others: &[&'static str]) -> Result<(), ImageError> {
    let found = others.iter().find(|other| rest.keys().any(|key| key.eq_ignore_ascii_case(other)));
    found.map_or(Ok(()), |property| Err(ImageError::Ambiguous { what, property }))
}

/// The content of `part`, which must have this digest and size.
///
/// # Errors
/// If it has not, is larger than `most`, or cannot be read.
pub(crate) fn verified(part: Part, digest: Digest, size: u64, most: u64) -> Result<Vec<u8>, ImageError> {
    if part.size() != size {
        return Err(ImageError::Size { digest, expected: size, found: part.size() });
    }
    let bytes = bounded(part, &digest.to_string(), most)?;
    let found = Digest::of(&bytes);
    if found != digest {
        return Err(ImageError::Digest { expected: digest, found });
    }
    Ok(bytes)
}

/// The content of `part`.
///
/// # Errors
/// If it is larger than `most`, or cannot be read.
pub(crate) fn bounded(mut part: Part, name: &str, most: u64) -> Result<Vec<u8>, ImageError> {
    if part.size() > most {
        return Err(ImageError::TooLarge { name: name.to_owned(), size: part.size(), most });
    }
    // By one read: a document is no larger than `most`.
    let mut bytes = Vec::with_capacity(usize::try_from(part.size()).unwrap_or_default());
    let read = part.read_to_end(&mut bytes);
    read.map_err(|source| ImageError::Read { name: name.to_owned(), source })?;
    Ok(bytes)
}

/// The document in `bytes`.
///
/// # Errors
/// If it is not one of this kind.
pub(crate) fn parse<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|source| ImageError::Json { what, source })
}

/// A property that programs written in Go write as `null` where it is empty.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
