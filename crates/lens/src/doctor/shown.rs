//! Whether layers can be shown with other owners, so that a container of root's has users of its own: tried and not judged by the kernel's version,
//! because the file system that they are on must be able to, too.

use std::error::Error;
use std::io;
use std::path::Path;

use rustix::fd::AsFd;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use stockade_kernel::chain::chain;
use stockade_kernel::mount::{Change, mount_setattr};
use stockade_namespaces::{IdMap, IdMaps, IdRange, user_namespace_with};

use super::{Rank, Symptom};

/// Gives a copy of the mount that `folder` is on, or the next folder above that is there, other owners. The copy is attached nowhere. Nothing is left of it, and nobody else sees it. The caller has
/// one thread; a child of it makes the user namespace and has ended when this returns.
pub(super) fn examine(folder: &Path) -> Symptom {
    let folder = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let about = "id-mapped mounts";
    let told = |found: &str| format!("{}: {found}", folder.display());
    match tried(folder) {
        Ok(Answer::Shown) => Symptom::good(about, told("owners are shown as others")),
        Ok(Answer::Refused(errno)) => {
            let found = told(&format!("owners cannot be shown as others: {}", io::Error::from(errno)));
            let because = "containers of root share the host's user ids, because layers cannot be shown with others";
            let mend = "move the data folder (--data-root) to a file system that can, like ext4, XFS or btrfs, on Linux 5.19 or newer";
            Symptom::bad(Rank::Weaker, about, found, because, mend)
        }
        Err(error) => Symptom::unknown(about, &io::Error::other(told(&chain(&*error)))),
    }
}

/// How the kernel takes it.
enum Answer {
    Shown,
    Refused(Errno),
}

fn tried(folder: &Path) -> Result<Answer, Box<dyn Error>> {
    let map = IdMap::new(vec![IdRange { inside: 0, outside: 1, count: 1 }])?;
    let namespace = user_namespace_with(&IdMaps { users: map.clone(), groups: map })?;
    let tree = open_tree(CWD, folder, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
    let change = Change { id_map: Some(namespace.as_fd()), ..Change::default() };
    let Err(error) = mount_setattr(&tree, c"", false, change) else { return Ok(Answer::Shown) };
    match Errno::from_io_error(&error) {
        // EINVAL: the file system cannot. EPERM: it shows others already. ENOSYS: Linux before 5.12.
        Some(errno @ (Errno::INVAL | Errno::PERM | Errno::NOSYS)) => Ok(Answer::Refused(errno)),
        _ => Err(error.into()),
    }
}
