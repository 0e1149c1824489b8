//! The walls around unpacking, each with what it is for.

use std::ffi::CStr;
use std::io;

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use stockade_capabilities::{
    ApplyError, CapSet, Capability, PlanError, Request, Securebits, Sets, State, Transition, Unavailable, VerifyError,
};
use stockade_kernel::mount::{Attributes, Change, Propagation, mount_setattr};
use stockade_kernel::namespace::{Namespaces, unshare};
use stockade_kernel::procfs::Procfs;
use stockade_seccomp::{Compiled, Profile, Target};

/// The system calls that unpacking makes, in OCI's form; every other one is refused with `EPERM`.
const FILTER: &[u8] = include_bytes!("filter.json");

/// What owners, modes, devices and file capabilities take, each of which an archive can ask for. Reading and writing what belongs to
/// others (`DAC_OVERRIDE`) is needed because entries may come in any order: the folder that a file goes to can be another user's by
/// then, or be closed to everyone. All of it reaches no further than the layer's folder, which is the root.
const CAPABILITIES: [Capability; 6] = [
    Capability::CHOWN,
    Capability::DAC_OVERRIDE,
    Capability::FOWNER,
    Capability::FSETID,
    Capability::MKNOD,
    Capability::SETFCAP,
];

/// What it may have of memory, in bytes of addresses: the window of zstd (100 MiB), the names of folders (64 MiB), and itself.
const MEMORY: u64 = 256 << 20;
/// Descriptors: the streams, the lock, and a few folders.
const DESCRIPTORS: u64 = 64;

/// A wall that does not stand. Nothing was read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    /// A step that the kernel refused.
    #[error("confine the program that unpacks: {step}")]
    Step {
        /// What was done.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The filter's text.
    #[error("confine the program that unpacks: read its filter of system calls")]
    Filter(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Capabilities that are needed and not there.
    #[error("confine the program that unpacks: plan its capabilities")]
    Plan(#[from] PlanError),
    /// Capabilities that could not be set.
    #[error("confine the program that unpacks")]
    Apply(#[from] ApplyError),
    /// They are not what was set.
    #[error("confine the program that unpacks")]
    Verify(#[from] VerifyError),
}

fn step<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> ConfineError {
    move |source| ConfineError::Step { step, source: source.into() }
}

/// Confines the calling process, which must have one thread, to its working directory; the answer is that directory, now the root.
///
/// # Errors
/// See [`ConfineError`]; the process must not go on.
pub(crate) fn confine() -> Result<OwnedFd, ConfineError> {
    // What the program needs of procfs, before there is none.
    let procfs = Procfs::host().map_err(step("open procfs"))?;
    let last = stockade_capabilities::support::last_cap(&procfs).map_err(step("ask for the last capability"))?;
    drop(procfs);
    let compiled = filter()?;
    // Modes are those of the archive.
    rustix::process::umask(Mode::empty());
    let root = enter().map_err(step("make the layer's folder the root"))?;
    limit().map_err(step("set the resource limits"))?;
    // A stranger's bytes are not to be found in a core file, and nobody attaches to this process by its user alone.
    let dumpable = DumpableBehavior::NotDumpable;
    rustix::process::set_dumpable_behavior(dumpable).map_err(step("forbid to look into it"))?;
    // Without it the filter would take CAP_SYS_ADMIN.
    rustix::thread::set_no_new_privs(true).map_err(step("forbid new privileges"))?;
    let expected = drop_capabilities(last)?;
    stockade_capabilities::observe::verify(&expected, last)?;
    stockade_seccomp::apply(&compiled).map_err(step("load the filter of system calls"))?;
    Ok(root)
}

/// Moves into a mount namespace whose one mount is the working directory, without programs, devices and set-user-id bits.
fn enter() -> io::Result<OwnedFd> {
    unshare(Namespaces::MOUNT)?;
    let private = Change { propagation: Some(Propagation::Private), ..Change::default() };
    mount_setattr(CWD, c"/", true, private)?;
    let here: &CStr = c".";
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = rustix::mount::open_tree(CWD, here, flags)?;
    let set = Attributes::NO_SUID | Attributes::NO_DEV | Attributes::NO_EXEC;
    mount_setattr(&mount, c"", false, Change { set, ..Change::default() })?;
    rustix::mount::move_mount(&mount, c"", CWD, here, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", folder, Mode::empty())?;
    rustix::process::fchdir(&mount)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::process::fchdir(&old)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(rustix::fs::open("/", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn limit() -> io::Result<()> {
    let limits = [(Resource::As, MEMORY), (Resource::Nofile, DESCRIPTORS), (Resource::Core, 0)];
    for (resource, most) in limits {
        rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}

/// Keeps [`CAPABILITIES`] and empties the bounding set.
fn drop_capabilities(last: Capability) -> Result<State, ConfineError> {
    let now = stockade_capabilities::observe::of_this_thread(last).map_err(step("read its capabilities"))?;
    let kept = CAPABILITIES.into_iter().fold(CapSet::EMPTY, |set, one| set | one.into());
    let none = CapSet::EMPTY;
    let sets = Sets { effective: kept, permitted: kept, inheritable: none, bounding: none, ambient: none };
    let request = Request {
        sets,
        securebits: Some(Securebits::NONE),
        user: None,
        unavailable: Unavailable::Refuse,
        hold_sys_admin: false,
    };
    let transition = Transition::plan(&now, &request, last)?;
    stockade_capabilities::apply(&transition.before)?;
    stockade_capabilities::apply(&transition.after)?;
    Ok(transition.expected)
}

fn filter() -> Result<Compiled, ConfineError> {
    let read = || -> Result<Compiled, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Compiled::new(&Profile::parse_oci(FILTER)?.resolve(&Target::here(&[]))?)?)
    };
    read().map_err(ConfineError::Filter)
}
