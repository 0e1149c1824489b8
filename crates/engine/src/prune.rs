//! `prune`: removes what nobody needs.

use std::collections::BTreeMap;

use stockade_monitor::events::{ContainerAction, Event, ImageAction};
use stockade_storage::usage;

use crate::files::FileError;
use crate::garbage::{GarbageError, collect};
use crate::image::{ImageLookup, ImageSummary, images, list_images};
use crate::lifecycle::State;
use crate::ps::{ListError, Summary, Which, list};
use crate::rm::{Force, OwnVolumes, RemoveError, remove};
use crate::rmi::{ForceImage, Gone, RemoveImageError, remove_image};
use crate::{ContainerId, Engine};

/// Which images nobody needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// Those without a name that no container was made from.
    Dangling,
    /// All that no container was made from.
    Any,
}

/// Images that are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// What is gone, in its order.
    pub gone: Vec<Gone>,
    /// How many bytes the disk has more.
    pub bytes: u64,
}

/// Containers that are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrunedContainers {
    /// Their ids.
    pub ids: Vec<ContainerId>,
    /// How many bytes the disk has more.
    pub bytes: u64,
}

/// Why not everything was removed. What was until then is gone.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The containers.
    #[error(transparent)]
    List(#[from] ListError),
    /// A container.
    #[error(transparent)]
    Container(#[from] RemoveError),
    /// The images.
    #[error(transparent)]
    Images(#[from] ImageLookup),
    /// An image.
    #[error(transparent)]
    Image(#[from] RemoveImageError),
    /// What nobody needs any more.
    #[error(transparent)]
    Garbage(#[from] GarbageError),
    /// A folder.
    #[error(transparent)]
    Folder(#[from] FileError),
}

/// Removes the images that nobody needs and `take` takes. One that a container is made from meanwhile stays.
///
/// # Errors
/// See [`PruneError`].
pub fn prune_images(
    engine: &Engine,
    unused: Unused,
    take: impl Fn(&ImageSummary) -> bool,
) -> Result<Pruned, PruneError> {
    let before = image_bytes(engine)?;
    let mut gone = Vec::new();
    for image in list_images(engine)? {
        let dangling = image.tags.is_empty() && image.digests.is_empty();
        if image.containers > 0 || (unused == Unused::Dangling && !dangling) || !take(&image) {
            continue;
        }
        // Name by name, because an image with several is refused by its id.
        let names = if dangling { vec![image.id.clone()] } else { [image.tags, image.digests].concat() };
        for name in names {
            match remove_image(engine, &name, ForceImage::No) {
                Ok(more) => gone.extend(more),
                // Somebody else was faster, or has use for it now.
                Err(error) if error.is_missing() || error.is_conflict() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    // What was removed while somebody used the store, or by removing a container, goes now.
    collect(engine, &images(engine).map_err(ImageLookup::from)?)?;
    let bytes = before.saturating_sub(image_bytes(engine)?);
    engine.happened(Event::image(ImageAction::Prune, "", BTreeMap::new()).with("reclaimed", bytes.to_string()));
    Ok(Pruned { gone, bytes })
}

/// The bytes of all images on the disk, packed and unpacked.
pub(crate) fn image_bytes(engine: &Engine) -> Result<u64, FileError> {
    let of = |name: &str| {
        let folder = engine.places().data.join(name);
        usage(&folder).map_err(FileError::at("look at what is in", folder))
    };
    Ok(of("images")? + of("layers")?)
}

/// Removes the containers that do not run and `take` takes. One that is started meanwhile stays.
///
/// # Errors
/// See [`PruneError`].
pub fn prune_containers(engine: &Engine, take: impl Fn(&Summary) -> bool) -> Result<PrunedContainers, PruneError> {
    let mut pruned = PrunedContainers::default();
    for one in list(engine, Which::All)? {
        let ended = matches!(one.state, State::Created | State::Exited | State::Failed);
        if !ended || one.damaged.is_some() || !take(&one) {
            continue;
        }
        let bytes = container_bytes(engine, &one.id)?;
        match remove(engine, &one.id, Force::Refuse, OwnVolumes::Keep) {
            Ok(()) => {
                pruned.ids.push(one.id);
                pruned.bytes += bytes;
            }
            Err(RemoveError::Running { .. } | RemoveError::Container(crate::container::ContainerError::Missing(_))) => {
            }
            Err(error) => return Err(error.into()),
        }
    }
    let event = Event::container(&ContainerAction::Prune, "", BTreeMap::new());
    engine.happened(event.with("reclaimed", pruned.bytes.to_string()));
    Ok(pruned)
}

/// The bytes of what a container has changed, as the disk holds them.
pub(crate) fn container_bytes(engine: &Engine, id: &ContainerId) -> Result<u64, FileError> {
    let folder = engine.containers().join(id.as_str());
    let upper = stockade_storage::ContainerRoot::at(&folder).upper;
    usage(&upper).map_err(FileError::at("look at what is in", upper))
}
