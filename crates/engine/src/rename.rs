//! `rename`: another name for a container.

use stockade_monitor::ORDER;
use stockade_monitor::events::ContainerAction;
use stockade_monitor::order::Order;

use crate::container::{ContainerError, RECORD};
use crate::happened::about;
use crate::naming::Taken;
use crate::network::{self, NetworksError};
use crate::record::Record;
use crate::{ContainerId, ContainerName, Engine};

/// Why a container is called what it was called before.
#[derive(Debug, thiserror::Error)]
pub enum RenameError {
    /// Its folder.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// It is called the new name, which its networks were not told.
    #[error(transparent)]
    Network(#[from] NetworksError),
    /// It is called so.
    #[error("renaming a container with the same name as its current name: {0}")]
    Same(ContainerName),
    /// Another is called so.
    #[error("the name {name} is in use by container {}; remove or rename that one first", by.short())]
    Taken {
        /// The name.
        name: ContainerName,
        /// The other one.
        by: ContainerId,
    },
}

/// Gives the container the name. It is called by the old one until it is called by the new one: a kill at any instant leaves one of
/// both.
///
/// # Errors
/// See [`RenameError`].
pub fn rename(engine: &Engine, id: &ContainerId, name: &ContainerName) -> Result<(), RenameError> {
    let folder = engine.folder(id)?.lock()?;
    let view = engine.settle(&folder)?;
    let old = view.record.name.clone();
    if old == *name {
        return Err(RenameError::Same(old));
    }
    let record = Record { name: name.clone(), ..view.record };
    match engine.change_name([&old, name], id, || folder.0.write(RECORD, &record)) {
        Ok(written) => written?,
        Err(Taken::By(by)) => return Err(RenameError::Taken { name: name.clone(), by }),
        Err(Taken::File(error)) => return Err(ContainerError::from(error).into()),
    }
    if let Some(order) = folder.0.read::<Order>(ORDER)? {
        // Its monitor tells of its end by the new name.
        folder.0.write(ORDER, &Order { events: Some(engine.event_source(&record)), ..order })?;
    }
    network::renamed(engine, id)?;
    engine.happened(about(&record, &ContainerAction::Rename).with("oldName", format!("/{old}")));
    Ok(())
}
