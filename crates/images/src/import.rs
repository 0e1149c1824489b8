//! `import`: an archive of files becomes an image of one layer.

use std::io::{self, Read};

use stockade_storage::{EnsureError, Layers};

use crate::change::{Change, ChangeError, Draft, apply};
use crate::make::{History, MakeError, Making, decompressed};
use crate::{Images, Name, Platform, StoredImage};

/// The most bytes of an archive, decompressed: those of a layer.
const LARGEST: u64 = 128 << 30;

/// What to make of an archive.
#[derive(Clone, Debug)]
pub struct Import<'a> {
    /// Its name.
    pub name: Option<&'a Name>,
    /// What its configuration says.
    pub changes: &'a [Change],
    /// What the history says of it.
    pub message: &'a str,
    /// What it is for.
    pub platform: Platform,
    /// Now, RFC 3339.
    pub created: String,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The archive.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// It is larger than a layer may be.
    #[error("the archive has more than {LARGEST} bytes")]
    TooLarge,
    /// It is no layer.
    #[error("the archive cannot be the layer of an image")]
    Layer(#[source] EnsureError),
    /// A change.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The store.
    #[error(transparent)]
    Make(#[from] MakeError),
}

/// Stores `archive`, a tar archive, plain or compressed by gzip or zstd, as an image of one layer, and unpacks it. The caller holds
/// [`Images::share`].
///
/// # Errors
/// See [`ImportError`].
pub fn import(
    images: &Images,
    layers: &Layers,
    archive: impl Read,
    import: &Import<'_>,
) -> Result<StoredImage, ImportError> {
    let mut draft = Draft::default();
    apply(import.changes, &mut draft)?;
    let mut writer = images.layer_writer()?;
    let mut archive = decompressed(archive).map_err(ImportError::Read)?.take(LARGEST + 1);
    if io::copy(&mut archive, &mut writer).map_err(ImportError::Read)? > LARGEST {
        return Err(ImportError::TooLarge);
    }
    let layer = writer.finish()?;
    // Whatever an archive is, only one that can be unpacked is an image.
    let damaged = |error: MakeError| ImportError::Make(error);
    let part = images.blob(&layer.diff_id).map_err(|error| damaged(error.into()))?;
    let part = part.ok_or_else(|| ImportError::Read(io::ErrorKind::NotFound.into()))?;
    layers.ensure(&layer.diff_id, stockade_storage::Compression::None, part).map_err(ImportError::Layer)?;
    let history = History { created_by: String::new(), comment: import.message.to_owned() };
    let making = Making {
        base: None,
        layers: vec![(layer, history)],
        draft: &draft,
        platform: import.platform.clone(),
        created: import.created.clone(),
        author: "",
    };
    Ok(images.make(&making, import.name)?)
}
