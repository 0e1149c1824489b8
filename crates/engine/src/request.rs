//! What `create` and `run` are asked for: the command line's flags, parsed, and nothing decided yet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use stockade_images::{HealthCheck, Platform, Reference};
use stockade_monitor::restart::RestartPolicy;
use stockade_policy::Options;
use stockade_storage::volumes::VolumeName;

use crate::session::Shown;
use crate::{ContainerName, Logging};

/// A container to make.
#[derive(Clone, Debug)]
pub struct Request {
    /// The image.
    pub image: Reference,
    /// `--platform`: what an image of the store must be for.
    pub platform: Option<Platform>,
    /// The command with its arguments; empty means the image's own.
    pub command: Vec<String>,
    /// `--entrypoint`: `Some` of an empty list takes the image's away.
    pub entrypoint: Option<Vec<String>>,
    /// `--name`; otherwise one is made up.
    pub name: Option<ContainerName>,
    /// `--cidfile`, which the caller writes; `inspect` tells it.
    pub id_file: Option<String>,
    /// `--env`, in their order, `NAME=value` each; a name alone was looked up by the command line or left out.
    pub env: Vec<String>,
    /// `--workdir`, absolute.
    pub working_dir: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--group-add`.
    pub groups: Vec<String>,
    /// `--hostname`.
    pub hostname: Option<String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--volume` and `--mount type=bind`, in their order.
    pub binds: Vec<Bind>,
    /// `--volume` and `--mount type=volume`, in their order.
    pub volumes: Vec<VolumeMount>,
    /// `--tty`.
    pub terminal: bool,
    /// `--interactive`.
    pub interactive: bool,
    /// `--detach`: nobody is attached when the container starts.
    pub detached: bool,
    /// `--attach`: which outputs the caller gets who starts it.
    pub shown: Shown,
    /// `--rm`.
    pub remove: bool,
    /// `--restart`.
    pub restart: RestartPolicy,
    /// `--health-cmd` and its like; `NONE` is `--no-healthcheck`.
    pub health: Option<HealthCheck>,
    /// `--init`: a first process of ours that reaps zombies and forwards signals.
    pub init: bool,
    /// `--cgroup-parent`; otherwise `/stockade`.
    pub cgroup_parent: Option<String>,
    /// `--log-driver` and `--log-opt`.
    pub logging: Logging,
    /// `--stop-signal` and `--stop-timeout`.
    pub ending: Ending,
    /// `--domainname`, of NIS.
    pub domainname: Option<String>,
    /// `--annotation`, for the runtime.
    pub annotations: BTreeMap<String, String>,
    /// `--expose`, as `80/tcp` each.
    pub exposed: BTreeSet<String>,
    /// `--volumes-from`, in their order.
    pub volumes_from: Vec<VolumesFrom>,
    /// `--network` and what belongs to it.
    pub network: crate::network::ask::NetworkRequest,
    /// What bears on security. `uid`, `hostname` and the id mappings are filled in by the engine.
    pub options: Options,
}

impl Request {
    /// A container of `image` as it is without any flag.
    #[must_use]
    pub fn new(image: Reference) -> Self {
        Self {
            image,
            platform: None,
            command: Vec::new(),
            entrypoint: None,
            name: None,
            id_file: None,
            env: Vec::new(),
            working_dir: None,
            user: None,
            groups: Vec::new(),
            hostname: None,
            labels: BTreeMap::new(),
            binds: Vec::new(),
            volumes: Vec::new(),
            terminal: false,
            interactive: false,
            detached: false,
            shown: Shown::Both,
            remove: false,
            restart: RestartPolicy::No,
            health: None,
            init: false,
            cgroup_parent: None,
            logging: Logging::default(),
            ending: Ending::default(),
            domainname: None,
            annotations: BTreeMap::new(),
            exposed: BTreeSet::new(),
            volumes_from: Vec::new(),
            network: crate::network::ask::NetworkRequest::default(),
            options: Options::default(),
        }
    }
}

/// How `stop` ends the container when it is not told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// The signal's name or number; otherwise the image's.
    pub signal: Option<String>,
    /// Seconds until it is killed; negative means never.
    pub timeout: Option<i64>,
}

/// Another container whose volumes and folders of the host this one is to have, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumesFrom {
    /// Its name, its id, or the beginning of its id.
    pub container: String,
    /// What this container may do at most; what the other one can only read, this one can only read.
    pub access: Access,
}

/// A folder or file of the host in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// On the host, absolute.
    pub source: PathBuf,
    /// In the container, absolute.
    pub target: PathBuf,
    /// Whether the container may write it. Read-only means recursively so (`rro`), as in Docker 25 and later.
    pub access: Access,
    /// Whether a missing source is made as an empty folder (`-v`) or is an error (`--mount`).
    pub missing: Missing,
    /// How mounts made on one side appear on the other.
    pub propagation: Propagation,
    /// Whether mounts below the source come along (`rbind`).
    pub recursive: bool,
    /// Which flag asks for it.
    pub given: Given,
}

/// A volume in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeMount {
    /// Which one; it is made if there is none. Without a name it is one of the container's own.
    pub name: Option<VolumeName>,
    /// In the container, absolute.
    pub target: PathBuf,
    /// Whether the container may write it.
    pub access: Access,
    /// Whether an empty volume gets what the image has there.
    pub copy: Copying,
    /// What of the volume is mounted (`volume-subpath`), relative; all of it otherwise.
    pub subpath: Option<PathBuf>,
    /// Labels of a volume that is made.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver `local` for a volume that is made.
    pub options: BTreeMap<String, String>,
    /// Which flag asks for it.
    pub given: Given,
}

/// Whether an empty volume gets what the image has where it is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copying {
    /// It does, and the owner and mode of the folder there.
    Content,
    /// It stays as it is (`nocopy`).
    Nothing,
}

/// Which flag asks for a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// `--volume`.
    Volume,
    /// `--mount`.
    Mount,
    /// `--volumes-from`.
    VolumesFrom,
}

/// What the container may do with a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and write.
    ReadWrite,
    /// Read only.
    ReadOnly,
}

/// What happens when a bind's source is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// An empty folder is made, as root's with mode 0755.
    MakeFolder,
    /// An error.
    Refuse,
}

/// Propagation of mounts (`mount_namespaces(7)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// Neither way.
    #[default]
    RecursivePrivate,
    /// Neither way, for the mount itself.
    Private,
    /// From the host into the container.
    RecursiveSlave,
    /// The same for the mount itself.
    Slave,
    /// Both ways.
    RecursiveShared,
    /// Both ways for the mount itself.
    Shared,
}
