//! The posture of a container, resolved: its filter read, its profile loaded, the containers found that it shares walls with.

use serde_json::value::RawValue;
use stockade_policy::apparmor::{Load, LoadError, Plan, Support, load};
use stockade_policy::namespaces::{IpcMode, Mode, NetworkMode, UserMode};
use stockade_policy::{Kernel, Machine, Notice, Options, PolicyError, Posture, Resolved, SeccompError};
use stockade_spec::NamespaceType;

use crate::engine::FindError;
use crate::machine::{self, MachineError};
use crate::record::{Joined, Profile};
use crate::request::Bind;
use crate::userns::{self, UsersError};
use crate::{ContainerId, Engine};

/// Why a container cannot be confined as it was asked for. Nothing was changed, but that an AppArmor profile may be loaded.
#[derive(Debug, thiserror::Error)]
pub enum WallsError {
    /// A container to share with does not exist.
    #[error("cannot share the {} namespace of another container", kind_word(*kind))]
    Joined {
        /// Which namespace.
        kind: NamespaceType,
        /// Why not.
        source: FindError,
    },
    /// The user namespace.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// The machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The options.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The filter.
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
    /// The profile.
    #[error("cannot load the AppArmor profile")]
    AppArmor(#[from] LoadError),
}

/// The word for a kind of namespaces, as the kernel has it.
pub(crate) fn kind_word(kind: NamespaceType) -> &'static str {
    match kind {
        NamespaceType::Pid => "pid",
        NamespaceType::Network => "net",
        NamespaceType::Mount => "mnt",
        NamespaceType::Ipc => "ipc",
        NamespaceType::Uts => "uts",
        NamespaceType::User => "user",
        NamespaceType::Cgroup => "cgroup",
        NamespaceType::Time => "time",
    }
}

/// A posture and what it became.
#[derive(Debug)]
pub(crate) struct Walls {
    pub(crate) options: Options,
    pub(crate) posture: Posture,
    pub(crate) filter: Option<Box<RawValue>>,
    pub(crate) profile: Profile,
    /// Its name in the kernel.
    pub(crate) profile_name: Option<String>,
    pub(crate) joined: Vec<Joined>,
}

/// The options with the user namespace decided, and other containers by their ids.
pub(crate) fn options(engine: &Engine, asked: &Options, binds: &[Bind]) -> Result<Options, WallsError> {
    let mut options = asked.clone();
    // By id from here on: a name may be another container's tomorrow.
    let id = |kind, text: &mut String| -> Result<(), WallsError> {
        *text = engine.find(text).map_err(|source| WallsError::Joined { kind, source })?.into();
        Ok(())
    };
    if let Mode::Container(container) = &mut options.pid.0 {
        id(NamespaceType::Pid, container)?;
    }
    if let IpcMode::Container(container) = &mut options.ipc {
        id(NamespaceType::Ipc, container)?;
    }
    if let NetworkMode::Container(container) = &mut options.network {
        id(NamespaceType::Network, container)?;
    }
    if let UserMode::Container(container) = &mut options.user {
        id(NamespaceType::User, container)?;
    }
    userns::choose(engine, &mut options, binds)?;
    Ok(options)
}

impl Walls {
    /// Plans the posture for the user that `options` has, and gets what it needs.
    pub(crate) fn plan(engine: &Engine, options: Options) -> Result<Self, WallsError> {
        let mut machine: Machine = machine::gather(&options)?;
        let timeless = machine.time_namespace && !engine.runtime_makes_time_namespaces();
        machine.time_namespace &= !timeless;
        let mut posture = Posture::plan(&options, &machine, &machine::device)?;
        if timeless {
            let text = format!("no time namespace: {} does not say that it makes them", engine.runtime().display());
            posture.notices.push(Notice::Degraded(text));
        }
        let filter = posture.seccomp.resolve(posture.bounding, Kernel::running())?;
        let (profile, profile_name) = match &posture.apparmor {
            Plan::Unconfined(_) => (Profile::Unconfined, None),
            Plan::Profile { load } => {
                let name = load::ensure(load, &machine.apparmor, &engine.places().exec)?.as_str().to_owned();
                (remembered(load), Some(name))
            }
        };
        let joined = posture.joined.iter().map(|(kind, id)| joined(*kind, id)).collect::<Result<_, _>>()?;
        Ok(Self { options, posture, filter, profile, profile_name, joined })
    }

    /// For [`Posture::fill`].
    pub(crate) fn resolved(&self) -> Resolved {
        Resolved { seccomp: self.filter.clone(), apparmor_profile: self.profile_name.clone() }
    }

    /// What the user should see although it is no error.
    pub(crate) fn notices(&self) -> Vec<String> {
        let shares_ipc = matches!(self.options.ipc, IpcMode::Container(_));
        let shm = shares_ipc.then(|| {
            "degraded: /dev/shm is not shared with the other container, only System V IPC and message queues are"
                .to_owned()
        });
        self.posture.notices.iter().map(ToString::to_string).chain(shm).collect()
    }

    /// The filter's origin, in a word.
    pub(crate) fn seccomp_word(&self) -> String {
        self.posture.seccomp.to_string()
    }
}

fn joined(kind: NamespaceType, id: &str) -> Result<Joined, WallsError> {
    let missing = |_wrong| WallsError::Joined { kind, source: FindError::Missing(id.to_owned()) };
    Ok(Joined { kind, container: ContainerId::try_from(id.to_owned()).map_err(missing)? })
}

fn remembered(load: &Load) -> Profile {
    match load {
        Load::Own => Profile::Own,
        Load::Loaded(name) => Profile::Loaded(name.as_str().to_owned()),
        Load::File(path) => Profile::File(path.clone()),
    }
}

/// Loads the profile of a container that was made earlier again, if it is gone.
pub(crate) fn reload(engine: &Engine, profile: &Profile) -> Result<(), WallsError> {
    let load = match profile {
        // What is not in the kernel is refused by the runtime, which asks it.
        Profile::Unconfined | Profile::Loaded(_) => return Ok(()),
        Profile::Own => Load::Own,
        Profile::File(path) => Load::File(path.clone()),
    };
    let support = Support::probe().map_err(|source| MachineError::Kernel { what: "AppArmor", source })?;
    load::ensure(&load, &support, &engine.places().exec)?;
    Ok(())
}
