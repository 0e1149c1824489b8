//! Why an image cannot be had.

use std::io;
use std::path::PathBuf;

use stockade_storage::{Digest, DigestError, EnsureError};

use crate::config::ConfigError;
use crate::host::HostError;
use crate::store::StoreError;
use crate::{FindImageError, Reference};

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
    /// An image that cannot be read, or is not what it says.
    #[error("load image {reference}")]
    Image {
        /// Its name.
        reference: Reference,
        /// Why not. Boxed, because it is large and rare.
        source: Box<ImageError>,
    },
    /// An image that the store does not have, or not for the platform that was asked for.
    #[error("No such image: {0}")]
    NotStored(String),
    /// The store.
    #[error("look for the image {name}")]
    Find {
        /// Its name.
        name: String,
        /// Why it cannot be told. Boxed, because it is large and rare.
        source: Box<FindImageError>,
    },
    /// The built-in image cannot be made of this machine.
    #[error("make the built-in image `host` from this machine")]
    Host(#[source] HostError),
}

/// What is wrong with an image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// One of its files.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file that could be opened and not read.
    #[error("read `{name}` of the image")]
    Read {
        /// The file.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A document that is larger than any image needs.
    #[error("`{name}` of the image has {size} bytes, {most} are the most that is read")]
    TooLarge {
        /// The file.
        name: String,
        /// Its size.
        size: u64,
        /// The bound.
        most: u64,
    },
    /// A blob that does not have the size that the document above it says.
    #[error("{digest} of the image should have {expected} bytes and has {found}")]
    Size {
        /// The blob.
        digest: Digest,
        /// What the document says.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// A blob that is not what its name says.
    #[error("{expected} of the image has the content of {found}: the image is damaged or forged")]
    Digest {
        /// The name.
        expected: Digest,
        /// The digest of the content.
        found: Digest,
    },
    /// A document that is not of its kind.
    #[error("read {what} of the image")]
    Json {
        /// The kind.
        what: &'static str,
        /// Where it breaks.
        source: serde_json::Error,
    },
    /// A digest that is none.
    #[error("read a digest in the image")]
    DigestForm(#[from] DigestError),
    /// A media type that no image of this kind has.
    #[error("media type `{}` has no place in a container image", .0.escape_debug())]
    MediaType(String),
    /// A document of another version.
    #[error("{what} of the image has schema version {version}, 2 is the only one")]
    SchemaVersion {
        /// The kind.
        what: &'static str,
        /// Its version.
        version: u64,
    },
    /// A document that says of itself that it is something else.
    #[error("{what} of the image was announced as `{announced}` and calls itself `{}`", own.escape_debug())]
    AnnouncedAs {
        /// The kind.
        what: &'static str,
        /// What it says.
        own: String,
        /// What was said of it.
        announced: String,
    },
    /// A document that other readers could read as another kind (CVE-2021-41190).
    #[error("{what} of the image has `{property}`, which makes it readable as something else")]
    Ambiguous {
        /// The kind.
        what: &'static str,
        /// The property that it must not have.
        property: &'static str,
    },
    /// A layout of another version.
    #[error("the image layout has version `{}`, 1.0.0 is the only one", .0.escape_debug())]
    LayoutVersion(String),
    /// Indexes in indexes in indexes.
    #[error("the image's indexes are nested more than {0} deep")]
    Nested(usize),
    /// No image of that name.
    #[error("there is no image `{tag}`; there is {}", list(.known))]
    NoTag {
        /// The name that was asked for.
        tag: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// More than one image and no name.
    #[error("there is more than one image, name one of: {}", list(.0))]
    ManyImages(Vec<String>),
    /// None for this machine.
    #[error("there is no image for {wanted}; there is {}", list(.known))]
    Platform {
        /// This machine's platform.
        wanted: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The configuration.
    #[error("read the configuration of the image")]
    Config(#[from] ConfigError),
    /// The number of layers.
    #[error("the image has {layers} layers and {diff_ids} digests for them")]
    LayerCount {
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
    /// More layers than overlayfs stacks.
    #[error("the image has {0} layers, {most} are the most that overlayfs stacks", most = crate::layers::MOST_LAYERS)]
    ManyLayers(usize),
    /// An archive of something else.
    #[error("the archive is neither an OCI image layout nor what `docker save` writes: there is no image in it")]
    NotAnArchive,
    /// More images in an archive than anybody saves.
    #[error("the archive has {0} images, 4096 are the most that are read")]
    TooManyImages(usize),
    /// A name that is none.
    #[error("read a name of an image")]
    Name(#[source] crate::NameError),
    /// A layer.
    #[error(transparent)]
    Layer(#[from] EnsureError),
}

/// A list for people. What stands in it comes from the image.
fn list(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(16).map(|name| format!("`{}`", name.escape_debug())).collect();
    match (shown.is_empty(), names.len() > shown.len()) {
        (true, _) => "none".to_owned(),
        (false, false) => shown.join(", "),
        (false, true) => format!("{} and {} more", shown.join(", "), names.len() - shown.len()),
    }
}
