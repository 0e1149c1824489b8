//! Which user namespace a container has: `--userns`, and what holds without it.

use std::io;
use std::path::{Path, PathBuf};

use stockade_kernel::procfs::{Procfs, Subject};
use stockade_policy::namespaces::{AutoIds, IpcMode, Mode, NetworkMode, UserMode};
use stockade_policy::users::HostUsers;
use stockade_policy::{Notice, Options};
use stockade_spec::{IdMapping, NamespaceType};

use crate::container::ContainerError;
use crate::files::FileError;
use crate::identity::Identity;
use crate::idmap::{Below, Mappings, can_show_others, host_id};
use crate::request::Bind;
use crate::subids::{FEWEST, Ids, Kind, RangeError, shared};
use crate::{ContainerId, Engine};

/// The user namespace of a container that asks for none, and for nothing of the host's.
const DEFAULT: UserMode = UserMode::Auto(AutoIds { size: None, uids: Vec::new(), gids: Vec::new() });

/// Why a container cannot have the user namespace that it is to have. Nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// Its ids.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// A container whose namespaces are joined.
    #[error("cannot look at the user namespace of another container")]
    Partner(#[from] ContainerError),
    /// Namespaces of another container, in which a container with other user ids would have no rights.
    #[error(
        "{user} cannot be had with the {} namespace of container {}, which goes with its user namespace: leave {user} out, \
         or share the host's with --userns host",
        crate::walls::kind_word(*kind),
        partner.short()
    )]
    Other {
        /// The flag.
        user: &'static str,
        /// Which namespace.
        kind: NamespaceType,
        /// Whose.
        partner: ContainerId,
    },
    /// Namespaces of two containers that have different user ids.
    #[error(
        "containers {} and {} have different user namespaces, and a container can only be in one: make all three with \
         --userns host", .0.short(), .1.short()
    )]
    Differ(ContainerId, ContainerId),
    /// The runtime.
    #[error(
        "--userns auto needs stake, which mounts the container's root before it enters the user namespace: {} does not; use \
         --userns private or --userns host",
        .0.display()
    )]
    Runtime(PathBuf),
    /// An ordinary user's ids.
    #[error(
        "{0} needs the host's root: an ordinary user's containers are all in that user's own namespace, and files cannot be shown with \
         other ids in it; leave it out, or use --userns keep-id"
    )]
    Rootless(&'static str),
    /// A file system.
    #[error(
        "{} cannot be shown with the ids of a user namespace: its file system, or one that is mounted below it, has no \
         id-mapped mounts; share the host's user ids with --userns host", .0.display()
    )]
    IdMap(PathBuf),
    /// Whether it can, could not be found out.
    #[error("cannot find out whether {} can be shown with other ids", path.display())]
    Probe {
        /// What.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The maps of this process.
    #[error("cannot read which ids this process has")]
    Own(#[source] io::Error),
    /// A file of the engine's.
    #[error(transparent)]
    File(#[from] FileError),
    /// The process's ids, for an ordinary user.
    #[error(
        "{what} {id} is not among the ids that this user can give to containers: ranges in /etc/subuid and /etc/subgid give more (sudo \
         usermod --add-subuids FIRST-LAST --add-subgids FIRST-LAST NAME)"
    )]
    NotOwned {
        /// `user` or `group`.
        what: &'static str,
        /// Its id.
        id: u32,
    },
    /// The process's ids.
    #[error(
        "{what} {id} is not among the ids that the container has: give it more with --userns auto:size=COUNT, or share the \
         host's with --userns host"
    )]
    NotMapped {
        /// `user` or `group`.
        what: &'static str,
        /// Its id.
        id: u32,
    },
}

/// Decides: `options.user` is one of the modes afterwards, with its mappings, except that the ids of [`UserMode::Auto`] are yet to be
/// taken by [`take`]. What weakens the default is said among the options' notices. Needs one thread.
///
/// # Errors
/// See [`UsersError`]: what was asked for and cannot be had.
pub(crate) fn choose(engine: &Engine, options: &mut Options, binds: &[Bind]) -> Result<(), UsersError> {
    let partners = partners(options);
    let refuse = |user: &UserMode| match partners.first() {
        None => Ok(()),
        Some((kind, id)) => Err(UsersError::Other { user: user.flag(), kind: *kind, partner: id.clone() }),
    };
    if crate::rootless::is_here().map_err(UsersError::Own)? && partners.is_empty() {
        match &options.user {
            // Nothing of the host's is shared by it: all that is in the namespace is the user's.
            UserMode::Unset => options.user = UserMode::Host,
            user @ (UserMode::Auto(_) | UserMode::Private) => return Err(UsersError::Rootless(user.flag())),
            UserMode::Host | UserMode::Container(_) | UserMode::KeepId => {}
        }
    }
    match options.user.clone() {
        UserMode::Unset => by_default(engine, options, &partners, binds)?,
        UserMode::Host => {}
        UserMode::Container(id) => {
            let id = ContainerId::try_from(id).map_err(|_not_found_by_id| RangeError::Gone)?;
            share_with(engine, options, &[(NamespaceType::User, id)].into_iter().chain(partners).collect::<Vec<_>>())?;
        }
        user @ UserMode::Private => {
            refuse(&user)?;
            if options.uid_mappings.is_empty() && options.gid_mappings.is_empty() {
                options.uid_mappings = shared(Kind::Users)?;
                options.gid_mappings = shared(Kind::Groups)?;
            }
        }
        user @ UserMode::KeepId => {
            refuse(&user)?;
            options.uid_mappings = own_map("uid_map").map_err(UsersError::Own)?;
            options.gid_mappings = own_map("gid_map").map_err(UsersError::Own)?;
        }
        user @ UserMode::Auto(_) => {
            refuse(&user)?;
            if engine.runtime_is_foreign() {
                return Err(UsersError::Runtime(engine.runtime()));
            }
        }
    }
    if options.user.is_new() && options.user != UserMode::KeepId {
        return unshowable(engine, binds)?.map_or(Ok(()), |path| Err(UsersError::IdMap(path)));
    }
    Ok(())
}

/// What holds without `--userns`: the user namespace of the containers whose namespaces are joined; the host's where something of the
/// host's is asked for or the machine cannot do otherwise; else [`DEFAULT`].
fn by_default(
    engine: &Engine,
    options: &mut Options,
    partners: &[(NamespaceType, ContainerId)],
    binds: &[Bind],
) -> Result<(), UsersError> {
    if !partners.is_empty() {
        return share_with(engine, options, partners);
    }
    options.user = UserMode::Host;
    let shared = |why: String| format!("the container's user ids are the host's: {why}");
    let notice = match HostUsers::of(options) {
        // It says so itself.
        Some(HostUsers::Shared(_)) => return Ok(()),
        Some(HostUsers::Needed(flag)) => Notice::Shared(shared(format!("{flag} is of no use with others"))),
        None if engine.runtime_is_foreign() => {
            Notice::Degraded(shared(format!("{} is not stake", engine.runtime().display())))
        }
        None => match unshowable(engine, binds)? {
            Some(path) if path == engine.places().data => {
                Notice::Degraded(shared(format!("{} has no id-mapped mounts", path.display())))
            }
            Some(path) => Notice::Shared(shared(format!("{} has no id-mapped mounts", path.display()))),
            None => match binds.iter().find(|bind| is_beyond(&bind.source)) {
                Some(bind) => {
                    let why = format!("the owner of {} is not among {FEWEST} ids", bind.source.display());
                    Notice::Shared(shared(why))
                }
                None => {
                    options.user = DEFAULT;
                    return Ok(());
                }
            },
        },
    };
    options.security.notices.push(notice);
    Ok(())
}

/// The containers whose namespaces are joined, by id.
fn partners(options: &Options) -> Vec<(NamespaceType, ContainerId)> {
    let of_pid = if let Mode::Container(id) = &options.pid.0 { Some(id) } else { None };
    let of_ipc = if let IpcMode::Container(id) = &options.ipc { Some(id) } else { None };
    let of_network = if let NetworkMode::Container(id) = &options.network { Some(id) } else { None };
    [(NamespaceType::Pid, of_pid), (NamespaceType::Ipc, of_ipc), (NamespaceType::Network, of_network)]
        .into_iter()
        .filter_map(|(kind, id)| Some((kind, ContainerId::try_from(id?.clone()).ok()?)))
        .collect()
}

/// Puts the container into the user namespace of these, which must all be in the same one.
fn share_with(
    engine: &Engine,
    options: &mut Options,
    partners: &[(NamespaceType, ContainerId)],
) -> Result<(), UsersError> {
    let mut chosen: Option<(Option<ContainerId>, &ContainerId)> = None;
    for (_, partner) in partners {
        let record = engine.view(partner)?.record;
        let joined = record.joined.iter().find(|joined| joined.kind == NamespaceType::User);
        let owner = match joined {
            Some(joined) => Some(joined.container.clone()),
            None => (!record.uid_mappings.is_empty()).then(|| partner.clone()),
        };
        match &chosen {
            Some((other, first)) if *other != owner => {
                return Err(UsersError::Differ((*first).clone(), partner.clone()));
            }
            Some(_) => {}
            None => {
                options.uid_mappings.clone_from(&record.uid_mappings);
                options.gid_mappings.clone_from(&record.gid_mappings);
                chosen = Some((owner, partner));
            }
        }
    }
    options.user = match chosen {
        Some((Some(owner), _)) => UserMode::Container(owner.into()),
        Some((None, _)) | None => UserMode::Host,
    };
    Ok(())
}

/// The first of the paths that the container is to see with its own ids and that cannot be shown so: the engine's own layers, and
/// the folders of the host. One that will be made is where its parent is.
fn unshowable(engine: &Engine, binds: &[Bind]) -> Result<Option<PathBuf>, UsersError> {
    let data = &engine.places().data;
    if !layers_can(engine, data)? {
        return Ok(Some(data.clone()));
    }
    for bind in binds {
        let there = bind.source.ancestors().find(|path| path.exists()).unwrap_or(&bind.source);
        let below = if bind.recursive && there == bind.source { Below::Too } else { Below::Not };
        if !probe(there, below)? {
            return Ok(Some(bind.source.clone()));
        }
    }
    Ok(None)
}

/// Whether the folder belongs to somebody whom a container with the usual number of ids does not know. One that is missing will be
/// root's.
fn is_beyond(path: &Path) -> bool {
    rustix::fs::stat(path).is_ok_and(|found| found.st_uid >= FEWEST || found.st_gid >= FEWEST)
}

/// Whether the layers can be shown with other ids. That they can is asked once a boot: an empty file in the exec folder says so.
fn layers_can(engine: &Engine, data: &Path) -> Result<bool, UsersError> {
    let device = rustix::fs::stat(data).map_err(FileError::at("look at", data))?.st_dev;
    let known = engine.places().exec.join(format!("id-mapped-{device}"));
    if known.try_exists().map_err(FileError::at("look at", &known))? {
        return Ok(true);
    }
    let can = probe(data, Below::Not)?;
    if can {
        std::fs::write(&known, "").map_err(FileError::at("write", known))?;
    }
    Ok(can)
}

fn probe(path: &Path, below: Below) -> Result<bool, UsersError> {
    can_show_others(path, below).map_err(|source| UsersError::Probe { path: path.to_owned(), source })
}

/// The map of this process's user namespace, of which every id stands for itself.
pub(crate) fn own_map(file: &str) -> io::Result<Vec<IdMapping>> {
    let text = Procfs::host().and_then(|procfs| procfs.read(Subject::Myself, file))?;
    let range = |line: &str| {
        let numbers: Vec<u32> = line.split_whitespace().map(|number| number.parse().ok()).collect::<Option<_>>()?;
        let [first, _outside, size] = numbers[..] else { return None };
        Some(IdMapping { container_id: first, host_id: first, size })
    };
    let map = String::from_utf8_lossy(&text).lines().map(range).collect::<Option<Vec<_>>>();
    map.ok_or_else(|| rustix::io::Errno::BADMSG.into())
}

/// Gives the container `id`, whose folder exists, the ids that `options.user` says, or keeps those that it shares from being given to
/// others. [`Engine::release_ids`] takes them back, also after an error.
pub(crate) fn take(engine: &Engine, id: &ContainerId, options: &mut Options) -> Result<(), UsersError> {
    let partner = match &options.user {
        UserMode::Auto(asked) => {
            let size = asked.size.unwrap_or(FEWEST);
            let [users, groups] = engine.take_ids(id, size)?;
            let AutoIds { uids, gids, .. } = asked;
            let mappings = (mapping(users, uids, "uidmapping")?, mapping(groups, gids, "gidmapping")?);
            (options.uid_mappings, options.gid_mappings) = mappings;
            return Ok(());
        }
        UserMode::Container(other) => Some(ContainerId::try_from(other.clone()).map_err(|_wrong| RangeError::Gone)?),
        UserMode::Private => None,
        UserMode::Unset | UserMode::Host | UserMode::KeepId => return Ok(()),
    };
    Ok(engine.share_ids(id, partner.as_ref(), [&options.uid_mappings, &options.gid_mappings])?)
}

/// The container's ids from 0 on stand for `ids`, except those that are `given` others to stand for.
fn mapping(ids: Ids, given: &[IdMapping], option: &'static str) -> Result<Vec<IdMapping>, RangeError> {
    let mut given = given.to_vec();
    given.sort_by_key(|range| range.container_id);
    let mut mapping = Vec::new();
    let mut next = 0;
    let own_until = |end: u32, next: u32| {
        let end = end.min(ids.count);
        (next < end).then(|| IdMapping { container_id: next, host_id: ids.first + next, size: end - next })
    };
    for range in given {
        if range.container_id < next {
            return Err(RangeError::Overlap(option));
        }
        mapping.extend(own_until(range.container_id, next));
        next = range.container_id + range.size;
        mapping.push(range);
    }
    mapping.extend(own_until(ids.count, next));
    let overlap = |(number, range): (usize, &IdMapping)| {
        mapping[..number].iter().any(|other| Ids::of_host(other).overlaps(Ids::of_host(range)))
    };
    if mapping.iter().enumerate().any(overlap) { Err(RangeError::Overlap(option)) } else { Ok(mapping) }
}

/// What [`settle`] decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It stays as it was.
    Kept,
    /// The container has the host's ids instead, and what was mounted for it with others is to be made anew.
    Hosts,
}

/// Refuses a process whose ids the container does not have, because its runtime could not start it. Where nobody `asked` for ids of its
/// own it gets the host's instead, and that is said.
pub(crate) fn settle(
    engine: &Engine,
    id: &ContainerId,
    asked: &UserMode,
    identity: &Identity,
    options: &mut Options,
) -> Result<Settled, UsersError> {
    let checked = check(identity, Mappings { uids: &options.uid_mappings, gids: &options.gid_mappings });
    match checked {
        Err(UsersError::NotMapped { what, id: number }) if *asked == UserMode::Unset && options.user.is_new() => {
            engine.release_ids(id)?;
            options.user = UserMode::Host;
            options.uid_mappings.clear();
            options.gid_mappings.clear();
            let why = format!("the container's user ids are the host's: {what} {number} is not among {FEWEST} ids");
            options.security.notices.push(Notice::Shared(why));
            Ok(Settled::Hosts)
        }
        checked => checked.map(|()| Settled::Kept),
    }
}

/// Refuses ids that an ordinary user's namespace does not have.
fn check_own(identity: &Identity) -> Result<(), UsersError> {
    let own = |file| own_map(file).map_err(UsersError::Own);
    let (uids, gids) = (own("uid_map")?, own("gid_map")?);
    match check(identity, Mappings { uids: &uids, gids: &gids }) {
        Err(UsersError::NotMapped { what, id }) => Err(UsersError::NotOwned { what, id }),
        checked => checked,
    }
}

fn check(identity: &Identity, mappings: Mappings<'_>) -> Result<(), UsersError> {
    if mappings.uids.is_empty() {
        return check_own(identity);
    }
    let users = [("user", identity.uid, mappings.uids)];
    let groups = identity.groups.iter().chain([&identity.gid]).map(|gid| ("group", *gid, mappings.gids));
    match users.into_iter().chain(groups).find(|(_, id, map)| host_id(map, *id).is_none()) {
        Some((what, id, _)) => Err(UsersError::NotMapped { what, id }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(container_id: u32, host_id: u32, size: u32) -> IdMapping {
        IdMapping { container_id, host_id, size }
    }

    #[test]
    fn given_ids_take_the_place_of_the_containers_own() {
        let ids = Ids { first: 100_000, count: 1000 };
        let of = |given: &[IdMapping]| mapping(ids, given, "uidmapping");
        assert_eq!(of(&[]).unwrap(), [range(0, 100_000, 1000)]);
        assert_eq!(of(&[range(0, 7, 1)]).unwrap(), [range(0, 7, 1), range(1, 100_001, 999)]);
        let middle = [range(5000, 9, 1), range(10, 1000, 5)];
        let expected = [range(0, 100_000, 10), range(10, 1000, 5), range(15, 100_015, 985), range(5000, 9, 1)];
        assert_eq!(of(&middle).unwrap(), expected);
        for wrong in
            [[range(0, 7, 2), range(1, 9, 1)], [range(0, 7, 2), range(5, 8, 1)], [range(0, 1, 1), range(2, 100_500, 1)]]
        {
            assert!(matches!(of(&wrong), Err(RangeError::Overlap("uidmapping"))), "{wrong:?}");
        }
    }

    #[test]
    fn a_process_has_ids_of_the_containers() {
        let map = [range(0, 100_000, 1000)];
        let mappings = Mappings { uids: &map, gids: &map };
        let of = |uid, gid, group| Identity { uid, gid, groups: vec![gid, group] };
        assert!(check(&of(999, 0, 5), mappings).is_ok());
        for (identity, what) in [(of(1000, 0, 0), "user"), (of(0, 1000, 0), "group"), (of(0, 0, 65534), "group")] {
            assert!(
                matches!(check(&identity, mappings), Err(UsersError::NotMapped { what: found, .. }) if found == what)
            );
        }
        assert!(check(&of(70_000, 0, 0), Mappings { uids: &[], gids: &[] }).is_ok());
    }
}
