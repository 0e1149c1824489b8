//! The volumes of a container that is being made: which there are to be, made and filled, and what is written down of them.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use stockade_images::Image;
use stockade_monitor::events::VolumeAction;
use stockade_spec::Mount;
use stockade_storage::volumes::{Backing, Created, OptionError, Share, Volume, VolumeError, VolumeName, Volumes};

use crate::binds::{bind, is_plain};
use crate::container::ContainerError;
use crate::files::{self, FileError};
use crate::inspect::MountPoint;
use crate::record::{VolumeUse, now};
use crate::request::{Access, Copying, Given, VolumeMount};
use crate::volume_fill::{self, FillVolumesError};
use crate::{Engine, Request};

/// In a container's folder: the names of the volumes that are its own, for as long as they are to go when it does.
pub(crate) const OWN: &str = "volumes.json";
/// In a container's folder: where parts of volumes are mounted, in the monitor's mount namespace.
pub(crate) const PARTS: &str = "volumes";
/// Nothing that steers the runtime or the walls can be a volume (CVE-2019-16884).
const STEERING: [&str; 2] = ["/proc", "/sys"];

/// A volume that a container cannot have.
#[derive(Debug, thiserror::Error)]
pub enum VolumeMountError {
    /// Relative, or climbing.
    #[error("invalid volume on {0:?}: the path in the container must be absolute and without '..'")]
    Target(PathBuf),
    /// Nothing can take the place of the container's root.
    #[error("invalid volume on {0:?}: the container's path cannot be '/'")]
    Root(PathBuf),
    /// What steers walls.
    #[error("invalid volume on {0:?}: nothing but the kernel's own files can be in /proc, /sys and /dev")]
    Steering(PathBuf),
    /// Two mounts at one place.
    #[error("duplicate mount point: {0:?}")]
    Duplicate(PathBuf),
    /// `volume-subpath` that is absolute or climbs.
    #[error("invalid volume-subpath {0:?}: it must be a relative path in the volume, without '..'")]
    Subpath(PathBuf),
    /// Another container's, which was removed meanwhile.
    #[error("the volume {0} of another container is not there any more: it was removed")]
    Gone(VolumeName),
    /// A folder of the host behind a volume.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The folder of volumes.
    #[error(transparent)]
    Volumes(#[from] VolumeError),
    /// What the image has for them.
    #[error(transparent)]
    Fill(#[from] FillVolumesError),
    /// A file of the container's folder.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Checks the volumes that are asked for against each other and all other mounts; changes nothing.
pub(crate) fn check(request: &Request) -> Result<(), VolumeMountError> {
    for (number, volume) in request.volumes.iter().enumerate() {
        check_target(&volume.target)?;
        Backing::of(&volume.options)?;
        let earlier = request.volumes[..number].iter().map(|other| &other.target);
        if earlier.chain(others(request)).any(|other| same(other, &volume.target)) {
            return Err(VolumeMountError::Duplicate(volume.target.clone()));
        }
        if let Some(subpath) = &volume.subpath
            && !(subpath.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
                && subpath.to_str().is_some_and(|text| !text.contains('\0')))
        {
            return Err(VolumeMountError::Subpath(subpath.clone()));
        }
    }
    Ok(())
}

/// Where binds and memory are mounted.
fn others(request: &Request) -> impl Iterator<Item = &PathBuf> {
    let tmpfs = request.options.tmpfs.iter().map(|tmpfs| &tmpfs.0.destination);
    request.binds.iter().map(|bind| &bind.target).chain(tmpfs)
}

fn same(one: &Path, other: &Path) -> bool {
    one.components().eq(other.components())
}

fn check_target(target: &Path) -> Result<(), VolumeMountError> {
    if !is_plain(target) {
        return Err(VolumeMountError::Target(target.to_owned()));
    }
    let plain: PathBuf = target.components().collect();
    if plain.parent().is_none() {
        return Err(VolumeMountError::Root(target.to_owned()));
    }
    if STEERING.iter().any(|path| plain.starts_with(path)) || plain == Path::new("/dev") {
        return Err(VolumeMountError::Steering(target.to_owned()));
    }
    Ok(())
}

/// One volume of a container.
#[derive(Debug)]
struct Planned {
    volume: Volume,
    target: PathBuf,
    access: Access,
    copy: Copying,
    subpath: Option<PathBuf>,
    given: Given,
    /// As `inspect` shows it.
    mode: &'static str,
    /// Whether it is made for this container, without a name of the user's.
    own: bool,
    /// Where its content is: empty until it was made.
    place: PathBuf,
    /// Where its content would be without options: the same.
    mountpoint: PathBuf,
}

/// All volumes of a container, which are kept from being taken away as long as this lives.
#[derive(Debug, Default)]
pub(crate) struct VolumeMounts {
    planned: Vec<Planned>,
    _share: Option<Share>,
}

impl Planned {
    /// All of a volume, with what the image has there; one of the container's own without a name.
    fn new(name: Option<&VolumeName>, target: &Path, mode: &'static str) -> Result<Self, VolumeMountError> {
        Ok(Self {
            volume: match name {
                Some(name) => Volume::new(name.clone(), now()),
                None => crate::volume::anonymous()?,
            },
            target: target.to_owned(),
            access: Access::ReadWrite,
            copy: Copying::Content,
            subpath: None,
            given: Given::Volume,
            mode,
            own: name.is_none(),
            place: PathBuf::new(),
            mountpoint: PathBuf::new(),
        })
    }

    /// Makes the volume unless it is there, and finds its content. Another container's is there, or was taken away with it.
    fn make(&mut self, engine: &Engine, volumes: &Volumes, share: &Share) -> Result<(), VolumeMountError> {
        if self.given == Given::VolumesFrom && volumes.find(&self.volume.name)?.is_none() {
            return Err(VolumeMountError::Gone(self.volume.name.clone()));
        }
        match share.create(&self.volume)? {
            Created::Existing(existing) => self.volume = existing,
            Created::New => engine.happened_to_volume(VolumeAction::Create, &self.volume.name),
        }
        self.mountpoint = volumes.mountpoint(&self.volume.name);
        self.place.clone_from(&self.mountpoint);
        match self.volume.backing()? {
            Backing::Own => volumes.settle(&self.volume.name).map_err(FillVolumesError::from)?,
            Backing::Bind { device, read_only } => {
                self.place = device;
                self.copy = Copying::Nothing;
                self.access = if read_only { Access::ReadOnly } else { self.access };
            }
        }
        Ok(())
    }
}

impl VolumeMounts {
    /// Makes all volumes that `request` and `image` want and that are not there, and fills those that are empty. What is made
    /// without a name is written down first in `folder`, the unfinished container's at `path`, so that it goes with it.
    ///
    /// The caller has locked no container: from here to the end of its life nobody can take a volume away.
    ///
    /// # Errors
    /// See [`VolumeMountError`]. Volumes that the user gave a name stay.
    pub(crate) fn make(
        engine: &Engine,
        request: &Request,
        image: &Image,
        path: &Path,
        folder: &OwnedFd,
    ) -> Result<Self, VolumeMountError> {
        let mut planned = plan(request, image)?;
        if planned.is_empty() {
            return Ok(Self::default());
        }
        let volumes = engine.volumes()?;
        let own: Vec<&VolumeName> = planned.iter().filter(|one| one.own).map(|one| &one.volume.name).collect();
        if !own.is_empty() {
            let text = serde_json::to_vec(&own).map_err(std::io::Error::from);
            let written = text.and_then(|text| files::write_new(folder.as_fd(), OWN, &text, 0o600));
            written.map_err(FileError::at("write", path.join(OWN)))?;
        }
        let share = volumes.share()?;
        for one in &mut planned {
            one.make(engine, &volumes, &share)?;
        }
        let mut wanted: BTreeMap<&VolumeName, Vec<&Path>> = BTreeMap::new();
        for one in planned.iter().filter(|one| one.copy == Copying::Content && one.subpath.is_none()) {
            wanted.entry(&one.volume.name).or_default().push(&one.target);
        }
        volume_fill::fill(&share, &wanted, path, &image.lowers)?;
        Ok(Self { planned, _share: Some(share) })
    }

    /// In OCI's words, for the container that will be in `folder`, with the ids that are stored. What is mounted of a part of a
    /// volume is found by the start, which mounts it there.
    pub(crate) fn mounts(&self, folder: &Path) -> Vec<Mount> {
        let mount = |(number, one): (usize, &Planned)| {
            let access: &[&str] = if one.access == Access::ReadOnly { &["ro", "rro"] } else { &[] };
            let options = ["rbind", "rprivate"];
            let options = options.iter().chain(access);
            match &one.subpath {
                Some(_) => bind(&part(folder, number), &one.target, options),
                None => bind(&one.place, &one.target, options),
            }
        };
        self.planned.iter().enumerate().map(mount).collect()
    }

    /// In Docker's words.
    pub(crate) fn mount_points(&self) -> Vec<MountPoint> {
        let point = |one: &Planned| MountPoint {
            kind: "volume".into(),
            name: one.volume.name.to_string(),
            source: one.mountpoint.display().to_string(),
            destination: one.target.display().to_string(),
            driver: crate::volume::DRIVER.into(),
            mode: one.mode.into(),
            rw: one.access == Access::ReadWrite,
            propagation: String::new(),
            bind_recursive: String::new(),
        };
        self.planned.iter().map(point).collect()
    }

    /// What the record has.
    pub(crate) fn uses(&self) -> Vec<VolumeUse> {
        let one = |one: &Planned| VolumeUse {
            name: one.volume.name.clone(),
            anonymous: one.own,
            subpath: one.subpath.clone(),
        };
        self.planned.iter().map(one).collect()
    }
}

/// Where the volume that is the `number`th of a container is mounted if only a part of it is.
pub(crate) fn part(folder: &Path, number: usize) -> PathBuf {
    folder.join(PARTS).join(number.to_string())
}

/// What Docker's `inspect` shows as the mode of a volume that has a name and no options.
const NAMED: &str = "z";

/// The volumes that the flags ask for, and those that the image wants where nothing else is mounted.
fn plan(request: &Request, image: &Image) -> Result<Vec<Planned>, VolumeMountError> {
    let mut planned = Vec::new();
    for asked in &request.volumes {
        let mode = match (asked.access, asked.given, &asked.name) {
            (Access::ReadOnly, Given::Volume | Given::VolumesFrom, _) => "ro",
            (_, Given::Volume, None) => "",
            _ => NAMED,
        };
        let mut one = Planned::new(asked.name.as_ref(), &asked.target, mode)?;
        one.volume.labels.extend(asked.labels.clone());
        one.volume.options.clone_from(&asked.options);
        let (access, copy, given) = (asked.access, asked.copy, asked.given);
        planned.push(Planned { access, copy, given, subpath: asked.subpath.clone(), ..one });
    }
    for target in image.config.volumes.iter().map(PathBuf::from) {
        let mut taken = others(request).chain(request.volumes.iter().map(|volume| &volume.target));
        if !taken.any(|other| same(other, &target)) {
            check_target(&target)?;
            planned.push(Planned::new(None, &target, "")?);
        }
    }
    Ok(planned)
}

impl VolumeMount {
    /// As `HostConfig.Binds` has it: what `--volume` gave a name.
    pub(crate) fn text(&self) -> Option<String> {
        let name = self.name.as_ref().filter(|_| self.given == Given::Volume)?;
        let options = [(self.access == Access::ReadOnly, "ro"), (self.copy == Copying::Nothing, "nocopy")];
        let options: Vec<&str> = options.iter().filter(|(given, _)| *given).map(|(_, word)| *word).collect();
        let options = if options.is_empty() { String::new() } else { format!(":{}", options.join(",")) };
        Some(format!("{name}:{}{options}", self.target.display()))
    }
}

impl Engine {
    /// Removes the volumes that the folder `path` says are its container's own, if no other container has them. It is no
    /// container's any more, and the caller holds no share of the volumes.
    pub(crate) fn remove_own_volumes(&self, path: &Path) -> Result<(), ContainerError> {
        let file = path.join(OWN);
        let text = match files::open_folder(path) {
            Ok(folder) => files::read(folder.as_fd(), OWN).map_err(FileError::at("read", file))?,
            // A killed command left something else there.
            Err(_no_folder) => None,
        };
        let Some(text) = text else { return Ok(()) };
        // One that was being written is of a container that has no volumes yet.
        let Ok(names) = serde_json::from_slice::<Vec<VolumeName>>(&text) else { return Ok(()) };
        let volumes = self.volumes()?;
        let alone = volumes.alone()?;
        let users = self.volume_users()?;
        let mut doomed = Vec::new();
        for name in names.iter().filter(|name| !users.contains_key(*name)) {
            match alone.take_away(name) {
                Ok(one) => doomed.push((name, one)),
                Err(VolumeError::Missing(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        drop(alone);
        for (name, one) in doomed {
            one.remove()?;
            self.happened_to_volume(VolumeAction::Destroy, name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(targets: &[&str]) -> Request {
        let volume = |target: &&str| VolumeMount {
            name: Some("data".parse().unwrap()),
            target: target.into(),
            access: Access::ReadWrite,
            copy: Copying::Content,
            subpath: None,
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
            given: Given::Volume,
        };
        Request {
            volumes: targets.iter().map(volume).collect(),
            ..Request::new(stockade_images::Reference::RootFs("/".into()))
        }
    }

    #[test]
    fn volumes_stand_in_nobodys_way() {
        for target in
            ["relative", "/a/../b", "/", "//", "/proc", "/proc/sys", "/sys/", "/sys/fs/cgroup", "/dev", "/./dev/"]
        {
            assert!(check(&request(&[target])).is_err(), "{target}");
        }
        for target in ["/data", "/dev/shm", "/dev/data", "/process", "/etc/hosts"] {
            check(&request(&[target])).unwrap();
        }
        assert!(matches!(check(&request(&["/a", "/a/"])), Err(VolumeMountError::Duplicate(_))));
        let mut climbing = request(&["/a"]);
        for path in ["/x", "../x", "a/../../x", "a\0"] {
            climbing.volumes[0].subpath = Some(path.into());
            assert!(matches!(check(&climbing), Err(VolumeMountError::Subpath(_))), "{path}");
        }
        climbing.volumes[0].subpath = Some("a/./b".into());
        check(&climbing).unwrap();
    }

    #[test]
    fn docker_shows_what_was_asked_for() {
        let mut given = request(&["/a"]).volumes.remove(0);
        assert_eq!(given.text().as_deref(), Some("data:/a"));
        (given.access, given.copy) = (Access::ReadOnly, Copying::Nothing);
        assert_eq!(given.text().as_deref(), Some("data:/a:ro,nocopy"));
        given.given = Given::Mount;
        assert_eq!(given.text(), None);
    }
}
