//! `--volumes-from`: what other containers have of volumes and of the host, for one that is being made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::binds::NOT_RECURSIVE;
use crate::container::ContainerError;
use crate::engine::FindError;
use crate::inspect::MountPoint;
use crate::record::{Record, VolumeUse};
use crate::request::{Access, Bind, Copying, Given, Missing, Propagation, VolumeMount, VolumesFrom};
use crate::{Engine, Request};

/// Another container whose mounts cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum VolumesFromError {
    /// There is none of that name.
    #[error("cannot take over volumes by --volumes-from")]
    Find(#[from] FindError),
    /// Its folder.
    #[error("cannot look at the container of --volumes-from")]
    Container(#[from] ContainerError),
    /// Its record says what this version does not write.
    #[error("the record of container {container} has a mount at {target:?} that cannot be taken over")]
    Mount {
        /// As it was asked for.
        container: String,
        /// Where it is mounted.
        target: String,
    },
}

/// The request with the mounts of all containers that it names: what it asks for itself at the same place counts more, and so
/// does what a later one of them has. Nothing is held: a volume that is taken away meanwhile is found missing by
/// [`VolumeMounts::make`](crate::volume_mounts::VolumeMounts::make).
///
/// # Errors
/// See [`VolumesFromError`].
pub(crate) fn expand(engine: &Engine, request: &Request) -> Result<Request, VolumesFromError> {
    let mut whole = request.clone();
    for from in request.volumes_from.iter().rev() {
        let record = engine.view(&engine.find(&from.container)?)?.record;
        add(&mut whole, from, &record)?;
    }
    Ok(whole)
}

/// Adds what `record` has where nothing is mounted yet.
fn add(whole: &mut Request, from: &VolumesFrom, record: &Record) -> Result<(), VolumesFromError> {
    let mut uses = record.volumes.iter();
    for point in &record.mounts {
        let wrong = || VolumesFromError::Mount { container: from.container.clone(), target: point.destination.clone() };
        // The record has its volumes in the order of their mounts.
        let used = if point.kind == "volume" { Some(uses.next().ok_or_else(wrong)?) } else { None };
        if is_taken(whole, Path::new(&point.destination)) {
            continue;
        }
        match used {
            Some(used) => whole.volumes.push(volume(from, point, used)),
            None => whole.binds.push(bind(from, point).ok_or_else(wrong)?),
        }
    }
    Ok(())
}

/// Whether the request has a mount there.
fn is_taken(request: &Request, target: &Path) -> bool {
    let binds = request.binds.iter().map(|bind| &bind.target);
    let volumes = request.volumes.iter().map(|volume| &volume.target);
    let memory = request.options.tmpfs.iter().map(|tmpfs| &tmpfs.0.destination);
    binds.chain(volumes).chain(memory).any(|other| other.components().eq(target.components()))
}

fn access(from: &VolumesFrom, point: &MountPoint) -> Access {
    if point.rw { from.access } else { Access::ReadOnly }
}

fn volume(from: &VolumesFrom, point: &MountPoint, used: &VolumeUse) -> VolumeMount {
    VolumeMount {
        name: Some(used.name.clone()),
        target: PathBuf::from(&point.destination),
        access: access(from, point),
        copy: Copying::Nothing,
        subpath: used.subpath.clone(),
        labels: BTreeMap::new(),
        options: BTreeMap::new(),
        given: Given::VolumesFrom,
    }
}

fn bind(from: &VolumesFrom, point: &MountPoint) -> Option<Bind> {
    Some(Bind {
        source: PathBuf::from(&point.source),
        target: PathBuf::from(&point.destination),
        access: access(from, point),
        missing: Missing::Refuse,
        propagation: Propagation::of_word(&point.propagation)?,
        recursive: match point.bind_recursive.as_str() {
            "" => true,
            NOT_RECURSIVE => false,
            _ => return None,
        },
        given: Given::VolumesFrom,
    })
}

impl VolumesFrom {
    /// As `HostConfig.VolumesFrom` has it.
    pub(crate) fn text(&self) -> String {
        match self.access {
            Access::ReadWrite => self.container.clone(),
            Access::ReadOnly => format!("{}:ro", self.container),
        }
    }
}
