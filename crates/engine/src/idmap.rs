//! A user namespace that maps ids and in which nothing runs: by it mounts show a container's ids.

use std::io;

use rustix::fd::OwnedFd;
use rustix::pipe::{PipeFlags, pipe_with};
use stockade_kernel::clone::{Forked, Request, clone3};
use stockade_kernel::exec::exit_now;
use stockade_kernel::namespace::Namespaces;
use stockade_kernel::procfs::{Procfs, Subject};
use stockade_spec::IdMapping;

use crate::identity::reap;

/// The id mapping of a container's own user namespace; empty where it shares the host's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mappings<'a> {
    pub(crate) uids: &'a [IdMapping],
    pub(crate) gids: &'a [IdMapping],
}

/// Makes such a namespace with these maps, by a child that lives until they are written; `None` without maps.
///
/// # Errors
/// As [`clone3`], and as `open(2)` and `write(2)` in procfs.
pub(crate) fn user_namespace(mappings: Mappings<'_>) -> io::Result<Option<OwnedFd>> {
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
    reap(&pidfd)?;
    made.map(Some)
}

/// A map as the kernel takes it (`user_namespaces(7)`).
fn text(map: &[IdMapping]) -> String {
    map.iter().map(|range| format!("{} {} {}\n", range.container_id, range.host_id, range.size)).collect()
}
