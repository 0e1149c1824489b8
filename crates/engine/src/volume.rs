//! `volume create`, `ls`, `inspect`, `rm` and `prune`: volumes, and which containers have them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stockade_monitor::events::{Event, VolumeAction};
use stockade_storage::volumes::{Created, Volume, VolumeError, VolumeName, Volumes};

use crate::container::{ContainerError, RECORD};
use crate::record::{VolumeUse, now};
use crate::{ContainerId, Engine};

pub use stockade_storage::volumes::{InvalidVolumeName, OptionError};

/// The one driver: a folder of this machine.
pub const DRIVER: &str = "local";
/// The one scope: this machine.
pub const SCOPE: &str = "local";
/// The label by which Docker shows that nobody gave a volume its name.
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// Why volumes cannot be made, listed or removed.
#[derive(Debug, thiserror::Error)]
pub enum VolumesError {
    /// The folder of volumes, or there is none of that name.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// What containers have cannot be told.
    #[error("cannot tell which volumes are in use; remove the container by rm --force if it is damaged")]
    Containers(#[from] ContainerError),
    /// Containers have it.
    #[error("remove {name}: volume is in use - [{}]", users.iter().map(ContainerId::as_str).collect::<Vec<_>>().join(", "))]
    InUse {
        /// The volume.
        name: VolumeName,
        /// Who has it.
        users: Vec<ContainerId>,
    },
}

impl VolumesError {
    /// Whether it says that there is no such volume.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Volume(VolumeError::Missing(_)))
    }
}

/// A volume in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSummary {
    /// Its name.
    pub name: VolumeName,
    /// Where its content is.
    pub mountpoint: String,
    /// Its labels, with Docker's for one that nobody gave a name.
    pub labels: BTreeMap<String, String>,
    /// Whether nobody gave it a name.
    pub anonymous: bool,
    /// When it was made: RFC 3339, UTC.
    pub created: String,
    /// The containers that have it, whatever they do.
    pub users: Vec<ContainerId>,
}

/// A volume in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VolumeInspection {
    /// When it was made.
    pub created_at: String,
    /// `local`.
    pub driver: String,
    /// Its labels; null without any.
    pub labels: Option<BTreeMap<String, String>>,
    /// Where its content is.
    pub mountpoint: String,
    /// Its name.
    pub name: String,
    /// The driver's options; null without any.
    pub options: Option<BTreeMap<String, String>>,
    /// `local`.
    pub scope: String,
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The volumes.
    pub names: Vec<VolumeName>,
    /// The bytes of their files.
    pub reclaimed: u64,
}

/// Makes a volume, or takes the one that has the name already; its name.
///
/// # Errors
/// [`VolumesError::Volume`], also for options that are not supported.
pub fn create(
    engine: &Engine,
    name: Option<VolumeName>,
    labels: BTreeMap<String, String>,
    options: BTreeMap<String, String>,
) -> Result<VolumeName, VolumesError> {
    let mut volume = match name {
        Some(name) => Volume::new(name, now()),
        None => anonymous()?,
    };
    (volume.labels, volume.options) = (labels, options);
    match engine.volumes()?.share()?.create(&volume)? {
        Created::New => {
            engine.happened_to_volume(VolumeAction::Create, &volume.name);
            Ok(volume.name)
        }
        Created::Existing(existing) => Ok(existing.name),
    }
}

/// A volume that nobody gives a name.
pub(crate) fn anonymous() -> Result<Volume, VolumeError> {
    let random = VolumeName::random();
    let failed =
        |source| VolumeError::File { action: "draw a volume's name from", path: "/dev/urandom".into(), source };
    let mut volume = Volume::new(random.map_err(failed)?, now());
    volume.anonymous = true;
    Ok(volume)
}

/// All volumes, by name.
///
/// # Errors
/// See [`VolumesError`].
pub fn list(engine: &Engine) -> Result<Vec<VolumeSummary>, VolumesError> {
    let volumes = engine.volumes()?;
    let mut users = engine.volume_users()?;
    let all = volumes.list()?;
    Ok(all.into_iter().map(|volume| summary(&volumes, volume, &mut users)).collect())
}

fn summary(volumes: &Volumes, volume: Volume, users: &mut Users) -> VolumeSummary {
    VolumeSummary {
        mountpoint: volumes.mountpoint(&volume.name).display().to_string(),
        labels: shown_labels(&volume),
        anonymous: volume.anonymous,
        created: volume.created,
        users: users.remove(&volume.name).unwrap_or_default(),
        name: volume.name,
    }
}

/// The labels, and Docker's for a volume without a name of the user's.
fn shown_labels(volume: &Volume) -> BTreeMap<String, String> {
    let mut labels = volume.labels.clone();
    if volume.anonymous {
        labels.insert(ANONYMOUS.to_owned(), String::new());
    }
    labels
}

/// All that is known of a volume.
///
/// # Errors
/// [`VolumesError::Volume`], also if there is none of that name.
pub fn inspect(engine: &Engine, name: &VolumeName) -> Result<VolumeInspection, VolumesError> {
    let volumes = engine.volumes()?;
    let volume = volumes.find(name)?.ok_or_else(|| VolumeError::Missing(name.clone()))?;
    let some = |map: BTreeMap<String, String>| Some(map).filter(|map| !map.is_empty());
    Ok(VolumeInspection {
        labels: some(shown_labels(&volume)),
        created_at: volume.created,
        driver: DRIVER.into(),
        mountpoint: volumes.mountpoint(name).display().to_string(),
        name: name.to_string(),
        options: some(volume.options),
        scope: SCOPE.into(),
    })
}

/// How many bytes the files of the volume have.
///
/// # Errors
/// [`VolumesError::Volume`].
pub fn usage(engine: &Engine, name: &VolumeName) -> Result<u64, VolumesError> {
    Ok(engine.volumes()?.usage(name)?)
}

/// What it means that a volume is not there which is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// An error.
    Refuse,
    /// Nothing is to be done (`--force`).
    Ignore,
}

/// Removes the volume and its content; a damaged one as well.
///
/// # Errors
/// [`VolumesError::InUse`], or that it is not there; then it is as it was.
pub fn remove(engine: &Engine, name: &VolumeName, missing: Missing) -> Result<(), VolumesError> {
    let volumes = engine.volumes()?;
    let alone = volumes.alone()?;
    match volumes.find(name) {
        Ok(None) if missing == Missing::Ignore => return Ok(()),
        Ok(None) => return Err(VolumeError::Missing(name.clone()).into()),
        Ok(Some(_)) | Err(VolumeError::Damaged { .. } | VolumeError::Version(_)) => {}
        Err(error) => return Err(error.into()),
    }
    if let Some(users) = engine.volume_users()?.remove(name) {
        return Err(VolumesError::InUse { name: name.clone(), users });
    }
    let doomed = alone.take_away(name)?;
    // What comes may take long, and is in nobody's way.
    drop(alone);
    doomed.remove()?;
    engine.happened_to_volume(VolumeAction::Destroy, name);
    Ok(())
}

/// Removes all volumes that no container has and that `taken` says.
///
/// # Errors
/// See [`VolumesError`]; some may be gone, and the content of others is removed by the next command.
pub fn prune(engine: &Engine, taken: impl Fn(&VolumeSummary) -> bool) -> Result<Pruned, VolumesError> {
    let volumes = engine.volumes()?;
    let mut pruned = Pruned::default();
    let alone = volumes.alone()?;
    let mut users = engine.volume_users()?;
    let mut doomed = Vec::new();
    for volume in volumes.list()? {
        let one = summary(&volumes, volume, &mut users);
        if one.users.is_empty() && taken(&one) {
            doomed.push(alone.take_away(&one.name)?);
            pruned.names.push(one.name);
        }
    }
    // What comes may take long, and is in nobody's way.
    drop(alone);
    for one in doomed {
        pruned.reclaimed += one.usage()?;
        one.remove()?;
    }
    for name in &pruned.names {
        engine.happened_to_volume(VolumeAction::Destroy, name);
    }
    let event = Event::volume(VolumeAction::Prune, "", BTreeMap::new());
    engine.happened(event.with("reclaimed", pruned.reclaimed.to_string()));
    Ok(pruned)
}

/// The containers that have each volume.
type Users = BTreeMap<VolumeName, Vec<ContainerId>>;

impl Engine {
    /// The volumes of this machine.
    pub(crate) fn volumes(&self) -> Result<Volumes, VolumeError> {
        Volumes::open(&self.places().data)
    }

    /// Which containers have which volumes, whatever they do.
    pub(crate) fn volume_users(&self) -> Result<Users, ContainerError> {
        /// The part of a record that is of interest.
        #[derive(Deserialize)]
        struct Uses {
            #[serde(default)]
            volumes: Vec<VolumeUse>,
        }
        let mut users = Users::new();
        for id in self.ids()? {
            let record = match self.folder(&id) {
                Ok(folder) => folder.read::<Uses>(RECORD)?,
                Err(ContainerError::Missing(_)) => None,
                Err(error) => return Err(error),
            };
            for one in record.into_iter().flat_map(|record| record.volumes) {
                let ids = users.entry(one.name).or_default();
                if !ids.contains(&id) {
                    ids.push(id.clone());
                }
            }
        }
        Ok(users)
    }
}
