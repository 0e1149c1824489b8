//! From the layers in an image's files to folders.

use std::io::{self, Read};
use std::path::PathBuf;

use sha2::Digest as _;
use stockade_storage::{Digest, EnsureError, Layers};

use crate::content::StoredLayer;
use crate::error::ImageError;
use crate::store::Part;
use stockade_storage::Compression;

/// The most layers: overlayfs's OVL_MAX_STACK.
pub(crate) const MOST_LAYERS: usize = 500;

/// A layer in the form in which the image has it.
pub(crate) struct Packed {
    /// The digest of its uncompressed archive.
    pub(crate) diff_id: Digest,
    /// Its file.
    pub(crate) part: Part,
    /// How it is compressed.
    pub(crate) compression: Compression,
    /// The digest of the file itself; `None` where the image says none and `diff_id` has to do.
    pub(crate) blob: Option<Digest>,
}

/// Each of an image's layers with the digest that its configuration gives for it.
///
/// # Errors
/// [`ImageError::LayerCount`] if there are not as many of one as of the other, [`ImageError::ManyLayers`].
pub(crate) fn paired<'a, L>(
    layers: &'a [L],
    diff_ids: &'a [Digest],
) -> Result<impl Iterator<Item = (&'a L, &'a Digest)>, ImageError> {
    if layers.len() != diff_ids.len() {
        return Err(ImageError::LayerCount { layers: layers.len(), diff_ids: diff_ids.len() });
    }
    if layers.len() > MOST_LAYERS {
        return Err(ImageError::ManyLayers(layers.len()));
    }
    Ok(layers.iter().zip(diff_ids))
}

/// Unpacks `packed` (lowest first) where it was not before, and gives the folders, topmost first. What is hidden as a whole
/// by a layer above is left out; an image without layers has an empty one, because overlayfs needs one.
///
/// # Errors
/// The first layer that is not what it should be. Those before it stay.
pub(crate) fn ensure(layers: &Layers, packed: Vec<Packed>) -> Result<Vec<PathBuf>, ImageError> {
    if packed.len() > MOST_LAYERS {
        return Err(ImageError::ManyLayers(packed.len()));
    }
    let diff_ids: Vec<_> = packed.iter().map(|layer| layer.diff_id).collect();
    for layer in packed {
        one(layers, &layer)?;
    }
    layers.commit(&diff_ids)?;
    stacked(layers, &diff_ids)
}

/// The folders of complete layers (lowest first), topmost first.
fn stacked(layers: &Layers, diff_ids: &[Digest]) -> Result<Vec<PathBuf>, ImageError> {
    let mut lowers = Vec::new();
    for diff_id in diff_ids {
        let missing = || ImageError::Read { name: diff_id.to_string(), source: io::ErrorKind::NotFound.into() };
        let folder = layers.find(diff_id).ok_or_else(missing)?;
        // Overlayfs takes no folder twice; a layer that comes once more says again all that it said before.
        lowers.retain(|lower| *lower != folder);
        lowers.insert(0, folder);
        let hides = layers.hides_below(diff_id);
        if hides.map_err(|source| ImageError::Read { name: diff_id.to_string(), source })? {
            lowers.truncate(1);
        }
    }
    if lowers.is_empty() {
        // The end of a tar archive, which is all that an empty one has.
        let nothing = [0; 1024];
        lowers.push(layers.ensure(&Digest::of(&nothing), Compression::None, &nothing[..])?);
    }
    Ok(lowers)
}

/// Unpacks one layer where it was not before; it is to be committed.
pub(crate) fn one(layers: &Layers, layer: &Packed) -> Result<(), ImageError> {
    if layers.find(&layer.diff_id).is_some() {
        return Ok(());
    }
    if let Some(expected) = layer.blob {
        // First all of it is compared, so that neither the decompression nor the unpacking sees a byte that was not.
        let found = digest(layer.part.clone());
        let found = found.map_err(|source| ImageError::Read { name: expected.to_string(), source })?;
        if found != expected {
            return Err(ImageError::Digest { expected, found });
        }
    }
    Ok(layers.unpack(&layer.diff_id, layer.compression, layer.part.clone())?)
}

/// Unpacks the layer from its blob while that arrives, if it was not unpacked before; it is to be committed.
///
/// # Errors
/// If it is not what it should be, or `blob` cannot be read to its end.
pub(crate) fn unpack(layers: &Layers, layer: &StoredLayer, blob: &mut dyn Read) -> Result<(), EnsureError> {
    layers.unpack(&layer.diff_id, layer.compression, blob)
}

fn digest(mut part: Part) -> io::Result<Digest> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match part.read(&mut buffer)? {
            0 => return Ok(Digest::finish(hasher)),
            count => hasher.update(&buffer[..count]),
        }
    }
}
