//! Folders and files of the host in the root of a container that does not run, for a process that looks at it from inside.
//!
//! Everything is found by descriptors: the container's root as the kernel resolves it with that root (`openat2(2)`,
//! `RESOLVE_IN_ROOT`), so that no link in it leads a mount to another place (CVE-2026-41568, CVE-2026-42306).

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use stockade_kernel::mount::{Attributes, Change, Propagation, mount_setattr};
use stockade_kernel::resolve;
use stockade_spec::{Mount, Spec};

use crate::idmap::{self, Mappings};

/// A mount that is not there.
#[derive(Debug, thiserror::Error)]
#[error("cannot mount {} on {} of the container, as its start would", source_path.display(), target.display())]
pub(crate) struct MountError {
    source_path: PathBuf,
    target: PathBuf,
    source: io::Error,
}

/// Mounts what the container's start would bind into its `root`, in the mount namespace of the caller, and makes the root read-only if
/// the container has it so. Other mounts (procfs, memory) are new at each start: there is nothing in them.
///
/// # Errors
/// [`MountError`]; what was mounted before stays until the namespace goes.
pub(crate) fn mount(root: &OwnedFd, spec: &Spec) -> Result<(), MountError> {
    for mount in &spec.mounts {
        let is_bind = mount.options.iter().any(|option| option == "bind" || option == "rbind");
        let Some(source) = mount.source.as_deref().filter(|source| is_bind && source.is_absolute()) else { continue };
        bind(root, source, mount).map_err(|error| failed(source, &mount.destination, error))?;
    }
    if spec.root.as_ref().is_some_and(|root| root.readonly) {
        let change = Change { set: Attributes::READ_ONLY, ..Change::default() };
        mount_setattr(root, c"", false, change).map_err(|error| failed(Path::new("/"), Path::new("/"), error))?;
    }
    Ok(())
}

fn failed(source: &Path, target: &Path, error: io::Error) -> MountError {
    MountError { source_path: source.to_owned(), target: target.to_owned(), source: error }
}

fn bind(root: &OwnedFd, source: &Path, mount: &Mount) -> io::Result<()> {
    let has = |word: &str| mount.options.iter().any(|option| option == word);
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if has("rbind") {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = open_tree(CWD, source, flags)?;
    let mappings = Mappings { uids: &mount.uid_mappings, gids: &mount.gid_mappings };
    let namespace = match has("idmap") || has("ridmap") {
        true => idmap::user_namespace(mappings)?,
        false => None,
    };
    let private = Change { propagation: Some(Propagation::Private), ..Change::default() };
    mount_setattr(&tree, c"", true, private)?;
    let change = Change {
        set: if has("ro") { Attributes::READ_ONLY } else { Attributes::empty() },
        id_map: namespace.as_ref().map(AsFd::as_fd),
        ..Change::default()
    };
    mount_setattr(&tree, c"", has("rro") || has("ridmap"), change)?;
    let is_directory = FileType::from_raw_mode(rustix::fs::fstat(&tree)?.st_mode) == FileType::Directory;
    let target = match is_directory {
        true => resolve::make_directories(root, &mount.destination, Mode::from_raw_mode(0o755))?,
        false => resolve::make_file(root, &mount.destination)?,
    };
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, "", &target, "", flags)?;
    // The target was what is below now; what is there must be what was mounted.
    let flags = OFlags::PATH | OFlags::NOFOLLOW;
    resolve::open_in_root(root, &mount.destination, flags, Mode::empty()).map(drop)
}
