//! `create`: a container from an image, made whole or not at all.

use std::path::PathBuf;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Gid, Mode};
use stockade_images::{ContentError, Image, Images, LoadError};
use stockade_monitor::events::ContainerAction;
use stockade_policy::FillError;
use stockade_policy::namespaces::{NetworkMode, UtsMode};
use stockade_storage::container_root::FolderError;
use stockade_storage::{ContainerRoot, Layers};

use crate::binds::{self, BindError};
use crate::cgroup::{self, ParentError};
use crate::container::{CONFIG, ContainerError, RECORD};
use crate::engine::remove_tree;
use crate::etc;
use crate::files::{self, FileError};
use crate::identity::{self, IdentityError};
use crate::idmap::Mappings;
use crate::machine::MachineError;
use crate::naming::Taken;
use crate::organisation::{RefusalError, Subjected};
use crate::process::{Payload, PayloadError};
use crate::record::{ImageRecord, Record, VERSION, now};
use crate::spec::{self, Parts};
use crate::userns::{self, Settled};
use crate::volume_mounts::{self, VolumeMountError, VolumeMounts};
use crate::volumes_from::{self, VolumesFromError};
use crate::walls::{self, Walls, WallsError};
use crate::{CgroupDriver, ContainerId, ContainerName, Engine, Request, devices, organisation};

/// A container that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// What the user should see although it is no error, each one line.
    pub notices: Vec<String>,
}

/// Why there is no container. Nothing is left of it, but layers that were unpacked, an AppArmor profile that was loaded, and
/// folders and named volumes that were made for `--volume`. Docker's exit code for all of these is 125.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The name is taken.
    #[error("the name {name} is in use by container {}; remove that one or choose another name", id.short())]
    NameInUse {
        /// The name.
        name: ContainerName,
        /// Who has it.
        id: ContainerId,
    },
    /// The folder of layers.
    #[error("cannot open the layers")]
    Layers(#[from] stockade_storage::layers::OpenError),
    /// The store of images.
    #[error(transparent)]
    Images(#[from] ContentError),
    /// The image. Boxed, because it is large and rare.
    #[error("cannot load the image")]
    Image(#[source] Box<LoadError>),
    /// There is none of that name.
    #[error(transparent)]
    NoImage(Box<LoadError>),
    /// What is to be executed.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Who is to execute it.
    #[error("cannot tell the user {user:?}")]
    Identity {
        /// As it was asked for.
        user: String,
        /// Why not.
        source: IdentityError,
    },
    /// What confines it.
    #[error(transparent)]
    Walls(#[from] WallsError),
    /// Folders of the host.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Volumes.
    #[error(transparent)]
    Volume(#[from] VolumeMountError),
    /// What another container has.
    #[error(transparent)]
    VolumesFrom(#[from] VolumesFromError),
    /// `--domainname` where the host's is shared.
    #[error("invalid --domainname: it does not go with --uts host, which shares this machine's")]
    Domainname,
    /// Volumes of its own, which are to go with it.
    #[error(transparent)]
    OwnVolumes(Box<ContainerError>),
    /// `--init` without its program.
    #[error("--init needs the program {}, which is not there", .0.display())]
    Init(PathBuf),
    /// `--cgroup-parent`.
    #[error(transparent)]
    CgroupParent(#[from] ParentError),
    /// The user namespace.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// systemd for a user other than root.
    #[error(
        "--cgroup-driver systemd is root's: a container of another user has its control group below the engine's own, where systemd has given \
         the user that (systemd-run --user --scope --property=Delegate=yes stockade ...)"
    )]
    UsersSystemd,
    /// Networks.
    #[error(transparent)]
    Network(#[from] crate::network::NetworksError),
    /// The posture and what was made of it differ.
    #[error("cannot write the container's configuration")]
    Fill(#[from] FillError),
    /// Another container whose namespace is joined.
    #[error("cannot share a namespace of another container")]
    Joined(#[source] ContainerError),
    /// The folders of the container's root.
    #[error(transparent)]
    Root(#[from] FolderError),
    /// A file or folder of the engine's.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no container, and what was made of it could not be removed; the next command tries again.
    #[error("{first}; and what was made of the container is still there")]
    Left {
        /// Why there is no container.
        first: Box<CreateError>,
        /// Why it could not be removed.
        source: Box<CreateError>,
    },
    /// The organisation's policy.
    #[error(transparent)]
    Policy(#[from] RefusalError),
    /// No random id.
    #[error("cannot draw an id")]
    Random(#[source] std::io::Error),
}

impl From<LoadError> for CreateError {
    fn from(error: LoadError) -> Self {
        let missing = matches!(error, LoadError::NotStored(_));
        let error = Box::new(error);
        if missing { Self::NoImage(error) } else { Self::Image(error) }
    }
}

/// Makes a container that waits for its start: its folder with the record, the OCI configuration, and the folders of its root.
///
/// Volumes that are not there are made, and those that are empty are filled with what the image has where they are mounted. What nobody
/// asked for is as the organisation's policy has it, and what that does not allow is not made.
///
/// # Errors
/// See [`CreateError`].
pub fn create(engine: &Engine, request: &Request) -> Result<Created, CreateError> {
    let mut request = request.clone();
    organisation::fill(&mut request.options)?;
    make(
        engine,
        &request,
        |making, request, options, image, payload| making.make(request, options, image, payload),
        Keep::Made,
    )
}

/// Whether `create` would be allowed by the organisation's policy: everything is planned and judged, and nothing of it stays but layers
/// that were unpacked. A volume that is not there is not made, and one that is there stays as it is.
///
/// # Errors
/// As [`create`]; what is not allowed is [`CreateError::Policy`].
pub fn judge(engine: &Engine, request: &Request) -> Result<(), CreateError> {
    let mut request = request.clone();
    organisation::fill(&mut request.options)?;
    organisation::without_volumes(engine, &mut request)?;
    let judged = |making: &Making<'_>, request: &Request, options, image: &Image, payload: &Payload| {
        making.fill(request, options, image, payload).map(drop)
    };
    make(engine, &request, judged, Keep::Nothing)
}

/// What becomes of a container that could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    /// It stays.
    Made,
    /// It is taken apart.
    Nothing,
}

/// Does `work` with a container's unfinished folder.
fn make<T>(
    engine: &Engine,
    request: &Request,
    work: impl FnOnce(&Making<'_>, &Request, stockade_policy::Options, &Image, &Payload) -> Result<T, CreateError>,
    keep: Keep,
) -> Result<T, CreateError> {
    if let Some(name) = &request.name
        && let Some(id) = engine.named(name)?
    {
        return Err(CreateError::NameInUse { name: name.clone(), id });
    }
    let request = &volumes_from::expand(engine, request)?;
    binds::check(&request.binds)?;
    volume_mounts::check(request)?;
    if request.domainname.is_some() && request.options.uts == UtsMode::Host {
        return Err(CreateError::Domainname);
    }
    let options = walls::options(engine, &request.options, &request.binds)?;
    let data = &engine.places().data;
    let (images, layers) = (Images::open(data)?, Layers::open(data, &engine.places().programs)?);
    // Until the record tells who needs the layers, nobody may take them for garbage.
    let _share = images.share()?;
    let image = stockade_images::load(&request.image, request.platform.as_ref(), &images, &layers)?;
    let payload = Payload::plan(request, &image.config)?;
    let making = Making::begin(engine)?;
    match work(&making, request, options, &image, &payload) {
        Ok(made) if keep == Keep::Made => Ok(made),
        Ok(judged) => making.abandon().map(|()| judged),
        Err(error) => match making.abandon() {
            Ok(()) => Err(error),
            Err(source) => Err(CreateError::Left { first: Box::new(error), source: Box::new(source) }),
        },
    }
}

/// A container's folder while it is unfinished.
struct Making<'a> {
    engine: &'a Engine,
    id: ContainerId,
    /// Where it is now.
    path: PathBuf,
    /// The folder of unfinished containers, held so that nobody takes this one for a leftover.
    share: OwnedFd,
}

impl<'a> Making<'a> {
    fn begin(engine: &'a Engine) -> Result<Self, CreateError> {
        let id = ContainerId::random().map_err(CreateError::Random)?;
        let share = engine.share_unfinished()?;
        let path = engine.unfinished().join(id.as_str());
        files::make_folder(&path).map_err(FileError::at("make the folder", &path))?;
        Ok(Self { engine, id, path, share })
    }

    fn abandon(&self) -> Result<(), CreateError> {
        self.engine.remove_own_volumes(&self.path).map_err(|error| CreateError::OwnVolumes(Box::new(error)))?;
        remove_tree(&self.share, &self.engine.unfinished(), self.id.as_str())?;
        Ok(self.engine.release_ids(&self.id)?)
    }

    /// Fills the folder and puts it where containers are; nobody takes a volume away between the two.
    fn make(
        &self,
        request: &Request,
        options: stockade_policy::Options,
        image: &Image,
        payload: &Payload,
    ) -> Result<Created, CreateError> {
        let (record, _volumes) = self.fill(request, options, image, payload)?;
        self.publish(request, record)
    }

    /// Everything in the folder; the record is still without the name.
    fn fill(
        &self,
        request: &Request,
        mut options: stockade_policy::Options,
        image: &Image,
        payload: &Payload,
    ) -> Result<(Record, VolumeMounts), CreateError> {
        let root = ContainerRoot::create(&self.path)?;
        userns::take(self.engine, &self.id, &mut options).map_err(WallsError::from)?;
        let mappings = Mappings { uids: &options.uid_mappings, gids: &options.gid_mappings };
        let identity = identity::identify(&root, &image.lowers, mappings, &payload.user, &request.groups);
        let identity = identity.map_err(|source| CreateError::Identity { user: payload.user.clone(), source })?;
        let settled = userns::settle(self.engine, &self.id, &request.options.user, &identity, &mut options);
        if settled.map_err(WallsError::from)? == Settled::Hosts {
            ContainerRoot::remove(&self.path)?;
            ContainerRoot::create(&self.path)?;
        }
        options.uid = identity.uid;
        options.hostname = request.hostname.is_some();
        let mut walls = Walls::plan(self.engine, options)?;
        let hostname = self.hostname(request, &walls)?;
        let folder = files::open_folder(&self.path).map_err(FileError::at("open", &self.path))?;
        let nodes = devices::take(&mut walls.posture, &folder, &self.path, &self.place())?;
        let mappings = Mappings { uids: &walls.posture.uid_mappings, gids: &walls.posture.gid_mappings };
        let exposed = image.config.exposed_ports.union(&request.exposed).cloned().collect();
        let wanted = self.engine.plan_networks(&request.network, &exposed, &hostname)?;
        let files = etc::Files { hostname: &hostname, network: &walls.options.network, wanted: &wanted };
        etc::write(&folder, &self.path, &files, mappings)?;
        if wanted.pasta || !wanted.networks.is_empty() {
            self.write(&folder, crate::network::wanted::FILE, &wanted)?;
        }
        self.let_pass(mappings)?;
        let volumes = VolumeMounts::make(self.engine, request, image, &self.path, &folder)?;
        let cgroup = self.cgroup(request)?;
        let private_uts = walls.options.uts == UtsMode::Private;
        let parts = Parts {
            arguments: payload.arguments(),
            environment: payload.environment(&hostname, request.terminal),
            cwd: &payload.cwd,
            identity: &identity,
            terminal: request.terminal,
            hostname: if private_uts { &hostname } else { "" },
            domainname: request.domainname.as_deref().unwrap_or_default(),
            annotations: &request.annotations,
            cgroup: &cgroup,
            init: self.init(request)?,
            binds: &request.binds,
            volumes: volumes.mounts(&self.place()),
            image_binds: &image.binds,
            mappings,
            nodes,
            own_files: etc::mounted_from(&self.etc_folder(&walls.options.network)),
        };
        let spec = spec::build(&parts, &walls.posture, walls.resolved())?;
        let (name, digest) = (image.reference.familiar(), image.id.as_ref().map(ToString::to_string));
        let joined = &walls.joined;
        let runtime = self.engine.runtime();
        self.engine
            .judge(&spec, &Subjected { id: &self.id, image: &name, image_id: digest.as_deref(), joined, runtime })?;
        self.write(&folder, CONFIG, &spec)?;
        let mut record = self.record(request, image, payload, &walls, &parts, &hostname);
        record.mounts.extend(volumes.mount_points());
        record.volumes = volumes.uses();
        Ok((record, volumes))
    }

    /// Lets the root of a user namespace pass through the folders above its root file system, which runtimes other than stake open
    /// as that user; it can list and read nothing in them.
    fn let_pass(&self, mappings: Mappings<'_>) -> Result<(), FileError> {
        let root = mappings.root().filter(|_root| self.engine.runtime_is_foreign());
        let Some((_, group)) = root else { return Ok(()) };
        for path in [&self.engine.places().data, &self.engine.containers(), &self.path] {
            let group = Some(Gid::from_raw(group));
            let changed = rustix::fs::chownat(CWD, path, None, group, AtFlags::SYMLINK_NOFOLLOW)
                .and_then(|()| rustix::fs::chmod(path, Mode::RWXU | Mode::XGRP));
            changed.map_err(FileError::at("let the container's root pass through", path))?;
        }
        Ok(())
    }

    /// The name in the container: as it was asked for, the host's where its network or name is shared, the other container's where
    /// that one's network is, otherwise the short id.
    fn hostname(&self, request: &Request, walls: &Walls) -> Result<String, CreateError> {
        if let Some(hostname) = &request.hostname {
            return Ok(hostname.clone());
        }
        match &walls.options.network {
            NetworkMode::Container(_) => {
                let joined = walls.joined.iter().find(|joined| joined.kind == stockade_spec::NamespaceType::Network);
                let other = joined.map(|joined| self.engine.view(&joined.container)).transpose();
                let other = other.map_err(CreateError::Joined)?;
                Ok(other.map(|view| view.record.config.hostname).unwrap_or_default())
            }
            NetworkMode::Host => Ok(host_name()),
            _ if walls.options.uts == UtsMode::Host => Ok(host_name()),
            _ => Ok(self.id.short().to_owned()),
        }
    }

    /// Where the container will be.
    fn place(&self) -> PathBuf {
        self.engine.containers().join(self.id.as_str())
    }

    /// Whose files below `/etc` the container sees, in the place that they will have.
    fn etc_folder(&self, network: &NetworkMode) -> PathBuf {
        let owner = match network {
            NetworkMode::Container(id) => id.as_str(),
            _ => self.id.as_str(),
        };
        self.engine.containers().join(owner)
    }

    fn init(&self, request: &Request) -> Result<Option<PathBuf>, CreateError> {
        let path = self.engine.program("stockade-init");
        match request.init {
            false => Ok(None),
            true if path.is_file() => Ok(Some(path)),
            true => Err(CreateError::Init(path)),
        }
    }

    /// The container's control group, in the words of its configuration.
    fn cgroup(&self, request: &Request) -> Result<String, CreateError> {
        let driver = self.engine.places().cgroups;
        let rootless = crate::rootless::is_here().map_err(MachineError::user_namespace)?;
        match (driver, &request.cgroup_parent) {
            (CgroupDriver::Systemd, _) if rootless => return Err(CreateError::UsersSystemd),
            (CgroupDriver::Cgroupfs, None) if rootless => return Ok(cgroup::users_path(&self.id)),
            _ => {}
        }
        Ok(cgroup::path(driver, request.cgroup_parent.as_deref(), &self.id)?)
    }

    fn record(
        &self,
        request: &Request,
        image: &Image,
        payload: &Payload,
        walls: &Walls,
        parts: &Parts<'_>,
        hostname: &str,
    ) -> Record {
        Record {
            version: VERSION,
            id: self.id.clone(),
            name: self.id.clone().into(),
            created: now(),
            image: ImageRecord {
                reference: image.reference.familiar(),
                id: image.id.as_ref().map(ToString::to_string),
                lowers: image.lowers.clone(),
            },
            command: payload.arguments(),
            host_config: crate::describe::host_config(self.engine, request, walls),
            config: crate::describe::config(request, image, payload, parts, hostname),
            mounts: request.binds.iter().map(crate::request::Bind::mount_point).collect(),
            volumes: Vec::new(),
            confinement: crate::describe::confinement(walls, parts.cgroup),
            apparmor: walls.profile.clone(),
            joined: walls.joined.clone(),
            uid_mappings: walls.posture.uid_mappings.clone(),
            gid_mappings: walls.posture.gid_mappings.clone(),
        }
    }

    fn write<T: serde::Serialize>(&self, folder: &OwnedFd, name: &str, value: &T) -> Result<(), FileError> {
        let text = serde_json::to_vec(value).map_err(std::io::Error::from);
        let written = text.and_then(|text| files::write_new(folder.as_fd(), name, &text, 0o600));
        written.map_err(FileError::at("write", self.path.join(name)))
    }

    /// Gives the container its name and puts it where containers are: from then on it is there.
    fn publish(&self, request: &Request, mut record: Record) -> Result<Created, CreateError> {
        binds::make_sources(&request.binds)?;
        record.name = match &request.name {
            None => self.engine.make_up_name(&self.id)?,
            Some(name) => match self.engine.take_name(name, &self.id) {
                Ok(()) => name.clone(),
                Err(Taken::By(id)) => return Err(CreateError::NameInUse { name: name.clone(), id }),
                Err(Taken::File(error)) => return Err(error.into()),
            },
        };
        let finished = self.finish(&record);
        if finished.is_err() {
            self.engine.drop_name(&record.name, &self.id)?;
        }
        finished?;
        self.engine.happened_to(&record, &ContainerAction::Create);
        Ok(Created { id: self.id.clone(), name: record.name, notices: record.confinement.notices })
    }

    fn finish(&self, record: &Record) -> Result<(), FileError> {
        let folder = files::open_folder(&self.path).map_err(FileError::at("open", &self.path))?;
        self.write(&folder, RECORD, record)?;
        rustix::fs::fsync(&folder).map_err(FileError::at("synchronise", &self.path))?;
        let place = self.place();
        rustix::fs::renameat(CWD, &self.path, CWD, &place).map_err(FileError::at("rename the folder to", place))
    }
}

/// The host's name.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
