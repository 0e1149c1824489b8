//! What this process gives up before it reads a packet: the file system, all namespaces but the network's, capabilities, memory, and most
//! of the kernel's calls. Each step that fails ends it, and what can be read back is.
//!
//! The folders of endpoints become mounts of their own that are attached nowhere and read-only: there is no way from them to what is
//! above them. The root is an empty file system.

use std::io;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};
use rustix::process::Resource;
use stockade_capabilities::{self as capabilities, CapSet, Capability, Request, Sets, Transition, Unavailable};
use stockade_kernel::enclose;
use stockade_kernel::mount::{Attributes, Change, Propagation, mount_setattr};
use stockade_kernel::namespace::{Namespaces, unshare};
use stockade_kernel::procfs::{Procfs, Status, Subject, read_all};
use stockade_seccomp::{Compiled, Profile, Target};

/// The calls that are left; any other kills the process.
const PROFILE: &[u8] = include_bytes!("profile.json");

/// Memory that is written to: some hundred questions under way, and the names.
const MOST_DATA: u64 = 48 << 20;
/// All addresses, with what is reserved and never used.
const MOST_ADDRESSES: u64 = 256 << 20;
/// Descriptors: those that were given, questions under way and clients.
const MOST_FILES: u64 = 512;

/// A wall that could not be put up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    /// A call failed.
    #[error("the name server cannot {step}")]
    Step {
        /// What was done.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The capabilities cannot be given up.
    #[error(transparent)]
    Plan(#[from] capabilities::PlanError),
    /// The same.
    #[error(transparent)]
    Apply(#[from] capabilities::ApplyError),
    /// The filter of system calls cannot be made.
    #[error("the name server cannot make the filter of system calls")]
    Filter(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is in force is not what was put up.
    #[error("the name server is not confined as planned: {0}")]
    NotInForce(&'static str),
}

fn at<E: Into<io::Error>>(step: &'static str) -> impl Fn(E) -> ConfineError {
    move |source| ConfineError::Step { step, source: source.into() }
}

/// Confines this process, which has one thread, and gives the folders again, each as the root of a mount of its own; the caller
/// closes those that it has.
///
/// # Errors
/// The first wall that could not be put up; the process must end then.
pub(crate) fn confine(folders: &[OwnedFd]) -> Result<Vec<OwnedFd>, ConfineError> {
    let procfs = Procfs::host().map_err(at("open /proc"))?;
    let status = procfs.open(Subject::Myself, "status", OFlags::RDONLY).map_err(at("open its own status"))?;
    let last = capabilities::support::last_cap(&procfs).map_err(at("ask for the last capability"))?;
    drop(procfs);
    let filter = filter()?;
    // Before their mounts are ones of another namespace.
    let folders = folders.iter().map(alone).collect::<Result<Vec<_>, _>>()?;
    enter()?;
    limit()?;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::thread::set_thread_groups(&[]).map_err(at("leave all groups"))?;
    give_up_capabilities(last)?;
    rustix::thread::set_no_new_privs(true).map_err(at("set no_new_privs"))?;
    stockade_seccomp::apply(&filter).map_err(at("load the filter of system calls"))?;
    verify(&status)?;
    Ok(folders)
}

/// The folder as the root of a read-only mount that is attached nowhere.
fn alone(folder: &OwnedFd) -> Result<OwnedFd, ConfineError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(folder, c"", flags).map_err(at("copy the mount of a folder"))?;
    let set = Attributes::READ_ONLY | Attributes::NO_SUID | Attributes::NO_DEV | Attributes::NO_EXEC;
    let change = Change { set, propagation: Some(Propagation::Private), ..Change::default() };
    mount_setattr(&tree, c"", false, change).map_err(at("restrict the mount of a folder"))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |path: &str| rustix::fs::openat(&tree, path, flags, Mode::empty()).map_err(at("open a folder"));
    let (root, above) = (open(".")?, open("..")?);
    let place = |file: &OwnedFd| rustix::fs::fstat(file).map_err(at("look at a folder"));
    let (wanted, root_is, above_is) = (place(folder)?, place(&root)?, place(&above)?);
    for found in [root_is, above_is] {
        if (found.st_dev, found.st_ino) != (wanted.st_dev, wanted.st_ino) {
            return Err(ConfineError::NotInForce("a folder is not the root of its mount"));
        }
    }
    Ok(root)
}

/// Leaves all namespaces but the network's, and the file system altogether.
fn enter() -> Result<(), ConfineError> {
    let away = Namespaces::MOUNT | Namespaces::IPC | Namespaces::UTS | Namespaces::CGROUP;
    unshare(away).map_err(at("leave the namespaces"))?;
    let private = Change { propagation: Some(Propagation::Private), ..Change::default() };
    mount_setattr(CWD, c"/", true, private).map_err(at("cut off the mounts"))?;
    let empty = empty().map_err(at("make an empty file system"))?;
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", directory, Mode::empty()).map_err(at("open the root"))?;
    let attach = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(&empty, c"", &old, c"", attach).map_err(at("mount it over the root"))?;
    enclose::change_root(&empty, &old).map_err(at("make it the root"))?;
    let wanted = rustix::fs::fstat(&empty).map_err(at("look at it"))?;
    for path in ["/", "/.."] {
        let found = rustix::fs::stat(path).map_err(at("look at the root"))?;
        if (found.st_dev, found.st_ino) != (wanted.st_dev, wanted.st_ino) {
            return Err(ConfineError::NotInForce("its root is not empty"));
        }
    }
    Ok(())
}

/// A read-only file system without a file.
fn empty() -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(context.as_fd(), "size", "4096")?;
    rustix::mount::fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn limit() -> Result<(), ConfineError> {
    let limits = [
        (Resource::Data, MOST_DATA),
        (Resource::As, MOST_ADDRESSES),
        (Resource::Nofile, MOST_FILES),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nproc, 0),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
    ];
    match enclose::limit(&limits).map_err(at("set the resource limits"))? {
        true => Ok(()),
        false => Err(ConfineError::NotInForce("a resource limit")),
    }
}

fn give_up_capabilities(last: Capability) -> Result<(), ConfineError> {
    let now = capabilities::observe::of_this_thread(last).map_err(at("ask for the capabilities"))?;
    let none = CapSet::EMPTY;
    let sets = Sets { bounding: none, permitted: none, effective: none, inheritable: none, ambient: none };
    let request =
        Request { sets, securebits: None, user: None, unavailable: Unavailable::Refuse, hold_sys_admin: false };
    let transition = Transition::plan(&now, &request, last)?;
    capabilities::apply(&transition.before)?;
    Ok(capabilities::apply(&transition.after)?)
}

fn filter() -> Result<Compiled, ConfineError> {
    let filter = Profile::parse_oci(PROFILE).and_then(|profile| profile.resolve(&Target::here(&[])));
    let filter = filter.map_err(|error| ConfineError::Filter(error.into()))?;
    Compiled::new(&filter).map_err(|error| ConfineError::Filter(error.into()))
}

/// Reads back what the kernel says of this process in the file `status`.
fn verify(status: &OwnedFd) -> Result<(), ConfineError> {
    let read = read_all(status.as_fd()).and_then(|text| Status::parse(&text));
    let found = read.map_err(at("read its own status"))?;
    let sets = (found.permitted, found.effective, found.bounding, found.inheritable, found.ambient);
    let walls = [
        (sets == (0, 0, 0, 0, 0), "its capabilities"),
        (found.no_new_privs, "no_new_privs"),
        (found.seccomp == 2, "the filter of system calls"),
        (found.threads == 1, "it has more than one thread"),
        (found.groups.is_empty(), "its groups"),
    ];
    walls.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, wall)| Err(ConfineError::NotInForce(wall)))
}
