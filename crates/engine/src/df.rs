//! `system df`: how much disk is used, and by what.

use std::collections::{BTreeMap, BTreeSet};

use stockade_images::Digest;
use stockade_storage::usage;

use crate::Engine;
use crate::files::FileError;
use crate::image::{Found, ImageLookup, ImageSummary, all};
use crate::prune::{container_bytes, image_bytes};
use crate::ps::{ListError, Summary, Which, list};
use crate::volume::{self, VolumesError};

/// How much disk is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// The images together.
    pub images_share: Share,
    /// The containers together.
    pub containers_share: Share,
    /// The volumes together.
    pub volumes_share: Share,
    /// Each image.
    pub images: Vec<ImageSummary>,
    /// The bytes of an image, by its id, that other images have, too.
    pub shared: BTreeMap<String, u64>,
    /// Each container with the bytes of what it changed.
    pub containers: Vec<(Summary, u64)>,
    /// Each volume.
    pub volumes: Vec<VolumeUsage>,
}

/// One kind of thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many there are.
    pub total: usize,
    /// How many are in use.
    pub active: usize,
    /// The bytes that the disk holds for them.
    pub bytes: u64,
    /// How many of these would go with what is not in use.
    pub reclaimable: u64,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeUsage {
    /// Its name.
    pub name: String,
    /// How many containers have it.
    pub links: usize,
    /// The bytes that the disk holds for it.
    pub bytes: u64,
}

/// Why the usage could not be told.
#[derive(Debug, thiserror::Error)]
pub enum DfError {
    /// The images.
    #[error(transparent)]
    Images(#[from] ImageLookup),
    /// The containers.
    #[error(transparent)]
    Containers(#[from] ListError),
    /// The volumes.
    #[error(transparent)]
    Volumes(#[from] VolumesError),
    /// A folder.
    #[error(transparent)]
    Folder(#[from] FileError),
}

/// Looks at everything on the disk.
///
/// # Errors
/// See [`DfError`].
pub fn df(engine: &Engine) -> Result<DiskUsage, DfError> {
    let found = all(engine)?;
    let volumes = volumes(engine)?;
    let containers = list(engine, Which::All)?.into_iter().map(|one| {
        let bytes = container_bytes(engine, &one.id)?;
        Ok((one, bytes))
    });
    let containers = containers.collect::<Result<Vec<_>, FileError>>()?;
    Ok(DiskUsage {
        images_share: images_share(engine, &found)?,
        containers_share: containers_share(&containers),
        volumes_share: volumes_share(&volumes),
        shared: shared(&found),
        images: found.into_iter().map(|one| one.summary).collect(),
        containers,
        volumes,
    })
}

fn volumes(engine: &Engine) -> Result<Vec<VolumeUsage>, VolumesError> {
    let all = volume::list(engine)?.into_iter().map(|one| {
        let bytes = volume::usage(engine, &one.name)?;
        Ok(VolumeUsage { name: one.name.to_string(), links: one.users.len(), bytes })
    });
    all.collect()
}

fn volumes_share(volumes: &[VolumeUsage]) -> Share {
    let idle = volumes.iter().filter(|one| one.links == 0);
    Share {
        total: volumes.len(),
        active: volumes.iter().filter(|one| one.links > 0).count(),
        bytes: volumes.iter().map(|one| one.bytes).sum(),
        reclaimable: idle.map(|one| one.bytes).sum(),
    }
}

fn containers_share(containers: &[(Summary, u64)]) -> Share {
    let active = |one: &Summary| one.state.is_up();
    let idle = containers.iter().filter(|(one, _)| !active(one));
    Share {
        total: containers.len(),
        active: containers.iter().filter(|(one, _)| active(one)).count(),
        bytes: containers.iter().map(|(_, bytes)| bytes).sum(),
        reclaimable: idle.map(|(_, bytes)| bytes).sum(),
    }
}

/// What is not of an image that a container was made from can be reclaimed.
fn images_share(engine: &Engine, found: &[Found]) -> Result<Share, DfError> {
    let bytes = image_bytes(engine)?;
    let used: Vec<&Found> = found.iter().filter(|one| one.summary.containers > 0).collect();
    let blobs: BTreeMap<Digest, u64> = used.iter().flat_map(|one| one.blobs()).collect();
    let layers: BTreeSet<Digest> = used.iter().flat_map(|one| &one.stored.layers).map(|layer| layer.diff_id).collect();
    let mut kept: u64 = blobs.values().sum();
    for layer in layers {
        let folder = engine.places().data.join("layers/sha256").join(layer.hex());
        kept += usage(&folder).map_err(FileError::at("look at what is in", folder))?;
    }
    let active = used.len();
    Ok(Share { total: found.len(), active, bytes, reclaimable: bytes.saturating_sub(kept) })
}

/// The bytes of each image that others have, too.
fn shared(found: &[Found]) -> BTreeMap<String, u64> {
    let mut owners: BTreeMap<Digest, usize> = BTreeMap::new();
    for digest in found.iter().flat_map(|one| one.blobs().into_keys()) {
        *owners.entry(digest).or_default() += 1;
    }
    let of = |one: &Found| {
        let others = one.blobs().into_iter().filter(|(digest, _)| owners.get(digest).is_some_and(|count| *count > 1));
        others.map(|(_, bytes)| bytes).sum::<u64>()
    };
    found.iter().map(|one| (one.summary.id.clone(), of(one))).collect()
}
