//! A user namespace that maps ids and in which nothing runs: by it mounts show a container's ids.

use std::io;
use std::path::Path;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::pipe::{PipeFlags, pipe_with};
use stockade_kernel::clone::{Forked, Request, clone3};
use stockade_kernel::exec::exit_now;
use stockade_kernel::mount::{Change, mount_setattr};
use stockade_kernel::namespace::Namespaces;
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_spec::{IdMapping, Mount};

use crate::identity::reap;

/// The id mapping of a container's own user namespace; empty where it shares the host's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mappings<'a> {
    pub(crate) uids: &'a [IdMapping],
    pub(crate) gids: &'a [IdMapping],
}

impl Mappings<'_> {
    /// Whether every id is the same on both sides, as it is in the host's user namespace: then no mount needs to show others.
    pub(crate) fn change_nothing(self) -> bool {
        self.uids.iter().chain(self.gids).all(|range| range.container_id == range.host_id)
    }

    /// The user and the group of the host that are root in the container; `None` where there is no root in it.
    pub(crate) fn root(self) -> Option<(u32, u32)> {
        Some((host_id(self.uids, 0)?, host_id(self.gids, 0)?))
    }

    /// The bind mount with the ids that are stored shown as those of the container, so that its root can do in it what the host's
    /// could, and nothing is ever given another owner: for folders of the host, volumes, and whatever else is stored as for a
    /// container without a user namespace of its own.
    pub(crate) fn shown_by(self, mut mount: Mount) -> Mount {
        if !self.change_nothing() {
            let recursive = mount.options.iter().any(|option| option == "rbind");
            mount.options.push(if recursive { "ridmap" } else { "idmap" }.to_owned());
            mount.uid_mappings = self.uids.to_vec();
            mount.gid_mappings = self.gids.to_vec();
        }
        mount
    }
}

/// What stands for `id` of the container on the host.
pub(crate) fn host_id(mappings: &[IdMapping], id: u32) -> Option<u32> {
    let holds = |range: &&IdMapping| id.checked_sub(range.container_id).is_some_and(|offset| offset < range.size);
    mappings.iter().find(holds).map(|range| range.host_id + (id - range.container_id))
}

/// Whether the folder or file at `path`, and with `below` all that is mounted there, can be mounted with other ids shown
/// (Linux 5.12, and file systems that have learnt it since). Needs one thread.
///
/// # Errors
/// As `open_tree(2)`, and [`user_namespace`].
pub(crate) fn can_show_others(path: &Path, below: Below) -> io::Result<bool> {
    let any = [IdMapping { container_id: 0, host_id: 1, size: 1 }];
    let Some(namespace) = user_namespace(Mappings { uids: &any, gids: &any })? else { return Ok(false) };
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if below == Below::Too {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = open_tree(CWD, path, flags)?;
    let change = Change { id_map: Some(namespace.as_fd()), ..Change::default() };
    match mount_setattr(&tree, c"", below == Below::Too, change) {
        Ok(()) => Ok(true),
        // EINVAL: the file system cannot. EPERM: it is another user namespace's, or shows others already. ENOSYS: Linux before 5.12.
        Err(error) if [Errno::INVAL, Errno::PERM, Errno::NOSYS].contains(&errno(&error)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether what is mounted below a path counts too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Below {
    /// It does.
    Too,
    /// It does not.
    Not,
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Makes such a namespace with these maps; `None` without maps.
///
/// # Errors
/// As [`clone3`], and as `open(2)` and `write(2)` in procfs.
pub(crate) fn user_namespace(mappings: Mappings<'_>) -> io::Result<Option<OwnedFd>> {
    let Some((namespace, child)) = user_namespace_by(mappings)? else { return Ok(None) };
    reap(&child)?;
    Ok(Some(namespace))
}

/// The same, with the child by which it was made: it ends by itself, and the caller waits for that ([`reap`]) when it has
/// done what needs the namespace. What that child has of its parent's memory takes the kernel a while to take apart.
///
/// # Errors
/// As [`user_namespace`]; no child is left.
pub(crate) fn user_namespace_by(mappings: Mappings<'_>) -> io::Result<Option<(OwnedFd, OwnedFd)>> {
    if mappings.uids.is_empty() && mappings.gids.is_empty() {
        return Ok(None);
    }
    let procfs = Procfs::host()?;
    let (until, alive) = pipe_with(PipeFlags::CLOEXEC)?;
    let (pid, pidfd) = match clone3(&Request { new: Namespaces::USER, ..Request::default() })? {
        Forked::Parent { pid, pidfd } => (pid.as_raw_nonzero().get(), pidfd),
        Forked::Child => {
            drop(alive);
            // The parent closes its end when it is done, or the kernel does.
            exit_now(u8::from(rustix::io::read(&until, &mut [0; 1]).is_err()));
        }
    };
    let write = |file: &str, map: &[IdMapping]| procfs.write(Subject::Pid(pid), file, text(map).as_bytes());
    let made = write("uid_map", mappings.uids)
        .and_then(|()| write("gid_map", mappings.gids))
        .and_then(|()| procfs.open_namespace(Subject::Pid(pid), "user"));
    drop(alive);
    match made {
        Ok(namespace) => Ok(Some((namespace, pidfd))),
        Err(error) => {
            reap(&pidfd)?;
            Err(error)
        }
    }
}

/// A map as the kernel takes it (`user_namespaces(7)`).
fn text(map: &[IdMapping]) -> String {
    map.iter().map(|range| format!("{} {} {}\n", range.container_id, range.host_id, range.size)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binds::bind;

    #[test]
    fn mounts_show_the_containers_ids() {
        let map = [
            IdMapping { container_id: 0, host_id: 1000, size: 10 },
            IdMapping { container_id: 20, host_id: 5000, size: 10 },
        ];
        let mappings = Mappings { uids: &map, gids: &map[..1] };
        assert_eq!(mappings.root(), Some((1000, 1000)));
        assert_eq!((host_id(&map, 29), host_id(&map, 10), host_id(&map, 30)), (Some(5009), None, None));
        for (kind, word) in [("bind", "idmap"), ("rbind", "ridmap")] {
            let mount = mappings.shown_by(bind("/a".as_ref(), "/b".as_ref(), [kind, "ro"].iter()));
            assert_eq!(mount.options, [kind, "ro", word]);
            assert_eq!((&mount.uid_mappings[..], &mount.gid_mappings[..]), (&map[..], &map[..1]));
        }
        let same = [IdMapping { container_id: 0, host_id: 0, size: u32::MAX }];
        for nothing in [&[][..], &same] {
            let mount = bind("/a".as_ref(), "/b".as_ref(), ["bind"].iter());
            assert_eq!(Mappings { uids: nothing, gids: nothing }.shown_by(mount.clone()), mount);
        }
    }
}
