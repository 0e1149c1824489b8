//! `diff`: what a container changed in its image's files.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use stockade_storage::ContainerRoot;
use stockade_storage::changes::{self, ChangesError, Kind, Stack};
use stockade_storage::pack::Owners;

use crate::container::{CONFIG, ContainerError, Locked, View};
use crate::files::{self, FileError};
use crate::{ContainerId, Engine, inside};

/// Why the changes cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// The container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A layer.
    #[error(transparent)]
    File(#[from] FileError),
    /// The files.
    #[error(transparent)]
    Changes(#[from] ChangesError),
}

/// What the container added, changed and deleted, in the order of the paths. What the runtime made to mount something on is no
/// change.
///
/// # Errors
/// See [`DiffError`].
pub fn diff(engine: &Engine, id: &ContainerId) -> Result<Vec<(PathBuf, Kind)>, DiffError> {
    let folder = engine.folder(id)?.lock()?;
    let view = engine.settle(&folder)?;
    match Opened::open(&folder, &view)? {
        None => Ok(Vec::new()),
        Some(opened) => Ok(changes::changes(&opened.stack())?.into_iter().collect()),
    }
}

/// A container's folders, opened.
pub(crate) struct Opened {
    pub(crate) upper: OwnedFd,
    lowers: Vec<OwnedFd>,
    pub(crate) owners: Owners,
    mount_points: BTreeSet<PathBuf>,
}

impl Opened {
    /// Opens them; `None` if the container was never started and so has no upper folder.
    pub(crate) fn open(folder: &Locked, view: &View) -> Result<Option<Self>, DiffError> {
        let path = ContainerRoot::at(&folder.0.path).upper;
        let upper = match files::open_folder(&path) {
            Ok(upper) => upper,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(FileError::at("open", path)(errno).into()),
        };
        let open = |path: &PathBuf| files::open_folder(path).map_err(FileError::at("open", path));
        let lowers = view.record.image.lowers.iter().map(open).collect::<Result<_, _>>()?;
        let mount_points = mount_points(folder, view)?;
        Ok(Some(Self { upper, lowers, owners: inside::owners(view), mount_points }))
    }

    /// For [`changes`].
    pub(crate) fn stack(&self) -> Stack<'_> {
        let Self { upper, lowers, owners, mount_points } = self;
        Stack { upper: upper.as_fd(), lowers, owners, mount_points }
    }
}

/// Where something is mounted that the user did not ask for, relative to the root.
fn mount_points(folder: &Locked, view: &View) -> Result<BTreeSet<PathBuf>, DiffError> {
    let spec: Option<stockade_spec::Spec> = folder.0.read(CONFIG)?;
    let asked_for: BTreeSet<&str> = view.record.mounts.iter().map(|mount| mount.destination.as_str()).collect();
    let mounts = spec.into_iter().flat_map(|spec| spec.mounts).map(|mount| mount.destination);
    let own = mounts.filter(|path| !asked_for.contains(path.to_string_lossy().as_ref()));
    Ok(own.filter_map(|path| path.strip_prefix("/").ok().map(PathBuf::from)).collect())
}
