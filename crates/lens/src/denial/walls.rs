//! What was asked for, as far as it can deny something.

use std::path::{Path, PathBuf};

use stockade_capabilities::{CapSet, Capability};
use stockade_namespaces::{IdMap, IdMaps};
use stockade_seccomp::model::Filter;
use stockade_seccomp::{Profile, ProfileError, Target};
use stockade_spec::{NamespaceType, Rlimit, Spec};

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mounted {
    pub(crate) point: PathBuf,
    /// The path of the host that is bound there.
    pub(crate) source: Option<PathBuf>,
    pub(crate) read_only: bool,
}

/// The walls of one container.
#[derive(Clone, Debug)]
pub(crate) struct Walls {
    pub(crate) filter: Option<Filter>,
    /// The profile as `--security-opt seccomp=` has it, where the engine knows it.
    pub(crate) profile: Option<String>,
    pub(crate) bounding: CapSet,
    pub(crate) own_users: bool,
    pub(crate) users: IdMap,
    pub(crate) groups: IdMap,
    pub(crate) masked: Vec<PathBuf>,
    pub(crate) readonly: Vec<PathBuf>,
    pub(crate) root_read_only: bool,
    pub(crate) mounts: Vec<Mounted>,
    pub(crate) no_new_privileges: bool,
    pub(crate) pids: Option<i64>,
    pub(crate) memory: Option<i64>,
    pub(crate) networkless: bool,
    pub(crate) rlimits: Vec<Rlimit>,
    /// Whether its first process is its root.
    pub(crate) is_root: bool,
}

impl Walls {
    /// The walls that `spec` asks for, with the ids that the container has, and whether it has a network.
    ///
    /// # Errors
    /// [`ProfileError`] for a filter that this program cannot read.
    pub(crate) fn of(
        spec: &Spec,
        profile: Option<String>,
        maps: IdMaps,
        networkless: bool,
    ) -> Result<Self, ProfileError> {
        let linux = spec.linux.clone().unwrap_or_default();
        let process = spec.process.clone().unwrap_or_default();
        let filter = linux.seccomp.as_ref().map(|section| {
            Profile::parse_oci(section.get().as_bytes()).and_then(|profile| profile.resolve(&Target::here(&[])))
        });
        let bounding = process.capabilities.unwrap_or_default().bounding;
        let known = bounding.iter().filter_map(|name| name.parse::<Capability>().ok());
        let memory =
            linux.resources.as_ref().and_then(|resources| resources.memory.as_ref()).and_then(|memory| memory.limit);
        let pids = linux.resources.as_ref().and_then(|resources| resources.pids.as_ref()).and_then(|pids| pids.limit);
        Ok(Self {
            filter: filter.transpose()?,
            profile,
            bounding: known.collect(),
            own_users: linux.namespaces.iter().any(|namespace| namespace.kind == NamespaceType::User),
            users: maps.users,
            groups: maps.groups,
            masked: linux.masked_paths,
            readonly: linux.readonly_paths,
            root_read_only: spec.root.as_ref().is_some_and(|root| root.readonly),
            mounts: spec.mounts.iter().map(mounted).collect(),
            no_new_privileges: process.no_new_privileges,
            pids: pids.filter(|most| *most > 0),
            memory: memory.filter(|most| *most > 0),
            networkless,
            rlimits: process.rlimits,
            is_root: process.user.uid == 0,
        })
    }

    /// The limit of this name, if it was asked for.
    pub(crate) fn rlimit(&self, kind: &str) -> Option<&Rlimit> {
        self.rlimits.iter().find(|limit| limit.kind == kind)
    }
}

fn mounted(mount: &stockade_spec::Mount) -> Mounted {
    let has = |names: &[&str]| mount.options.iter().any(|option| names.contains(&option.as_str()));
    let bound = mount.kind.as_deref() == Some("bind") || has(&["bind", "rbind"]);
    Mounted {
        point: Path::new("/").join(&mount.destination),
        source: mount.source.clone().filter(|_| bound),
        read_only: has(&["ro", "rro"]),
    }
}
