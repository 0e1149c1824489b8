//! What this process gives up before it reads what a stranger made: the rest of the file system, all other namespaces, capabilities,
//! memory, and most of the kernel's calls. Each step that fails ends it, and what can be read back is.

use std::io;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags};
use rustix::process::{Resource, Signal};
use stockade_capabilities::{self as capabilities, CapSet, Capability, Request, Sets, Transition, Unavailable};
use stockade_kernel::enclose;
use stockade_kernel::mount::{Attributes, Change, Propagation, mount_setattr};
use stockade_kernel::namespace::{Namespaces, unshare};
use stockade_kernel::procfs::{Procfs, Status, Subject, read_all};
use stockade_seccomp::{Compiled, Profile, Target};

/// What of root's power is kept, and what for.
const KEPT: CapSet = CapSet::of(&[
    // Files belong to whom the layer says.
    Capability::CHOWN,
    // Folders of others, or without a permission for their owner, are written into.
    Capability::DAC_OVERRIDE,
    // Modes, times and attributes are set after the owner.
    Capability::FOWNER,
    // Set-group-id stays on files of groups that root is not in.
    Capability::FSETID,
    // Devices, and overlayfs's whiteouts.
    Capability::MKNOD,
    // `security.capability` of files.
    Capability::SETFCAP,
]);

/// The calls that are left; any other kills the process.
const PROFILE: &[u8] = include_bytes!("profile.json");

/// Memory that is written to: the window of a zstd frame is the largest part.
const MOST_DATA: u64 = 224 << 20;
/// All addresses, with what is reserved and never used.
const MOST_ADDRESSES: u64 = 512 << 20;
/// Descriptors: three standard ones, the root, and a few folders that are filled.
const MOST_FILES: u64 = 128;

/// A wall that could not be put up.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// A call failed.
    #[error("{step}")]
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
    #[error("make the filter of system calls")]
    Filter(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is in force is not what was put up.
    #[error("the process is not confined as planned: {0}")]
    NotInForce(&'static str),
}

fn at<E: Into<io::Error>>(step: &'static str) -> impl Fn(E) -> ConfineError {
    move |source| ConfineError::Step { step, source: source.into() }
}

/// Confines this process, which has one thread, and gives the folder back, by then its root.
///
/// # Errors
/// The first wall that could not be put up; the process must end then.
pub fn confine(folder: OwnedFd) -> Result<OwnedFd, ConfineError> {
    let parent = rustix::process::getppid();
    let procfs = Procfs::host().map_err(at("open /proc"))?;
    let status = procfs.open(Subject::Myself, "status", OFlags::RDONLY).map_err(at("open its own status"))?;
    let last = capabilities::support::last_cap(&procfs).map_err(at("ask for the last capability"))?;
    let groups = groups(&procfs)?;
    drop(procfs);
    let filter = filter()?;
    let root = enter(folder)?;
    limit()?;
    rustix::process::umask(Mode::empty());
    if groups == Groups::Left {
        rustix::thread::set_thread_groups(&[]).map_err(at("leave all groups"))?;
    }
    give_up_capabilities(last)?;
    // A change of capabilities may have taken this away (`prctl(2)`); the caller asked for it before.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(at("die with the parent"))?;
    if rustix::process::getppid() != parent {
        return Err(ConfineError::NotInForce("its parent is gone"));
    }
    rustix::thread::set_no_new_privs(true).map_err(at("set no_new_privs"))?;
    stockade_seccomp::apply(&filter).map_err(at("load the filter of system calls"))?;
    verify(&status, groups)?;
    Ok(root)
}

/// What becomes of the supplementary groups.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Groups {
    Left,
    /// The user namespace was made by an ordinary user without a map of groups, who cannot leave his own (`user_namespaces(7)`): they
    /// give access to nothing that is in reach.
    Kept,
}

fn groups(procfs: &Procfs) -> Result<Groups, ConfineError> {
    let failed = at("ask whether groups can be left");
    let file = procfs.open(Subject::Myself, "setgroups", OFlags::RDONLY).map_err(&failed)?;
    let text = read_all(file.as_fd()).map_err(failed)?;
    Ok(if text.starts_with(b"deny") { Groups::Kept } else { Groups::Left })
}

/// Leaves all namespaces that can be left, and everything of the file system but `folder`.
fn enter(folder: OwnedFd) -> Result<OwnedFd, ConfineError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    // Before its mount is one of another namespace.
    let tree = rustix::mount::open_tree(&folder, c"", flags).map_err(at("copy the mount of the folder"))?;
    let before = rustix::fs::fstat(&folder).map_err(at("look at the folder"))?;
    let away = Namespaces::MOUNT | Namespaces::NET | Namespaces::IPC | Namespaces::UTS | Namespaces::CGROUP;
    unshare(away).map_err(at("leave the namespaces"))?;
    let private = Change { propagation: Some(Propagation::Private), ..Change::default() };
    mount_setattr(CWD, c"/", true, private).map_err(at("cut off the mounts"))?;
    // No file of the layer is a program or a device for this process.
    let set = Attributes::NO_SUID | Attributes::NO_DEV | Attributes::NO_EXEC;
    mount_setattr(&tree, c"", false, Change { set, ..private }).map_err(at("restrict the mount of the folder"))?;
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", directory, Mode::empty()).map_err(at("open the root"))?;
    let attach = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(&tree, c"", &old, c"", attach).map_err(at("mount the folder over the root"))?;
    enclose::change_root(&tree, &old).map_err(at("make the folder the root"))?;
    drop((tree, old));
    let root = rustix::fs::open("/", directory, Mode::empty()).map_err(at("open the folder as the root"))?;
    let above = rustix::fs::openat(&root, "..", directory, Mode::empty()).map_err(at("open what is above the root"))?;
    for opened in [&root, &above] {
        let after = rustix::fs::fstat(opened).map_err(at("look at the root"))?;
        if (after.st_dev, after.st_ino) != (before.st_dev, before.st_ino) {
            return Err(ConfineError::NotInForce("its root is not the folder"));
        }
    }
    // Whoever wants to remove the folder waits until this process is gone. The parent's lock is shared as well.
    rustix::fs::flock(&root, FlockOperation::NonBlockingLockShared).map_err(at("lock the folder"))?;
    // The last way out: its mount is the host's.
    drop(folder);
    Ok(root)
}

fn limit() -> Result<(), ConfineError> {
    let limits = [
        (Resource::Data, MOST_DATA),
        (Resource::As, MOST_ADDRESSES),
        (Resource::Nofile, MOST_FILES),
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
    let sets = Sets { bounding: none, permitted: KEPT, effective: KEPT, inheritable: none, ambient: none };
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
fn verify(status: &OwnedFd, groups: Groups) -> Result<(), ConfineError> {
    let read = read_all(status.as_fd()).and_then(|text| Status::parse(&text));
    let found = read.map_err(at("read its own status"))?;
    let kept = KEPT.bits();
    let sets = (found.permitted, found.effective, found.bounding, found.inheritable, found.ambient);
    let walls = [
        (sets == (kept, kept, 0, 0, 0), "its capabilities"),
        (found.no_new_privs, "no_new_privs"),
        (found.seccomp == 2, "the filter of system calls"),
        (found.threads == 1, "it has more than one thread"),
        (found.groups.is_empty() || groups == Groups::Kept, "its groups"),
    ];
    walls.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, wall)| Err(ConfineError::NotInForce(wall)))
}
