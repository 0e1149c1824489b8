//! `system check`: whether what is kept on this machine is what it should be.

use std::collections::BTreeSet;

use stockade_images::{ContentError, Finding, Images, Repair};
use stockade_kernel::chain::chain;
use stockade_storage::Layers;

use crate::container::ContainerError;
use crate::files::FileError;
use crate::garbage::layer;
use crate::{ContainerId, Engine};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// In the store of images, or among the layers.
    #[error(transparent)]
    Images(#[from] Finding),
    /// A container whose files cannot be read.
    #[error("container {}: {reason}; `rm --force` removes it", id.short())]
    Container {
        /// Which.
        id: ContainerId,
        /// What is wrong with it.
        reason: String,
    },
    /// A layer that a container stands on and that is not there: it cannot be started.
    #[error("container {} stands on layer {layer}, which is not there; pull its image again", id.short())]
    MissingLayer {
        /// The container.
        id: ContainerId,
        /// The layer.
        layer: String,
    },
}

/// Why not everything could be looked at or repaired.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The store of images.
    #[error(transparent)]
    Images(#[from] ContentError),
    /// The layers.
    #[error("cannot open the layers")]
    Layers(#[from] stockade_storage::layers::OpenError),
    /// The containers.
    #[error(transparent)]
    Containers(#[from] FileError),
    /// Somebody else makes or uses an image.
    #[error("another command is using or fetching an image; repair when it is done")]
    Busy,
    /// It is not known which layers containers stand on, so none can be dropped.
    #[error("container {} cannot be read, so that nothing is repaired; `rm --force` removes it", .0.short())]
    Unknown(ContainerId),
}

/// Looks at every blob, image, layer and container. With [`Repair::Drop`] what is damaged of images and layers goes, unless a
/// container stands on it, and the next pull brings it anew.
///
/// # Errors
/// See [`CheckError`]; that something is damaged is no error.
pub fn check(engine: &Engine, repair: Repair) -> Result<Vec<Fault>, CheckError> {
    let data = &engine.places().data;
    let images = Images::open(data)?;
    let layers = Layers::open(data, &engine.places().programs)?;
    // Either of them lives until the end.
    let (alone, _share) = match repair {
        Repair::Report => (None, Some(images.share()?)),
        Repair::Drop => (images.alone()?, None),
    };
    if repair == Repair::Drop && alone.is_none() {
        return Err(CheckError::Busy);
    }
    let (mut faults, mut used) = (Vec::new(), BTreeSet::new());
    for id in engine.ids()? {
        let read = engine.folder(&id).and_then(|folder| folder.view());
        let lowers = match read {
            Ok(view) => view.record.image.lowers,
            Err(ContainerError::Missing(_)) => continue,
            Err(_) if repair == Repair::Drop => return Err(CheckError::Unknown(id)),
            Err(error) => {
                faults.push(Fault::Container { id, reason: chain(&error) });
                continue;
            }
        };
        for folder in lowers {
            if !folder.is_dir() {
                faults.push(Fault::MissingLayer { id: id.clone(), layer: folder.display().to_string() });
            }
            used.extend(layer(&folder));
        }
    }
    let findings = images.check(&layers, &used, repair)?;
    faults.extend(findings.into_iter().map(Fault::from));
    Ok(faults)
}
