//! One planned mount: made detached, changed, attached.

use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags};
use stockade_kernel::mount::{Change, Propagation, mount_setattr};
use stockade_kernel::resolve;

use super::copy_up::copy_up;
use super::model::{AttributeChange, MountPlan, MountSource};
use super::{Cause, Root, RootfsError, at, attach};

/// The file system magic of procfs, from `linux/magic.h`.
const PROC_SUPER_MAGIC: u64 = 0x9fa0;
/// The inode number of procfs' root, from `linux/proc_ns.h`.
const PROC_ROOT_INO: u64 = 1;
/// What steers the runtime and the kernel's walls is mounted here.
const STEERING: [&str; 2] = ["/proc", "/sys"];
/// The mode of folders that are made for a mount.
const FOLDER: Mode = Mode::from_raw_mode(0o755);

impl Root {
    /// Carries out one planned mount: `tree`, if it was made before by [`detached_bind`], or its source.
    ///
    /// The destination is made if it is missing: a folder, or an empty file for the bind mount of a file.
    ///
    /// # Errors
    /// [`RootfsError`] naming the source or the destination. A destination that was made stays, as does the mount if its
    /// destination was redirected while it was attached: the caller gives the mount namespace up.
    pub fn mount(&self, plan: &MountPlan, tree: Option<&OwnedFd>) -> Result<(), RootfsError> {
        let fail = |cause| RootfsError { action: "mount on", object: plan.destination.clone(), source: cause };
        let made;
        let tree = match tree {
            Some(tree) => tree,
            None => {
                made = detached(&plan.source, plan.tie())?;
                &made
            }
        };
        require_proc(tree, &plan.destination).map_err(fail)?;
        let target = self.target(tree, &plan.destination).map_err(fail)?;
        refuse_proc_by_link(&target, &plan.destination).map_err(fail)?;
        if plan.copy_up {
            copy_up(target.as_fd(), tree.as_fd()).map_err(fail)?;
        }
        change(tree, plan).map_err(fail)?;
        attach(self.as_fd(), tree, &target, &plan.destination).map_err(fail)?;
        if is_steering(&plan.destination) {
            self.anchors.keep(&plan.destination, tree).map_err(fail)?;
        }
        // A mount that is attached nowhere can not get peers.
        for change in &plan.propagation {
            let to = Change { propagation: Some(change.to), ..Change::default() };
            mount_setattr(tree, c"", change.recursive, to)
                .map_err(at("change the propagation of", &plan.destination))?;
        }
        Ok(())
    }

    /// The descriptor to attach at: made as the mount's root demands.
    fn target(&self, tree: &OwnedFd, destination: &Path) -> Result<OwnedFd, Cause> {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(tree)?.st_mode);
        Ok(match kind {
            FileType::Directory if is_steering(destination) => {
                resolve::make_directories(self, destination, FOLDER)?;
                self.plain_folder(destination)?
            }
            FileType::Directory => resolve::make_directories(self, destination, FOLDER)?,
            _ => resolve::make_file(self, destination)?,
        })
    }

    /// CVE-2019-19921, CVE-2023-27561: the folder itself, and not where a link of the image's leads.
    fn plain_folder(&self, destination: &Path) -> Result<OwnedFd, Cause> {
        let below = destination.strip_prefix("/").unwrap_or(destination);
        match resolve::open_no_links(self, below, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) {
            Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
                Err(Cause::Unexpected("the image has a symbolic link there, and not a folder"))
            }
            opened => Ok(opened?),
        }
    }
}

/// The bind mount `plan` as a detached tree, tied to the host's mount as `tie` says, and showing ids by the maps of the user
/// namespace `id_map`: to be attached by [`Root::mount`], also from within a user namespace whose root could not open the
/// source.
///
/// # Errors
/// [`RootfsError`] naming the source or the destination; `EINVAL` from a file system that can not show other ids.
pub fn detached_bind(
    plan: &MountPlan,
    tie: Propagation,
    id_map: Option<BorrowedFd<'_>>,
) -> Result<OwnedFd, RootfsError> {
    let tree = detached(&plan.source, tie)?;
    let fail = |cause| RootfsError { action: "prepare the mount on", object: plan.destination.clone(), source: cause };
    if let (Some(map), Some(namespace)) = (&plan.id_map, id_map) {
        let change = Change { id_map: Some(namespace), ..Change::default() };
        mount_setattr(&tree, c"", map.recursive, change).map_err(|error| fail(error.into()))?;
    }
    change(&tree, plan).map_err(fail)?;
    Ok(tree)
}

/// Gives the detached mount its attributes.
fn change(tree: &OwnedFd, plan: &MountPlan) -> Result<(), Cause> {
    for (attributes, recursive) in [(plan.attributes, false), (plan.recursive_attributes, true)] {
        if attributes != AttributeChange::default() {
            mount_setattr(tree, c"", recursive, attributes.into())?;
        }
    }
    Ok(())
}

/// Whether what is mounted on `destination` steers walls.
fn is_steering(destination: &Path) -> bool {
    STEERING.iter().any(|path| destination == Path::new(path))
}

/// CVE-2019-16884: what the runtime and the kernel's security modules are steered by is procfs itself, from its root on.
fn require_proc(tree: &OwnedFd, destination: &Path) -> Result<(), Cause> {
    let is_root = || Ok::<_, Errno>(is_proc(tree)? && rustix::fs::fstat(tree)?.st_ino == PROC_ROOT_INO);
    if destination == Path::new("/proc") && !is_root().map_err(Cause::from)? {
        return Err(Cause::Unexpected("only the file system proc can be mounted there"));
    }
    Ok(())
}

/// CVE-2023-28642 and others: a destination that leads into procfs says so, or it is a link of the image that does.
fn refuse_proc_by_link(target: &OwnedFd, destination: &Path) -> Result<(), Cause> {
    if !destination.starts_with("/proc") && is_proc(target)? {
        return Err(Cause::Unexpected("the image has a link there that leads into /proc"));
    }
    Ok(())
}

fn is_proc(fd: &OwnedFd) -> Result<bool, Errno> {
    Ok(rustix::fs::fstatfs(fd)?.f_type as u64 == PROC_SUPER_MAGIC)
}

impl From<AttributeChange> for Change<'_> {
    fn from(change: AttributeChange) -> Self {
        Self { set: change.set, clear: change.clear, access_times: change.access_times, ..Self::default() }
    }
}

/// The source as a mount that is attached nowhere.
fn detached(source: &MountSource, tie: Propagation) -> Result<OwnedFd, RootfsError> {
    match source {
        MountSource::Bind { path, recursive } => copy_of(path, *recursive, tie).map_err(at("bind", path)),
        MountSource::New { kind, source, options, readonly } => {
            let made = new_file_system(kind, source, options, *readonly);
            made.map_err(|cause| RootfsError { action: "make a file system", object: kind.into(), source: cause })
        }
        MountSource::Cgroup { .. } => Err(RootfsError {
            action: "mount as a single file system",
            object: "cgroup".into(),
            source: Cause::Unexpected("the container's cgroups are a tree of their own"),
        }),
    }
}

/// A detached copy of the host's mount at `path`, with `recursive` of all below it: private, a slave, or with
/// [`Propagation::Shared`] whatever a copy made in the caller's mount namespace is.
pub(super) fn copy_of(path: &Path, recursive: bool, tie: Propagation) -> Result<OwnedFd, Cause> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = rustix::mount::open_tree(CWD, path, flags)?;
    if tie != Propagation::Shared {
        let change = Change { propagation: Some(tie), ..Change::default() };
        mount_setattr(&tree, c"", true, change)?;
    }
    Ok(tree)
}

/// A new file system, mounted nowhere.
pub(super) fn new_file_system(
    kind: &str,
    source: &std::ffi::OsStr,
    options: &[(String, Option<String>)],
    readonly: bool,
) -> Result<OwnedFd, Cause> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    configure(&context, source, options, readonly).map_err(|source| Cause::explained(&context, source))?;
    Ok(rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
}

/// Sets the options and makes the superblock.
fn configure(
    context: &OwnedFd,
    source: &std::ffi::OsStr,
    options: &[(String, Option<String>)],
    readonly: bool,
) -> rustix::io::Result<()> {
    let context = context.as_fd();
    if !source.is_empty() {
        rustix::mount::fsconfig_set_string(context, "source", source)?;
    }
    for (key, value) in options {
        match value {
            Some(value) => rustix::mount::fsconfig_set_string(context, key.as_str(), value.as_str())?,
            None => rustix::mount::fsconfig_set_flag(context, key.as_str())?,
        }
    }
    if readonly {
        rustix::mount::fsconfig_set_flag(context, "ro")?;
    }
    rustix::mount::fsconfig_create(context)
}

impl Cause {
    /// `source` with the first of the messages that the kernel keeps in a file system context (`fsopen(2)`), if it has one.
    fn explained(context: &OwnedFd, source: rustix::io::Errno) -> Self {
        let mut buffer = [0; 256];
        match rustix::io::read(context, &mut buffer) {
            Ok(length) if length > 2 => Self::FileSystem {
                // The first two bytes are the severity and a space.
                message: String::from_utf8_lossy(&buffer[2..length]).trim_end().to_owned(),
                source: source.into(),
            },
            _ => source.into(),
        }
    }
}
