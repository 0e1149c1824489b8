//! What the runtime opens, loads and compiles on the host before the container's process exists.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use serde_json::value::RawValue;
use stockade_apparmor::{ProfileName, Selection};
use stockade_capabilities::Capability;
use stockade_cgroups::Group;
use stockade_kernel::mount::Propagation;
use stockade_kernel::namespace::{self, Namespaces};
use stockade_namespaces::{HolderError, IdMaps};
use stockade_spec::{ContainerStatus, State};

use super::console::Console;
use super::filter::{Filter, FilterError};
use super::verify::ExpectedNamespaces;
use crate::plan::model::{MountPlan, MountSource, ProcessPlan};
use crate::plan::{Plan, PlanError, mount_maps};
use crate::rootfs::devices::NodeSource;
use crate::rootfs::{self, RootfsError, Way};

/// What can not be had on this machine. Nothing was made, except an AppArmor profile that was loaded.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A namespace's path leads to none of that kind.
    #[error("{} is no namespace of the kind {kind:?}", path.display())]
    Namespace {
        /// The kind.
        kind: Namespaces,
        /// The path of the configuration.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel does not tell which namespaces were opened.
    #[error("cannot read the namespaces that the container joins")]
    JoinedNamespaces(#[source] io::Error),
    /// The source of a mount.
    #[error(transparent)]
    Mount(#[from] RootfsError),
    /// The user namespace of an id-mapped mount.
    #[error("cannot prepare the id map of the mount on {}", destination.display())]
    IdMap {
        /// Where it is mounted.
        destination: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The seccomp filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// What this kernel's AppArmor is could not be found out.
    #[error("cannot find out about AppArmor")]
    AppArmorSupport(#[source] io::Error),
    /// A name that is no profile's.
    #[error("process.apparmorProfile is wrong")]
    AppArmorName(#[source] stockade_apparmor::InvalidName),
    /// The AppArmor profile can not be had.
    #[error(transparent)]
    AppArmorPlan(#[from] stockade_apparmor::PlanError),
    /// The AppArmor profile can not be loaded.
    #[error(transparent)]
    AppArmorLoad(#[from] stockade_apparmor::LoadError),
    /// A terminal without anyone to take its outer side.
    #[error("process.terminal is set, and no console socket takes the terminal: give --console-socket")]
    NoConsole,
    /// A console socket without a terminal.
    #[error("--console-socket is given, and process.terminal is not set")]
    NoTerminal,
}

/// What a payload needs besides the configuration.
#[derive(Debug)]
pub struct Sharing<'a> {
    /// Where the terminal goes.
    pub console: Option<Console>,
    /// How many descriptors after standard error the payload inherits.
    pub preserve_fds: u32,
    /// The highest capability of the kernel.
    pub last_capability: Capability,
    /// The runtime's own folder: compiled filters and the text of the loaded AppArmor profile are kept in it.
    pub state: &'a Path,
}

/// A payload with all that confines it, ready to be executed in a container.
#[derive(Debug)]
pub struct Payload {
    /// The process.
    pub process: ProcessPlan,
    pub(super) filter: Option<Filter>,
    pub(super) apparmor: Option<ProfileName>,
    console: Option<Console>,
    pub(super) preserve_fds: u32,
    pub(super) last_capability: Capability,
}

impl Payload {
    /// Compiles or finds the filter of `seccomp`, and makes sure that the AppArmor profile is loaded.
    ///
    /// # Errors
    /// [`PrepareError`].
    pub fn prepare(
        process: ProcessPlan,
        seccomp: Option<&RawValue>,
        sharing: Sharing<'_>,
    ) -> Result<Self, PrepareError> {
        match (&process.terminal, &sharing.console) {
            (Some(_), None) => return Err(PrepareError::NoConsole),
            (None, Some(_)) => return Err(PrepareError::NoTerminal),
            _ => {}
        }
        let filter = seccomp.map(|section| Filter::prepare(section, &process, sharing.state)).transpose()?;
        Ok(Self {
            filter,
            apparmor: apparmor(process.apparmor.as_deref(), sharing.state)?,
            process,
            console: sharing.console,
            preserve_fds: sharing.preserve_fds,
            last_capability: sharing.last_capability,
        })
    }

    /// The terminal's first size and who gets its outer side, if there is to be one.
    pub(super) fn terminal(&self) -> Option<(Option<(u16, u16)>, &Console)> {
        let (size, console) = self.process.terminal.zip(self.console.as_ref())?;
        Some((size.or(console.size()), console))
    }
}

/// The profile to enter at exec.
fn apparmor(name: Option<&str>, state: &Path) -> Result<Option<ProfileName>, PrepareError> {
    let Some(name) = name.filter(|name| *name != "unconfined") else {
        return Ok(None);
    };
    let support = stockade_apparmor::Support::probe().map_err(PrepareError::AppArmorSupport)?;
    let selection = Selection::Name(name.parse().map_err(PrepareError::AppArmorName)?);
    match stockade_apparmor::plan(&selection, &support, false)? {
        stockade_apparmor::Plan::Unconfined(_) => Ok(None),
        stockade_apparmor::Plan::Profile { load } => Ok(Some(stockade_apparmor::load::ensure(&load, &support, state)?)),
    }
}

/// A container whose process can be made.
#[derive(Debug)]
pub struct Prepared {
    pub(super) plan: Plan,
    pub(super) payload: Option<Payload>,
    pub(super) group: Group,
    pub(super) joined: Vec<(Namespaces, OwnedFd)>,
    pub(super) root: Option<OwnedFd>,
    pub(super) trees: Vec<Option<OwnedFd>>,
    pub(super) expected: ExpectedNamespaces,
    pub(super) state: State,
    pub(super) keyring: Keyring,
    pub(super) way: Way,
}

/// Which session keyring a container's process has (`session-keyring(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyring {
    /// One of the container's own.
    New,
    /// The caller's.
    Callers,
}

impl Prepared {
    /// Opens the namespaces to join and the sources of mounts that only the host's root can open. `group` is the
    /// container's, made; `own` are the runtime's namespaces; `state` tells hooks of it; the root is entered by `way`.
    ///
    /// # Errors
    /// [`PrepareError`].
    pub fn prepare(
        plan: Plan,
        payload: Option<Payload>,
        group: Group,
        own: Vec<(Namespaces, u64)>,
        state: State,
        keyring: Keyring,
        way: Way,
    ) -> Result<Self, PrepareError> {
        let joined = plan.namespaces.joined().into_iter().map(|(kind, path)| open_namespace(kind, path));
        let joined = joined.collect::<Result<Vec<_>, _>>()?;
        let inode = |(kind, fd): &(Namespaces, OwnedFd)| Ok((*kind, rustix::fs::fstat(fd)?.st_ino));
        let inodes = joined.iter().map(inode).collect::<Result<_, rustix::io::Errno>>();
        let expected = ExpectedNamespaces {
            own,
            new: plan.namespaces.new_ones(),
            joined: inodes.map_err(|errno| PrepareError::JoinedNamespaces(errno.into()))?,
        };
        let other_user = expected.is_in_other_user_namespace();
        let root = match other_user {
            true => rootfs::detached_root(&plan.rootfs.path, plan.rootfs.tie())?,
            false => None,
        };
        let mut trees = Trees { own: plan.namespaces.maps(), other_user, made: Vec::new() };
        let trees = plan.rootfs.mounts.iter().map(|mount| trees.tree(mount)).collect::<Result<_, _>>()?;
        let state = State { status: ContainerStatus::Creating, ..state };
        Ok(Self { plan, payload, group, joined, root, trees, expected, state, keyring, way })
    }

    /// Whether the container's ids are not the host's.
    pub(super) fn in_other_user_namespace(&self) -> bool {
        self.expected.is_in_other_user_namespace()
    }

    /// How device nodes come into the container.
    pub(super) fn node_source(&self) -> NodeSource {
        // mknod(2) is for the host's root only.
        let may_not = self.plan.rootless || self.in_other_user_namespace();
        if may_not { NodeSource::BindFromHost } else { NodeSource::Make }
    }

    /// Whether the container's process has to wait for something that only the runtime can do or know.
    pub(super) fn has_part_outside(&self) -> bool {
        let hooks = &self.plan.hooks;
        let lists = [&hooks.prestart, &hooks.create_runtime, &hooks.create_container, &hooks.start_container];
        let listens = |payload: &Payload| payload.filter.as_ref().is_some_and(Filter::has_agent);
        lists.iter().any(|list| !list.is_empty())
            || !self.plan.net_devices.is_empty()
            || self.payload.as_ref().is_some_and(listens)
    }
}

/// Opens the namespace at `path`, which must be of the kind `kind`.
pub(super) fn open_namespace(kind: Namespaces, path: &Path) -> Result<(Namespaces, OwnedFd), PrepareError> {
    let open = || {
        // Not to wait for a FIFO: the path may be any file.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        let found = namespace::kind(&fd)?;
        if found == kind { Ok((kind, fd)) } else { Err(io::Error::other(format!("it is of the kind {found:?}"))) }
    };
    open().map_err(|source| PrepareError::Namespace { kind, path: path.to_owned(), source })
}

/// Makes the mounts that only the host's root can make, and the user namespaces that they show ids by, each once.
struct Trees<'a> {
    own: Option<&'a IdMaps>,
    other_user: bool,
    made: Vec<(IdMaps, OwnedFd)>,
}

impl Trees<'_> {
    /// The mount as a detached tree, if only the host's root can make it: a bind mount that shows other ids, one that is a peer of
    /// the host's mount, for in the container's mount namespace it would be a slave, or any that goes into another user namespace,
    /// whose root may not be let in to where the source is. There none is a peer: what is mounted there must not come out.
    fn tree(&mut self, mount: &MountPlan) -> Result<Option<OwnedFd>, PrepareError> {
        let shared = mount.tie() == Propagation::Shared;
        let tie = if self.other_user && shared { Propagation::Slave } else { mount.tie() };
        let needs_host = self.other_user || mount.id_map.is_some() || tie == Propagation::Shared;
        if !matches!(mount.source, MountSource::Bind { .. }) || !needs_host {
            return Ok(None);
        }
        let fail = |source| PrepareError::IdMap { destination: mount.destination.clone(), source };
        let namespace = match &mount.id_map {
            None => None,
            Some(map) => {
                let maps = match (&map.maps, self.own) {
                    (Some((uids, gids)), _) => mount_maps(uids, gids).map_err(|error: PlanError| fail(error.into()))?,
                    (None, Some(own)) => own.clone(),
                    (None, None) => return Err(fail("the container has no maps of its own".into())),
                };
                Some(self.namespace(maps).map_err(|error| fail(error.into()))?)
            }
        };
        Ok(Some(rootfs::detached_bind(mount, tie, namespace)?))
    }

    /// The user namespace with these maps.
    fn namespace(&mut self, maps: IdMaps) -> Result<BorrowedFd<'_>, HolderError> {
        let index = match self.made.iter().position(|(others, _)| *others == maps) {
            Some(index) => index,
            None => {
                let namespace = stockade_namespaces::user_namespace_with(&maps)?;
                self.made.push((maps, namespace));
                self.made.len() - 1
            }
        };
        Ok(self.made[index].1.as_fd())
    }
}
